import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import enum Noise.HandshakePattern
import class Noise.HandshakeState
import struct Noise.SymmetricState
import SansIO
import StrictJSON

/// A server of the peer, and the tester as its client: our own IK initiator, and wrong first messages of every sort.
enum ServerProbes {
    private static func probe(
        _ layer: String, _ slug: String, _ requirements: [String], firewall: JSON? = nil,
        _ run: @escaping @Sendable (ServerProbing) throws -> Void
    ) -> Probe {
        .dht(layer, slug, requirements, needs: ["listen"]) { dht in try run(ServerProbing(RecordProbing(dht), firewall: firewall)) }
    }

    static let probes: [Probe] = handshakes + refusals

    private static let handshakes: [Probe] = [
        probe("hyperdht", "server-answers", ["HDHT-40"]) { it in
            let (handshake, first) = try it.firstMessage(ServerProbing.payload())
            let answer = try it.expectAnswer(it.exchange(first))
            it.exam.equal("mode", answer.mode.rawValue, 4)
            it.exam.require("peerAddress", answer.peerAddress == nil, "present")
            let payload = try NoisePayload(decoding: handshake.read(answer.noise))
            it.exam.equal("version", payload.version, 1)
            it.exam.equal("error", payload.error.rawValue, 0)
            it.exam.require("udx", payload.udx != nil, "none")
        },
        probe("hyperdht", "same-message-thrice", ["HDHT-41", "NOISE-12"]) { it in
            let (_, first) = try it.firstMessage(ServerProbing.payload())
            let answers = try (0..<3).map { _ in try it.expectAnswer(it.exchange(first)).noise }
            it.exam.bytes("second answer", answers[1], answers[0])
            it.exam.bytes("third answer", answers[2], answers[0])
            let other = try it.context.tester()
            it.exam.bytes("another port's answer", try it.expectAnswer(it.exchange(first, from: other)).noise, answers[0])
            let connections = it.context.newEvents().filter { $0["event"]?.string == "connection" && $0["server"] == it.server }
            it.exam.require("connections", connections.count <= 1, "\(connections.count)")
        },
        probe("noise", "fresh-ephemerals", ["NOISE-13"]) { it in
            let answers = try (0..<2).map { number in
                try it.expectAnswer(it.exchange(it.firstMessage(ServerProbing.payload(), number: UInt8(number + 40)).1)).noise
            }
            it.exam.require("e_R", answers[0].prefix(32) != answers[1].prefix(32), "the same in both answers")
        },
        probe("hyperdht", "payload-errors", ["HDHT-43"]) { it in
            for (payload, error): (NoisePayload, UInt64) in [
                (ServerProbing.payload(version: 2), 2), (ServerProbing.payload(hasUDX: false), 1),
            ] {
                let (handshake, first) = try it.firstMessage(payload, number: UInt8(50 + error))
                let answer = try it.expectAnswer(it.exchange(first))
                it.exam.equal("error", try NoisePayload(decoding: handshake.read(answer.noise)).error.rawValue, error)
            }
        },
        probe("hyperdht", "through-a-relay", ["HDHT-45"]) { it in
            let (_, first) = try it.firstMessage(ServerProbing.payload())
            let (relay, named) = (try it.context.tester(), try it.context.tester())
            let client = Endpoint(.v4(0x7f00_0007), 4007)
            let tid = try it.send(
                HyperDHT.HandshakeMessage(mode: RelayMode(rawValue: 3), noise: first, peerAddress: client, relayAddress: named.endpoint),
                from: relay
            )
            let asked = try it.records.dht.serve([named], 2000, until: { !$0.isEmpty }, answer: { _ in nil })
            let request = asked.first { $0.request.tid == tid }?.request
            it.exam.require("a request at the relay", request != nil, "none")
            let message = try request?.value.map { try HyperDHT.HandshakeMessage(decoding: $0) }
            it.exam.equal("mode", message?.mode.rawValue, 1)
            it.exam.equal("peerAddress", message?.peerAddress, client)
            _ = try it.send(
                HyperDHT.HandshakeMessage(
                    mode: RelayMode(rawValue: 3), noise: it.firstMessage(ServerProbing.payload(), number: 60).1, peerAddress: client),
                from: relay)
            it.records.dht.expectSilence("without relayAddress", relay)
        },
    ]

    private static let refusals: [Probe] = [
        probe("hyperdht", "firewall", ["HDHT-44"], firewall: ["allow": []]) { it in
            try it.expectSilence("a refused key", it.firstMessage(ServerProbing.payload()).1)
        },
        probe("noise", "flipped-bits", ["NOISE-6", "HDHT-42"]) { it in
            let (_, first) = try it.firstMessage(ServerProbing.payload())
            // Ephemeral, encrypted static, its tag, payload, its tag.
            for place in [0, 31, 32, 63, 64, 79, 80, first.count - 1] {
                var bytes = first
                bytes[place] ^= 1
                try it.expectSilence("byte \(place)", bytes)
            }
            try it.expectServes()
        },
        probe("noise", "wrong-prologue", ["NOISE-7"]) { it in
            try it.expectSilence("an empty prologue", it.firstMessage(ServerProbing.payload(), prologue: []).1)
            try it.expectServes()
        },
        probe("noise", "another-server", ["NOISE-8"]) { it in
            try it.expectSilence("another server's key", it.firstMessage(ServerProbing.payload(), to: it.records.key(99).publicKey).1)
            try it.expectServes()
        },
        probe("noise", "small-order-points", ["NOISE-9"]) { it in
            // The product that a careless responder would compute: the identity, whatever its secret.
            let own = it.records.key(32)
            for point in smallOrder {
                try it.expectSilence(Hex.encode(point), it.forged(own.publicKey, own, ephemeral: (point, smallOrder[0])))
            }
            try it.expectServes()
        },
        probe("noise", "mixed-order-static-key", ["NOISE-10"]) { it in
            // S + T, T of order 8, with the product that S alone gives: T vanishes under the responder's clamped scalar.
            let own = it.records.key(32)
            guard let torsion = Hex.decode(orderEight).flatMap({ Bytes32($0) }), let mixed = Ed25519.sum(own.publicKey, torsion) else {
                throw ProbeError("no mixed-order point")
            }
            try it.expectSilence("a mixed-order static key", it.forged(mixed, own))
            _ = try it.expectAnswer(it.exchange(it.forged(own.publicKey, own)))
        },
        probe("noise", "short-messages", ["NOISE-11"]) { it in
            let (_, first) = try it.firstMessage(ServerProbing.payload())
            for length in [0, 31, 32, 79, 80, 95] { try it.expectSilence("\(length) bytes", Array(first.prefix(length))) }
            try it.expectServes()
        },
        probe("noise", "empty-payload", ["NOISE-16"]) { it in
            try it.expectSilence("no payload", it.firstMessage(nil).1)
            try it.expectServes()
        },
    ]

    private static let orderEight = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"

    /// The identity, the point of order two, zero, and forms that are not the shortest.
    private static let smallOrder: [[UInt8]] = [
        [1] + [UInt8](repeating: 0, count: 31), [UInt8](repeating: 0, count: 32), [0xec] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
        [0xee] + [UInt8](repeating: 0xff, count: 30) + [0x7f], [0xed] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
    ]
}

/// A node of the peer with one server on it.
final class ServerProbing {
    let records: RecordProbing
    let node: DHTProbing.Node
    /// null: a swarm's server, which has no handle of its own.
    let server: JSON
    private let key: KeyPair
    static let udxID: UInt64 = 77

    /// `command`: "listen", or "relay" for a blind relay.
    init(_ records: RecordProbing, _ command: String = "listen", firewall: JSON? = nil, node: JSONObject = [:]) throws {
        self.records = records
        self.node = try records.dht.bootstrapper(node)
        // A number of its own: whoever answers with a key that everybody knows must not have this one by chance.
        key = records.key(193)
        var arguments: JSONObject = ["node": self.node.handle, "seed": .string(Hex.encode([UInt8](repeating: 193, count: 32)))]
        if let firewall { arguments.set("firewall", firewall) }
        server = try records.dht.peer.request(command, arguments).handle("server")
    }

    /// The server of a swarm that has joined as one.
    init(_ records: RecordProbing, swarm: DHTProbing.Node, key: KeyPair) {
        self.records = records
        node = swarm
        server = .null
        self.key = key
    }

    var exam: Examination { records.exam }
    var context: ProbeContext { records.dht.context }

    /// Whether an event tells of a connection of this server.
    func isConnection(_ event: JSON) -> Bool { server.isNull ? event["node"] == node.handle : event["server"] == server }

    static func payload(version: UInt64 = 1, hasUDX: Bool = true) -> NoisePayload {
        NoisePayload(
            version: version, firewall: .open, udx: hasUDX ? NoisePayload.UDXInfo(id: udxID) : nil,
            secretStream: NoisePayload.SecretStreamInfo())
    }

    /// An initiator and its first message; without a payload the message carries none.
    func firstMessage(
        _ payload: NoisePayload?, prologue: [UInt8] = Namespace.peerHandshake.bytes, to remote: Bytes32? = nil, number: UInt8 = 30,
        attempt: UInt8 = 0
    ) throws -> (HandshakeState, [UInt8]) {
        let handshake = try HandshakeState(
            pattern: .ik, isInitiator: true, prologue: prologue, staticKeys: records.key(number),
            remoteStatic: remote ?? key.publicKey,
            ephemeral: KeyPair(seed: Blake2b.hash256([number, attempt], Array("ephemeral".utf8)).bytes))
        return (handshake, try handshake.write(payload: payload?.encoded ?? []))
    }

    /// A first message made by hand: any static key, the products that `own` gives, and an ephemeral point with its product or an honest one.
    func forged(_ staticKey: Bytes32, _ own: KeyPair, ephemeral: (point: [UInt8], product: [UInt8])? = nil) throws -> [UInt8] {
        guard let honest = KeyPair(seed: Blake2b.hash256(own.publicKey.bytes, Array("ephemeral".utf8)).bytes),
            let es = ephemeral?.product ?? Ed25519.sharedPoint(secretKey: honest.secretKey, publicKey: key.publicKey),
            let ss = Ed25519.sharedPoint(secretKey: own.secretKey, publicKey: key.publicKey)
        else { throw ProbeError("no products") }
        var state = SymmetricState(protocolName: HandshakePattern.ik.protocolName)
        state.mixHash(Namespace.peerHandshake.bytes)
        state.mixHash(key.publicKey.bytes)
        let point = ephemeral?.point ?? honest.publicKey.bytes
        state.mixHash(point)
        state.mixKey(es)
        let encryptedStatic = try state.encryptAndHash(staticKey.bytes, field: "encryptedStatic")
        state.mixKey(ss)
        let payload = try state.encryptAndHash(ServerProbing.payload().encoded, field: "encryptedPayload")
        return point + encryptedStatic + payload
    }

    func send(_ message: HyperDHT.HandshakeMessage, from tester: UDPTester) throws -> UInt16 {
        let request = records.request(node, .peerHandshake, target: key.target, value: message.encoded)
        try tester.send(request.encoded, to: node.address)
        return request.tid
    }

    func exchange(_ noise: [UInt8], from other: UDPTester? = nil) throws -> Response? {
        let tester = try other ?? records.socket()
        let tid = try send(HyperDHT.HandshakeMessage(mode: RelayMode(rawValue: 0), noise: noise), from: tester)
        return records.dht.response(tester, tid: tid)?.0
    }

    func expectAnswer(_ response: Response?) throws -> HyperDHT.HandshakeMessage {
        let response = try records.expect("PEER_HANDSHAKE", response)
        guard let value = response.value else {
            exam.report("value", expected: "a handshake message", actual: "nothing")
            throw DHTProbing.Unanswered()
        }
        return try HyperDHT.HandshakeMessage(decoding: value)
    }

    func expectSilence(_ field: String, _ noise: [UInt8]) throws {
        let tester = try context.tester()
        _ = try send(HyperDHT.HandshakeMessage(mode: RelayMode(rawValue: 0), noise: noise), from: tester)
        records.dht.expectSilence(field, tester)
    }

    /// The refusals had their one reason: a right message is answered.
    func expectServes() throws {
        let (handshake, first) = try firstMessage(ServerProbing.payload(), number: 31)
        let answer = try expectAnswer(exchange(first))
        exam.equal("a right message's error", try NoisePayload(decoding: handshake.read(answer.noise)).error.rawValue, 0)
    }
}
