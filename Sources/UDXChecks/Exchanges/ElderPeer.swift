import CompactEncoding
import Conformance
import SansIO
import UDX

/// Exchanges that show an older libudx: there is nothing to hold ours against, so ours stands where the tester stood and must get along with what
/// the old build really sent: every packet decodes and is taken, its bytes arrive once and in order, and each DATA or END is acknowledged.
struct ElderPeer {
    let script: ExchangeCase
    let exam: Examination

    func run() throws {
        let setup = script.setup
        let instance = UDXInstance(entropy: SeededEntropy(seed: exam.seed))
        var now = Instant(microseconds: 5_000_000)
        // The ids of the recording, seen from the other side.
        let own = StreamID(setup.remoteID)
        try instance.createStream(
            id: own, initialSequence: SequenceNumber(setup.remoteSeq), remoteSequence: SequenceNumber(setup.localSeq), at: now)
        try instance.connect(own, SocketID(1), to: StreamID(setup.localID), at: .loopback(40_002), now: now)

        var received: [UInt8] = []
        var written: [UInt8] = []
        var next = setup.localSeq
        var held: Set<UInt32> = []
        for (node, step) in script.steps {
            switch step {
            case .application(let calls):
                for call in calls where ["write", "writeAndEnd"].contains(call.name) && call.error == nil { written += call.payload }
            case .send(let datagrams, _, _, _, _):
                // What the tester sent, as far as a whole implementation sends such things by itself.
                for datagram in datagrams {
                    guard let packet = RawPacket(datagram), packet.type == RawPacket.data else { continue }
                    try instance.write(own, packet.body, now: now)
                    instance.advance(to: now)
                }
                _ = instance.takeTransmits()
            case .receive(let expected, let milliseconds):
                let start = now
                for item in expected {
                    now = max(now, start + .milliseconds(item.earliest))
                    instance.advance(to: now)
                    _ = instance.takeTransmits()
                    guard let packet = RawPacket(item.bytes), let decoded = try? Packet(decoding: item.bytes) else {
                        exam.report(item.node.path, expected: "a packet that decodes", actual: Hex.encode(item.bytes))
                        continue
                    }
                    item.packet.expect(decoded.encoded)
                    exam.equal(
                        "\(item.node.path) disposition", instance.receive(item.bytes, from: .loopback(40_002), on: SocketID(1), at: now),
                        .consumed)
                    instance.advance(to: now)
                    for event in instance.takeEvents() { if case .data(_, let bytes) = event { received += bytes } }
                    guard packet.has(RawPacket.data | RawPacket.end) else { continue }
                    held.insert(packet.seq)
                    while held.contains(next) { next &+= 1 }
                    let answers = instance.takeTransmits().compactMap { RawPacket($0.payload) }
                    exam.require(
                        "\(item.node.path) answer", answers.contains { $0.type & ~RawPacket.sack == 0 && $0.ack == next },
                        "no ACK of everything before \(next)")
                    item.after.compare(item.after.json)
                }
                now = start + .milliseconds(milliseconds)
                instance.advance(to: now)
                _ = instance.takeTransmits()
            case .wait(let milliseconds): now = now + .milliseconds(milliseconds)
            case .event(let node, _, _): try node.note()
            }
            try node.note()
        }
        exam.bytes("bytes delivered", received, Array(written.prefix(received.count)))
        exam.require("stream", instance.statistics(of: own) != nil, "the stream closed")
    }
}
