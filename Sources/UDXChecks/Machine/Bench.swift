import Conformance
import SansIO
import UDX

/// The raw peer of udx.md section 23: our stream 1 is connected to its id 2; packets are built and read by hand, under the virtual clock.
final class Bench {
    struct Seen {
        /// Milliseconds since the bench was set up.
        let at: Int64
        let packet: RawPacket
        let transmit: Transmit
    }

    static let own = StreamID(1)
    static let peer: UInt32 = 2
    static let place = Endpoint.loopback(40_001)
    static let otherPlace = Endpoint.loopback(40_002)
    static let socket = SocketID(1)
    static let otherSocket = SocketID(2)

    let instance: UDXInstance
    let exam: Examination
    private(set) var now = Instant(microseconds: 5_000_000)
    private let start: Instant
    private var sent: [Seen] = []
    private var events: [UDXEvent] = []

    init(
        _ exam: Examination, limits: UDXLimits = UDXLimits(), localSeq: UInt32 = 0, remoteSeq: UInt32 = 0, connected: Bool = true,
        firewall: FirewallRule = .none, at place: Endpoint = Bench.place
    ) throws {
        self.exam = exam
        start = now
        instance = UDXInstance(entropy: SeededEntropy(seed: exam.seed), limits: limits)
        try instance.createStream(
            id: Bench.own, initialSequence: SequenceNumber(localSeq), remoteSequence: SequenceNumber(remoteSeq), firewall: firewall, at: now
        )
        if connected { try instance.connect(Bench.own, Bench.socket, to: StreamID(Bench.peer), at: place, now: now) }
    }

    var milliseconds: Int64 { (now - start).milliseconds }
    var statistics: StreamStatistics? { instance.statistics(of: Bench.own) }

    /// The peer sends one packet; then the turn ends.
    @discardableResult
    func peer(
        _ type: UInt8, seq: UInt32 = 0, ack: UInt32 = 0, window: UInt32 = .max, offset: UInt8 = 0, id: UInt32 = 1, body: [UInt8] = [],
        from: Endpoint = Bench.place, on socket: SocketID = Bench.socket
    ) -> Disposition {
        let packet = RawPacket(type, dataOffset: offset, id: id, window: window, seq: seq, ack: ack, body: body)
        return datagram(packet.bytes, from: from, on: socket)
    }

    @discardableResult
    func datagram(_ bytes: [UInt8], from: Endpoint = Bench.place, on socket: SocketID = Bench.socket) -> Disposition {
        let disposition = instance.receive(bytes, from: from, on: socket, at: now)
        turn()
        return disposition
    }

    func write(_ count: Int) throws {
        try instance.write(Bench.own, Bench.alphabet(count), now: now)
        turn()
    }

    static func alphabet(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(0x41 + $0 % 26) } }

    func turn() {
        instance.endTurn(at: now)
        collect()
    }

    /// Lets time pass from one wake-up to the next.
    func pass(_ milliseconds: Int64) {
        let end = now + .milliseconds(milliseconds)
        var turns = 0
        while instance.nextWakeUp <= end && turns < 200_000 {
            now = max(now, instance.nextWakeUp)
            turn()
            turns += 1
        }
        exam.require("wake-ups in \(milliseconds) ms", turns < 200_000, "the stream wakes up without end")
        now = end
        turn()
    }

    private func collect() {
        for transmit in instance.takeTransmits() {
            guard let packet = RawPacket(transmit.payload) else {
                exam.report("packet", expected: "a UDX packet", actual: "\(transmit.payload.count) other bytes")
                continue
            }
            sent.append(Seen(at: milliseconds, packet: packet, transmit: transmit))
        }
        events += instance.takeEvents()
    }

    /// What the stream sent since the last call.
    func take() -> [Seen] {
        defer { sent = [] }
        return sent
    }

    func takePackets() -> [RawPacket] { take().map(\.packet) }

    func takeEvents() -> [UDXEvent] {
        defer { events = [] }
        return events
    }

    /// One packet and nothing else was sent since the last call.
    func expectOne(_ what: String) -> RawPacket? {
        let packets = takePackets()
        exam.equal("\(what): packets", packets.count, 1)
        return packets.first
    }

    func expectSilence(_ what: String) {
        let packets = takePackets()
        exam.require(what, packets.isEmpty, packets.map { RawPacket.describe($0.bytes) }.joined(separator: "; "))
    }

    /// Bytes delivered since the last call; other events are lost.
    func takeBytes() -> [UInt8] {
        takeEvents().reduce(into: []) { if case .data(_, let bytes) = $1 { $0 += bytes } }
    }
}
