import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO
import StrictJSON

/// How handshakes and hole-punch messages are routed: testers are client, server and relay around one node.
enum RoutingProbes {
    private static func probe(_ slug: String, _ requirement: String, _ run: @escaping @Sendable (RecordProbing) throws -> Void) -> Probe {
        .dht("hyperdht", slug, [requirement]) { dht in try run(RecordProbing(dht)) }
    }

    /// A handshake message that only its ends understand.
    private static let noise = [UInt8](repeating: 0x5a, count: 120)

    static let probes: [Probe] = handshakes + answers + holepunches

    /// A request of the node under test at this tester, with the tid that was sent.
    private static func forwarded(_ it: RecordProbing, _ tester: UDPTester, tid: UInt16) throws -> Request {
        let asked = try it.dht.serve([tester], 2000, until: { $0.contains { $0.request.tid == tid } }, answer: { _ in nil })
        it.exam.count(1)
        guard let found = asked.first(where: { $0.request.tid == tid }) else {
            it.exam.report("forwarded request", expected: "one with tid \(tid)", actual: "nothing")
            throw DHTProbing.Unanswered()
        }
        return found.request
    }

    /// Nothing but the node's own housekeeping arrives.
    private static func expectNothing(_ it: RecordProbing, _ field: String, _ testers: [UDPTester]) throws {
        let deadline = Instant.now + .milliseconds(500)
        var heard: [String] = []
        while let (_, arrival) = UDPTester.next(of: testers, until: deadline) {
            if let request = try? Request(decoding: arrival.payload), request.isInternal { continue }
            heard.append(Hex.encode(arrival.payload))
        }
        it.exam.equal(field, heard, [])
    }

    /// A server tester that has announced itself at the node, so that there is a route to it.
    private static func announced(_ it: RecordProbing, _ node: DHTProbing.Node) throws -> (server: UDPTester, target: Bytes32) {
        let key = it.key(9)
        _ = try it.expect("ANNOUNCE", it.announce(node, key, target: key.target))
        return (try it.socket(), key.target)
    }

    private static func send(
        _ it: RecordProbing, _ node: DHTProbing.Node, _ message: HandshakeMessage, target: Bytes32, from tester: UDPTester
    ) throws -> UInt16 {
        let request = it.request(node, .peerHandshake, target: target, value: message.encoded)
        try tester.send(request.encoded, to: node.address)
        return request.tid
    }

    private static let handshakes: [Probe] = [
        probe("handshake-unknown-target", "HDHT-34") { it in
            let known = try it.dht.context.tester()
            let node = try it.dht.bootstrapper(knows: [known])
            let value = HandshakeMessage(mode: RelayMode(rawValue: 0), noise: noise).encoded
            let response = try it.expect("PEER_HANDSHAKE", it.ask(node, .peerHandshake, target: it.topic, value: value))
            it.exam.equal("error", response.error, 0)
            it.exam.equal("closerNodes", response.closerNodes, [known.endpoint])
            it.exam.require("value", response.value == nil, "present")
            it.exam.require("token", response.token == nil, "present")
        },
        probe("handshake-undecodable", "HDHT-35") { it in
            let node = try it.dht.bootstrapper()
            try it.expectSilence("undecodable", node, .peerHandshake, target: it.topic, value: [0xff, 1])
            try it.expectSilence("no value", node, .peerHandshake, target: it.topic)
        },
        probe("handshake-from-client", "HDHT-36") { it in
            let node = try it.dht.bootstrapper()
            let (server, target) = try announced(it, node)
            let client = try it.dht.context.tester()
            let tid = try send(it, node, HandshakeMessage(mode: RelayMode(rawValue: 0), noise: noise), target: target, from: client)
            let request = try forwarded(it, server, tid: tid)
            it.exam.equal("command", request.command, 0)
            it.exam.equal("target", request.target, target)
            it.exam.require("token", request.token == nil, "present")
            let wanted = HandshakeMessage(mode: RelayMode(rawValue: 2), noise: noise, peerAddress: client.endpoint)
            it.exam.bytes("value", request.value, wanted.encoded)
        },
        probe("handshake-relayed", "HDHT-38") { it in
            let node = try it.dht.bootstrapper()
            let (server, target) = try announced(it, node)
            let (relay, client) = (try it.dht.context.tester(), Endpoint(.v4(0x7f00_0007), 4007))
            let message = HandshakeMessage(mode: RelayMode(rawValue: 2), noise: noise, peerAddress: client)
            let request = try forwarded(it, server, tid: try send(it, node, message, target: target, from: relay))
            let wanted = HandshakeMessage(
                mode: RelayMode(rawValue: 3), noise: noise, peerAddress: client, relayAddress: relay.endpoint)
            it.exam.bytes("value", request.value, wanted.encoded)
            _ = try send(it, node, message, target: it.topic, from: relay)
            try expectNothing(it, "without a route", [relay, server])
        },
    ]

    private static let answers: [Probe] = [
        probe("handshake-reply", "HDHT-37") { it in
            let node = try it.dht.bootstrapper()
            let (server, target) = try announced(it, node)
            let client = try it.dht.context.tester()
            let tid = try send(it, node, HandshakeMessage(mode: RelayMode(rawValue: 0), noise: noise), target: target, from: client)
            _ = try forwarded(it, server, tid: tid)
            let reply = HandshakeMessage(mode: RelayMode(rawValue: 1), noise: [1, 2, 3], peerAddress: client.endpoint)
            let request = Request(
                tid: tid, to: node.address, isInternal: false, command: 0, target: target, value: reply.encoded)
            try server.send(request.encoded, to: node.address)
            let response = try it.expect("the client's response", it.dht.response(client, tid: tid)?.0)
            let wanted = HandshakeMessage(mode: RelayMode(rawValue: 4), noise: [1, 2, 3], peerAddress: server.endpoint)
            it.exam.bytes("value", response.value, wanted.encoded)
            it.exam.require("token", response.token == nil, "present")
            it.exam.equal("closerNodes", response.closerNodes, [])
        },
        probe("handshake-to-no-server", "HDHT-39") { it in
            let node = try it.dht.bootstrapper()
            let tester = try it.socket()
            for (mode, address): (UInt64, Endpoint?) in [(3, tester.endpoint), (4, tester.endpoint), (1, nil)] {
                let message = HandshakeMessage(mode: RelayMode(rawValue: mode), noise: noise, peerAddress: address)
                _ = try send(it, node, message, target: it.topic, from: tester)
                try expectNothing(it, "mode \(mode)", [tester])
            }
            try it.dht.expectAlive(node)
        },
    ]

    private static func punch(
        _ it: RecordProbing, _ node: DHTProbing.Node, mode: UInt64, peer: Endpoint?, from tester: UDPTester
    ) throws -> UInt16 {
        let message = HolepunchMessage(mode: RelayMode(rawValue: mode), id: 5, payload: noise, peerAddress: peer)
        let request = it.request(node, .peerHolepunch, target: it.topic, value: message.encoded)
        try tester.send(request.encoded, to: node.address)
        return request.tid
    }

    private static let holepunches: [Probe] = [
        probe("holepunch-from-client", "HDHT-47") { it in
            let node = try it.dht.bootstrapper()
            let (client, server) = (try it.dht.context.tester(), try it.dht.context.tester())
            let request = try forwarded(it, server, tid: try punch(it, node, mode: 0, peer: server.endpoint, from: client))
            let wanted = HolepunchMessage(mode: RelayMode(rawValue: 2), id: 5, payload: noise, peerAddress: client.endpoint)
            it.exam.bytes("value", request.value, wanted.encoded)
            _ = try punch(it, node, mode: 0, peer: nil, from: client)
            try expectNothing(it, "without an address", [client, server])
        },
        probe("holepunch-to-no-server", "HDHT-48") { it in
            let node = try it.dht.bootstrapper()
            let (relay, client) = (try it.dht.context.tester(), try it.dht.context.tester())
            _ = try punch(it, node, mode: 2, peer: client.endpoint, from: relay)
            try expectNothing(it, "mode 2", [relay, client])
            try it.dht.expectAlive(node)
        },
        probe("holepunch-reply", "HDHT-49") { it in
            let node = try it.dht.bootstrapper()
            let (server, client) = (try it.dht.context.tester(), try it.dht.context.tester())
            let tid = try punch(it, node, mode: 1, peer: client.endpoint, from: server)
            let response = try it.expect("the client's response", it.dht.response(client, tid: tid)?.0)
            let wanted = HolepunchMessage(mode: RelayMode(rawValue: 4), id: 5, payload: noise, peerAddress: server.endpoint)
            it.exam.bytes("value", response.value, wanted.encoded)
        },
    ]
}
