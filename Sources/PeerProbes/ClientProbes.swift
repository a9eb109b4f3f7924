import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import SansIO
import SecretStream
import StrictJSON

/// The peer as the client of a connection; the testers are the network, the relays and the server.
enum ClientProbes {
    private static func probe(
        _ layer: String, _ slug: String, _ requirements: [String], relays: Int = 1,
        _ run: @escaping @Sendable (ClientProbing) throws -> Void
    ) -> Probe {
        .dht(layer, slug, requirements, needs: ["connect"]) { dht in try run(ClientProbing(RecordProbing(dht), relays: relays)) }
    }

    static let probes: [Probe] = [
        probe("hyperdht", "client-of-an-open-server", ["HDHT-56"]) { it in
            // 127.0.0.1 is nobody's address over there: it is skipped.
            let bogon = try it.context.tester()
            try it.connect()
            try it.serve(until: { $0 }) { asked, first in
                it.server.answer(asked, try it.server.second(asked, first, NoisePayload(firewall: .open, addresses4: [bogon.endpoint])))
            }
            try it.expectStream("the server's socket")
            it.exam.require("packets for the bogon", bogon.receive(within: 300) == nil, "some")
            it.exam.require("open", it.event("open") != nil, "not opened")
        },
        probe("hyperdht", "client-of-a-server-that-cannot-punch", ["HDHT-57"]) { it in
            try it.connect()
            let asked = try it.serve(milliseconds: 1500) { asked, first in
                it.server.answer(asked, try it.server.second(asked, first, NoisePayload()))
            }
            try it.expectStream("a direct attempt")
            let punches = asked.filter { !$0.request.isInternal && $0.request.command == HyperDHTCommand.peerHolepunch.rawValue }
            it.exam.equal("PEER_HOLEPUNCH", punches.count, 0)
        },
        probe("hyperdht", "same-message-to-two-relays", ["HDHT-55"], relays: 2) { it in
            try it.connect()
            var messages: [[UInt8]?] = [nil, nil]
            try it.serve(milliseconds: 4000, until: { _ in messages.allSatisfy { $0 != nil } }) { asked, first in
                if let index = it.relays.firstIndex(where: { $0 === asked.tester }) { messages[index] = first }
                return nil
            }
            it.exam.require("handshakes at both", messages.allSatisfy { $0 != nil }, "not at both")
            it.exam.bytes("the second relay's", messages[1], messages[0] ?? [])
        },
        probe("hyperdht", "answer-from-elsewhere", ["HDHT-54"]) { it in
            let elsewhere = try it.context.tester()
            try it.connect()
            let asked = try it.serve(milliseconds: 3000) { asked, first in
                let response = it.server.answer(asked, try it.server.second(asked, first, NoisePayload(firewall: .open)))
                try elsewhere.send(response.encoded, to: asked.arrival.source)
                return nil
            }
            it.exam.require("the connect", it.event("close", seconds: 12)?["error"]?.isNull == false, "did not fail")
            it.exam.require("packets for the server", it.server.socket.receive(within: 100) == nil, "some")
            // The relay is given up: what it answered is not asked again.
            let handshakes = asked.filter { !$0.request.isInternal && $0.request.command == HyperDHTCommand.peerHandshake.rawValue }
            it.exam.equal("attempts of a request", handshakes.count, Set(handshakes.map(\.request.tid)).count)
        },
        probe("hyperdht", "relay-known-beforehand", ["HDHT-72"]) { it in
            let named = try it.context.tester()
            try it.connect(["relayAddresses": [.endpoint(named.endpoint)]])
            let asked = try it.records.dht.serve([named] + it.relays, 3000, until: { $0.contains { $0.tester === named } }) { _ in nil }
            let first = asked.first { $0.tester === named }
            it.exam.equal("the first request there", first?.request.command, HyperDHTCommand.peerHandshake.rawValue)
            it.exam.equal("its target", first?.request.target, it.server.key.target)
        },
        probe("noise", "second-message-with-a-wrong-tag", ["NOISE-15"]) { it in
            try it.connect()
            try it.serve(until: { $0 }) { asked, first in
                var noise = try it.server.second(asked, first, NoisePayload(firewall: .open))
                noise[noise.count - 1] ^= 1
                return it.server.answer(asked, noise)
            }
            it.exam.require("the connect", it.event("close", seconds: 12)?["error"]?.isNull == false, "did not fail")
            it.exam.require("packets for the server", it.server.socket.receive(within: 100) == nil, "some")
            it.exam.require("open", it.event("open", seconds: 0.05) == nil, "opened")
        },
        probe("noise", "garbage-before-the-answer", ["NOISE-14"], relays: 2) { it in
            try it.connect()
            var garbled: UDPTester?
            var isAnswered = false
            try it.serve(until: { _ in isAnswered }) { asked, first in
                if garbled == nil {
                    garbled = asked.tester
                    return it.server.answer(asked, [UInt8](repeating: 9, count: 48))
                }
                if garbled === asked.tester { return nil }
                isAnswered = true
                it.server.offer = NoisePayload(firewall: .open)
                return try it.server.handshake(asked)
            }
            it.exam.require("open", it.event("open", seconds: 5) != nil, "not opened")
        },
        probe("secret-stream", "clients-first-bytes", ["SS-2"]) { it in
            try it.connect()
            it.server.offer = NoisePayload(firewall: .open)
            try it.serve(until: { $0 }) { asked, _ in try it.server.handshake(asked) }
            guard let payload = try it.expectStream("the first packet"), let hash = it.server.meetings.first?.result.hash else { return }
            // The id header and nothing after it: the application has written nothing.
            let id = IDHeader.id(handshakeHash: hash, isInitiator: true)
            it.exam.bytes("id header", Array(payload.prefix(35)), [0x38, 0, 0] + id.bytes)
            it.exam.equal("bytes in all", payload.count, 59)
        },
    ]
}

/// A node of the peer that knows the testers' relays, and a server behind them on another address of loopback.
final class ClientProbing {
    let records: RecordProbing
    let relays: [UDPTester]
    let server: PlayedServer
    let node: DHTProbing.Node
    private(set) var stream = JSON.null

    /// `isFirewalled`: the node takes itself for one that nobody reaches; else all do.
    init(_ records: RecordProbing, relays count: Int, isFirewalled: Bool = false, _ more: JSONObject = [:]) throws {
        self.records = records
        let relays = try (0..<count).map { _ in try records.dht.context.tester() }
        self.relays = relays
        server = try PlayedServer(records, key: 90)
        let behind: JSONObject = ["bootstrap": .array(relays.map { .endpoint($0.endpoint) }), "port": 0, "ephemeral": true]
        node =
            isFirewalled ? try records.dht.start(behind.with(more), served: relays).node : try records.dht.bootstrapper(knows: relays, more)
    }

    var exam: Examination { records.exam }
    var context: ProbeContext { records.dht.context }

    func connect(_ more: JSONObject = [:]) throws {
        let arguments: JSONObject = ["node": node.handle, "publicKey": records.text(server.key.publicKey)]
        let handle = try context.peer.request("connect", arguments.with(more)).handle("stream")
        context.afterwards { [context] in context.quietly("destroy", ["stream": handle]) }
        stream = handle
    }

    /// Answers FIND_PEER with the server's record and hands each first Noise message to `handshake`. `until` gets whether one has come.
    @discardableResult
    func serve(
        milliseconds: Int64 = 8000, until isDone: (Bool) -> Bool = { _ in false },
        handshake: (DHTProbing.Asked, [UInt8]) throws -> Response?
    ) throws -> [DHTProbing.Asked] {
        var hasCome = false
        let asked = try records.dht.serve(relays, milliseconds, until: { _ in isDone(hasCome) }) { asked in
            guard !asked.request.isInternal, asked.request.command == HyperDHTCommand.peerHandshake.rawValue else {
                return try PlayedServer.answer(asked, [server], relays)
            }
            hasCome = true
            return try handshake(asked, HyperDHT.HandshakeMessage(decoding: asked.request.value ?? []).noise)
        }
        exam.require("a PEER_HANDSHAKE", hasCome, "none")
        return asked
    }

    /// Stream packets arrive at the server's address; the payload of the first DATA packet.
    @discardableResult
    func expectStream(_ field: String) throws -> [UInt8]? {
        let payload = server.firstData(server.udxID, within: 3000)
        exam.require(field, payload != nil, "no DATA packet with its id")
        return payload
    }

    func event(_ kind: String, seconds: Double = 3) -> JSON? {
        try? context.peer.event(kind, seconds: seconds, where: { $0["stream"] == self.stream })
    }
}
