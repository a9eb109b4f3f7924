import BlindRelay
import CompactEncoding
import Conformance
import HyperCrypto
import LivePeers
import SansIO
import SecretStream
import StrictJSON
import UDX

/// A blind relay of the peer, and testers that pair through it.
enum RelayProbes {
    private static func probe(
        _ slug: String, _ requirements: [String], _ run: @escaping @Sendable (ServerProbing) throws -> Void
    ) -> Probe {
        .dht("blind-relay", slug, requirements, needs: ["relay"]) { dht in try run(ServerProbing(RecordProbing(dht), "relay")) }
    }

    static let probes: [Probe] = [
        probe("pairs", ["RELAY-3", "HDHT-66"]) { it in
            let (one, two) = (try RelayClient(it, 70), try RelayClient(it, 71))
            try one.pair(isInitiator: true, id: 1001)
            try one.expectPairs([], "before the other side")
            try two.pair(isInitiator: false, id: 2002)
            try one.expectPair(isInitiator: true)
            try two.expectPair(isInitiator: false)
        },
        probe("occupied-role", ["RELAY-4", "HDHT-67"]) { it in
            let (one, two, three) = (try RelayClient(it, 70), try RelayClient(it, 71), try RelayClient(it, 72))
            try one.pair(isInitiator: true, id: 1001)
            try two.pair(isInitiator: true, id: 2002)
            try two.expectPairs([], "the role is taken")
            try three.pair(isInitiator: false, id: 3003)
            try one.expectPair(isInitiator: true)
            try three.expectPair(isInitiator: false)
            try two.expectPairs([], "it came second")
        },
        probe("unpaired-before-the-match", ["RELAY-5", "HDHT-67"]) { it in
            let (one, two) = (try RelayClient(it, 70), try RelayClient(it, 71))
            try one.pair(isInitiator: true, id: 1001)
            try one.unpair()
            try one.expectPairs([], "unpair is not answered")
            try two.pair(isInitiator: false, id: 2002)
            try two.expectPairs([], "nobody is left")
            try one.expectPairs([], "it had withdrawn")
        },
        probe("forwards", ["RELAY-6", "HDHT-66"]) { it in
            let link = try RelayLink(it)
            for (index, text) in ["there", "and further"].enumerated() {
                let seq = SequenceNumber(UInt32(index))
                try link.expectForwarded(from: link.one, to: link.two, Array(text.utf8), seq: seq)
                try link.expectForwarded(from: link.two, to: link.one, Array("back \(text)".utf8), seq: seq)
            }
        },
        probe("unpaired-while-active", ["RELAY-7"]) { it in
            let link = try RelayLink(it)
            try link.one.client.unpair()
            try link.expectDestroyed(link.one, link.two)
        },
        probe("session-closed-while-pending", ["RELAY-8"]) { it in
            let (one, two) = (try RelayClient(it, 70), try RelayClient(it, 71))
            try one.pair(isInitiator: true, id: 1001)
            try one.connection.pass(100)
            try one.connection.destroy()
            try two.connection.pass(300)
            try two.pair(isInitiator: false, id: 2002)
            try two.expectPairs([], "the other's session is gone")
        },
        probe("upper-flags", ["RELAY-17"]) { it in
            let (one, two) = (try RelayClient(it, 70), try RelayClient(it, 71))
            try one.pair(flags: 0xfb, id: 1001)
            try two.pair(flags: 0x02, id: 2002)
            try one.expectPair(isInitiator: true)
            try two.expectPair(isInitiator: false)
        },
    ]
}

/// One session with the relay: its channel has id 1 on our side.
private final class RelayClient {
    let connection: ConnectionTester
    private let it: ServerProbing
    private let token = Blake2b.hash256(Array("hyperconform relay".utf8))
    private let channel: UInt8

    init(_ it: ServerProbing, _ number: UInt8) throws {
        self.it = it
        connection = try ConnectionTester(it, number: number)
        try connection.begin()
        let name = Array("blind-relay".utf8)
        let key = it.records.key(number).publicKey.bytes
        let tail = [UInt8(name.count)] + name + [UInt8(key.count)] + key
        try connection.writeMessage([0, 1, 1] + tail)
        try connection.pass(3000, until: { [connection] in !connection.plaintexts.isEmpty })
        guard let open = connection.plaintexts.first, open.count == 3 + tail.count, open[..<2] == [0, 1], Array(open[3...]) == tail else {
            throw PeerDeviation(
                "the relay's open", expected: "0001..\(Hex.encode(tail))", actual: connection.plaintexts.map { Hex.encode($0) }.joined())
        }
        channel = open[2]
    }

    func pair(isInitiator: Bool, id: UInt64) throws { try pair(flags: isInitiator ? 1 : 0, id: id) }

    func pair(flags: UInt8, id: UInt64) throws {
        var body = Pair(isInitiator: false, token: token, streamID: id).encoded
        body[0] = flags
        try connection.writeMessage([1, 0] + body)
    }

    func unpair() throws { try connection.writeMessage([1, 1] + Unpair(token: token).encoded) }

    /// Pair messages that have come; whatever else came on the channel is reported.
    private func pairs() throws -> [Pair] {
        try connection.plaintexts.dropFirst().compactMap { message in
            guard message.prefix(2) == [channel, 0] else {
                it.exam.report("the relay's message", expected: "a pair", actual: Hex.encode(message))
                return nil
            }
            return try Pair(decoding: Array(message.dropFirst(2)))
        }
    }

    func expectPairs(_ expected: [Pair], _ field: String) throws {
        try connection.pass(400)
        it.exam.equal("pairs: \(field)", try pairs(), expected)
    }

    /// The relay's id for us.
    @discardableResult
    func expectPair(isInitiator: Bool) throws -> UInt64 {
        try connection.pass(3000, until: { [connection] in connection.plaintexts.count >= 2 })
        let all = try pairs()
        guard let pair = all.first, all.count == 1 else {
            throw PeerDeviation("pairs", expected: "one", actual: "\(all)")
        }
        it.exam.equal("role", pair.isInitiator, isInitiator)
        it.exam.bytes("token", pair.token.bytes, token.bytes)
        it.exam.require("a stream id", pair.streamID != 0 && pair.streamID <= UInt64(UInt32.max), "\(pair.streamID)")
        it.exam.equal("seq", pair.seq, 0)
        return pair.streamID
    }
}

/// Two paired sessions, and a bare socket for each side's UDX packets.
private final class RelayLink {
    struct Side {
        let client: RelayClient
        let socket: UDPTester
        /// The id that we announced, and the one that the relay gave.
        let own: UInt32
        let relays: UInt32
    }

    let one: Side
    let two: Side
    private let it: ServerProbing

    init(_ it: ServerProbing) throws {
        self.it = it
        let clients = (try RelayClient(it, 70), try RelayClient(it, 71))
        try clients.0.pair(isInitiator: true, id: 1001)
        try clients.1.pair(isInitiator: false, id: 2002)
        one = Side(
            client: clients.0, socket: try it.context.tester(), own: 1001,
            relays: UInt32(truncatingIfNeeded: try clients.0.expectPair(isInitiator: true)))
        two = Side(
            client: clients.1, socket: try it.context.tester(), own: 2002,
            relays: UInt32(truncatingIfNeeded: try clients.1.expectPair(isInitiator: false)))
        // Until a side has sent something, the relay does not know where it is.
        for side in [one, two] { try send(side, [], seq: SequenceNumber(0), type: .heartbeat) }
        _ = UDPTester.next(of: [], until: .now + .milliseconds(150))
        for side in [one, two] { side.socket.discard() }
    }

    private func packet(_ id: UInt32, _ payload: [UInt8], seq: SequenceNumber, type: PacketType) -> [UInt8] {
        PacketHeader(type: type, streamID: StreamID(id), window: 65_536, seq: seq, ack: SequenceNumber(7)).encoded + payload
    }

    private func send(_ side: Side, _ payload: [UInt8], seq: SequenceNumber, type: PacketType) throws {
        try side.socket.send(packet(side.relays, payload, seq: seq, type: type), to: side.client.connection.address)
    }

    /// The same packet comes out at the other side, with that side's id.
    func expectForwarded(from: Side, to: Side, _ payload: [UInt8], seq: SequenceNumber) throws {
        try send(from, payload, seq: seq, type: .data)
        let arrival = to.socket.receive(within: 2000)
        it.exam.bytes("forwarded packet", arrival?.payload, packet(to.own, payload, seq: seq, type: .data))
        it.exam.equal("its source", arrival?.source, to.client.connection.address)
    }

    /// Neither side's packets come out any more.
    func expectDestroyed(_ one: Side, _ two: Side) throws {
        _ = UDPTester.next(of: [], until: .now + .milliseconds(200))
        for (from, to) in [(one, two), (two, one)] {
            to.socket.discard()
            try send(from, [1, 2, 3], seq: SequenceNumber(5), type: .data)
            let arrival = to.socket.receive(within: 400)
            it.exam.require("forwarded after unpair", arrival == nil, Hex.encode(arrival?.payload ?? []))
        }
    }
}
