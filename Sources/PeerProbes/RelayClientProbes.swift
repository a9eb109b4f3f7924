import BlindRelay
import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import SansIO
import StrictJSON
import UDX

/// The peer as the client of a blind relay, for a connection that it dials or serves; testers are the relay and the other end.
enum RelayClientProbes {
    private static func dial(
        _ slug: String, _ requirements: [String], _ node: JSONObject = [:], _ run: @escaping @Sendable (RelayedDial) throws -> Void
    ) -> Probe {
        .dht("blind-relay", slug, requirements, needs: ["connect"]) { dht in
            try run(RelayedDial(ClientProbing(RecordProbing(dht), relays: 1, node)))
        }
    }

    static let probes: [Probe] = [
        dial("client-pairs", ["RELAY-1", "RELAY-2", "RELAY-12"]) { it in
            let session = try it.meet()
            try session.expectPair(isInitiator: true, it.offered?.token, it.streamID)
        },
        dial("both-sides-offer", ["RELAY-11", "HDHT-68"]) { it in
            // The server's relay is the one that is used, and the server is the initiator there.
            let own = try PlayedServer(it.client.records, key: 93, host: 4, udxID: 5503, offer: NoisePayload(firewall: .open))
            let token = Blake2b.hash256(Array("the server's".utf8))
            let session = try it.meet(
                NoisePayload.RelayThroughInfo(publicKey: own.key.publicKey, token: token), at: own)
            try session.expectPair(isInitiator: false, token, it.streamID)
            it.client.exam.equal("handshakes with its own relay", it.relay.firsts.count, 0)
        },
        dial("pair-replies-to-nobody", ["RELAY-9"]) { it in
            let session = try it.meet()
            let pair = try session.expectPair(isInitiator: true, it.offered?.token, it.streamID)
            for (number, wrong) in [
                Pair(isInitiator: true, token: Blake2b.hash256([1]), streamID: 8001),
                Pair(isInitiator: false, token: pair.token, streamID: 8002),
            ].enumerated() {
                try session.reply(wrong)
                try session.connection.pass(500)
                it.client.exam.require(
                    "packets after wrong reply \(number)", !session.hasStray(UInt32(8001 + number)), "its stream goes there")
            }
            try session.reply(Pair(isInitiator: true, token: pair.token, streamID: 9009))
            try session.connection.pass(3000, until: { session.hasStray(9009) })
            it.client.exam.require("packets after the right reply", session.hasStray(9009), "none")
        },
        dial("relay-that-never-pairs", ["RELAY-10", "HDHT-69"]) { it in
            let session = try it.meet()
            let start = Instant.now
            try session.connection.pass(22_000, until: { session.connection.closed != nil })
            let took = (Instant.now - start).milliseconds
            it.client.exam.require("the relay is left", session.connection.closed != nil, "not in 22 s")
            it.client.exam.require("after", (12_000...20_000).contains(took), "\(took) ms")
            it.client.exam.require("the connect", it.client.event("close", seconds: 5)?["error"]?.isNull == false, "did not fail")
        },
        // What the node's other connections send when idle is told apart.
        dial("idle-relay-connection", ["RELAY-15"], ["connectionKeepAlive": 0]) { it in
            let session = try it.meet()
            try session.connection.pass(11_500)
            let count = session.connection.keepAlives
            it.client.exam.require("empty messages in 11.5 s", (2...3).contains(count), "\(count)")
        },
        .dht("blind-relay", "server-pairs", ["RELAY-11", "RELAY-2", "HDHT-68"], needs: ["listen"], server),
        Probe("blind-relay", "flood-of-pairs", ["RELAY-16"], needs: []) { context in
            context.exam.notRun("what a process holds for pending pairs is not on the wire, and a bound may lie anywhere")
        },
    ]

    /// The peer's server offers a relay, and so does its client.
    private static func server(_ dht: DHTProbing) throws {
        let records = RecordProbing(dht)
        let network = try dht.context.tester()
        let node = try dht.bootstrapper(knows: [network])
        let (relay, clients) = (
            try PlayedServer(records, key: 92, host: 3, offer: NoisePayload(firewall: .open)),
            try PlayedServer(records, key: 93, host: 4, offer: NoisePayload(firewall: .open))
        )
        func answer(_ asked: DHTProbing.Asked) throws -> Response? { try PlayedServer.answer(asked, [relay, clients], [network]) }
        let key = records.key(193)
        let (listening, _) = try dht.serve(
            [network], during: "listen",
            [
                "node": node.handle, "seed": .string(Hex.encode([UInt8](repeating: 193, count: 32))),
                "relayThrough": records.text(relay.key.publicKey),
            ], answer: answer)
        _ = try listening.get()
        let it = ServerProbing(records, swarm: node, key: key)
        var payload = ServerProbing.payload()
        payload.firewall = .unknown
        payload.relayThrough = NoisePayload.RelayThroughInfo(publicKey: clients.key.publicKey, token: Blake2b.hash256([5]))
        let (handshake, first) = try it.firstMessage(payload)
        let client = Endpoint(.v4(0x7f00_0007), 4007)
        // By way of a relay of handshakes: who comes directly needs no blind one.
        _ = try it.send(HyperDHT.HandshakeMessage(mode: .fromRelay, noise: first, peerAddress: client), from: network)
        var reply: NoisePayload?
        try dht.serve([network], 8000, until: { _ in reply != nil && !relay.meetings.isEmpty }) { asked in
            let isReply = !asked.request.isInternal && asked.request.target == key.target && asked.request.command == 0
            guard isReply else { return try answer(asked) }
            let message = try HyperDHT.HandshakeMessage(decoding: asked.request.value ?? [])
            reply = try NoisePayload(decoding: handshake.read(message.noise))
            return nil
        }
        dht.exam.equal("the relay that it offers", reply?.relayThrough?.publicKey, relay.key.publicKey)
        dht.exam.equal("handshakes with the client's relay", clients.firsts.count, 0)
        let session = try RelaySession(relay)
        try session.expectPair(isInitiator: true, reply?.relayThrough?.token, reply?.udx?.id)
    }
}

/// The peer dials a server that can't be reached, with a relay in hand. It is open itself: it waits for the server to come, and punches nothing.
private final class RelayedDial {
    let client: ClientProbing
    let relay: PlayedServer

    init(_ client: ClientProbing) throws {
        self.client = client
        relay = try PlayedServer(client.records, key: 92, host: 3, udxID: 5502, offer: NoisePayload(firewall: .open))
        try client.connect(["relayThrough": client.records.text(relay.key.publicKey)])
    }

    /// What the client's handshake with the server said.
    private var payload: NoisePayload? { client.server.meetings.first?.payload }
    var offered: NoisePayload.RelayThroughInfo? { payload?.relayThrough }
    var streamID: UInt64? { payload?.udx?.id }

    /// Until the client has come to the relay, or to `other`.
    func meet(_ relayThrough: NoisePayload.RelayThroughInfo? = nil, at other: PlayedServer? = nil) throws -> RelaySession {
        client.server.isFirewalled(behind: client.relays, relayThrough: relayThrough)
        let wanted = other ?? relay
        try client.records.dht.serve(client.relays, 8000, until: { _ in !wanted.meetings.isEmpty }) { [client, relay] asked in
            try PlayedServer.answer(asked, [client.server, relay] + (other.map { [$0] } ?? []), client.relays)
        }
        client.exam.equal("the relay that it offers", offered?.publicKey, relay.key.publicKey)
        return try RelaySession(wanted)
    }
}

/// The peer's session with a relay that a tester plays: its channel has id 1 on our side.
private final class RelaySession {
    let connection: ConnectionTester
    private let exam: Examination
    private let channel: UInt8
    private let clientKey: Bytes32

    init(_ relay: PlayedServer) throws {
        exam = relay.context.exam
        connection = try relay.accept()
        try connection.begin()
        try connection.pass(3000, until: { [connection] in !connection.plaintexts.isEmpty })
        clientKey = connection.handshake.remotePublicKey ?? .zero
        let name = Array("blind-relay".utf8)
        // RELAY-1: the channel's id is the client's key on this connection.
        let tail = [UInt8(name.count)] + name + [32] + clientKey.bytes
        guard let open = connection.plaintexts.first, open.count >= 3 else {
            throw PeerDeviation("the client's open", expected: "a channel", actual: "nothing")
        }
        exam.bytes("the client's open", Array(open[..<2] + open[3...]), [0, 1] + tail)
        channel = open[2]
        try connection.writeMessage([0, 1, 1] + tail)
    }

    /// RELAY-2: a type, the role's flag, the token, id and sequence number.
    @discardableResult
    func expectPair(isInitiator: Bool, _ token: Bytes32?, _ id: UInt64?) throws -> Pair {
        try connection.pass(3000, until: { [connection] in connection.plaintexts.count >= 2 })
        guard connection.plaintexts.count >= 2 else { throw PeerDeviation("pair", expected: "one", actual: "nothing") }
        let message = connection.plaintexts[1]
        guard let token, let id else { throw PeerDeviation("its payload", expected: "relayThrough and udx", actual: "one is missing") }
        let number: [UInt8] =
            id < 0xfd ? [UInt8(id)] : id <= 0xffff ? [0xfd] + littleEndian(id, 2) : [0xfe] + littleEndian(id, 4)
        exam.bytes("pair", message, [channel, 0, isInitiator ? 1 : 0] + token.bytes + number + [0])
        return try Pair(decoding: Array(message.dropFirst(2)))
    }

    func reply(_ pair: Pair) throws { try connection.writeMessage([1, 0] + pair.encoded) }

    /// Whether the peer sends packets of a stream with this id to the relay.
    func hasStray(_ id: UInt32) -> Bool { connection.strays.contains { PlayedServer.data($0, id) != nil } }
}
