import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import class Noise.HandshakeState
import SansIO

/// Peers that mean no good: what they ask for is bounded and counted, and others are still served.
enum HyperDHTHostileChecks {
    private static let hostile = Endpoint(.v4(0x7f00_0003), 40300)
    private static let other = Endpoint(.v4(0x7f00_0004), 40400)

    static let checks: [Check] = [
        Check("hyperdht.many-records", ["HDHT-16", "HDHT-19"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed)
            let topic = Blake2b.hash256([1])
            exam.equal("no record yet", bench.ask(.lookup, target: topic, from: other)?.value, nil)
            for number in 0..<25 {
                exam.equal("announce \(number)", bench.announce(try key(UInt8(number + 1)), target: topic, from: hostile)?.error, 0)
            }
            let found = try bench.lookup(topic, from: other)?.peers ?? []
            exam.equal("records", found.count, 20)
            exam.equal("different ones", Set(found.map(\.publicKey)).count, 20)
        },
        Check("hyperdht.handshake-flood", ["HDHT-40", "HDHT-41"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed) { $0.limits.handshakesPerSecondAndHost = 16 }
            let server = try key(1)
            try bench.command { _ = try $0.listen(server) }
            let target = Blake2b.hash256(server.publicKey.bytes)
            var answered = 0
            for number in 0..<40 {
                let value = try firstMessage(server.publicKey, UInt8(number + 100))
                if bench.ask(.peerHandshake, target: target, value: value, from: hostile)?.value != nil { answered += 1 }
            }
            exam.equal("answered", answered, 16)
            exam.equal("counted", bench.node.statistics.dropped[.handshakesTooOften], 24)
            let value = try firstMessage(server.publicKey, 99)
            exam.require("others are served", bench.ask(.peerHandshake, target: target, value: value, from: other)?.value != nil)
            bench.pass(.seconds(12))
            let later = try firstMessage(server.publicKey, 98)
            exam.require("and it too, later", bench.ask(.peerHandshake, target: target, value: later, from: hostile)?.value != nil)
        },
        Check("hyperdht.handshakes-bounded", ["HDHT-41"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed) { $0.limits.handshakesPerServer = 8 }
            let server = try key(1)
            try bench.command { _ = try $0.listen(server) }
            let target = Blake2b.hash256(server.publicKey.bytes)
            // Damaged ones take a place, too, and go after ten seconds.
            for number in 0..<20 {
                let source = Endpoint(.v4(0x7f00_0100 | UInt32(number)), 1000)
                let value = HandshakeMessage(mode: .fromClient, noise: [UInt8](repeating: UInt8(number), count: 116)).encoded
                exam.equal("silence", bench.ask(.peerHandshake, target: target, value: value, from: source)?.tid, nil)
            }
            exam.equal("worked out", bench.node.statistics.dropped[.invalidNoise], 8)
            exam.equal("refused", bench.node.statistics.dropped[.tooManyHandshakes], 12)
            bench.pass(.seconds(11))
            let value = try firstMessage(server.publicKey, 98)
            exam.require("served again", bench.ask(.peerHandshake, target: target, value: value, from: other)?.value != nil)
        },
        Check("hyperdht.reflection", ["HDHT-37", "HDHT-47", "HDHT-49"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed) { $0.limits.relayedPerSecondAndHost = 10 }
            let nobody = Blake2b.hash256([9])
            for text in ["0.1.2.3", "224.0.0.1", "255.255.255.255", "239.1.1.1"] {
                let victim = Endpoint(IPAddress(text) ?? .any, 53)
                let value = HandshakeMessage(mode: .fromServer, noise: [1, 2], peerAddress: victim).encoded
                _ = bench.ask(.peerHandshake, target: nobody, value: value, from: hostile)
                let punch = HolepunchMessage(mode: .fromClient, id: 0, payload: [1], peerAddress: victim).encoded
                _ = bench.ask(.peerHolepunch, target: nobody, value: punch, from: hostile)
            }
            let zero = HandshakeMessage(mode: .fromServer, noise: [1, 2], peerAddress: Endpoint(other.address, 0)).encoded
            _ = bench.ask(.peerHandshake, target: nobody, value: zero, from: hostile)
            exam.equal("nothing was passed on", bench.node.statistics.messagesRelayed, 0)
            // A victim that can exist is written to as often as the bound allows.
            let victim = Endpoint(.v4(0x2d00_0001), 53)
            let value = HandshakeMessage(mode: .fromServer, noise: [1, 2], peerAddress: victim).encoded
            for _ in 0..<30 { _ = bench.ask(.peerHandshake, target: nobody, value: value, from: hostile) }
            exam.equal("passed on", bench.node.statistics.messagesRelayed, 10)
            exam.equal("counted", bench.node.statistics.dropped[.relayedTooOften], 20)
            _ = bench.ask(.peerHandshake, target: nobody, value: value, from: other)
            exam.equal("others are served", bench.node.statistics.messagesRelayed, 11)
        },
        Check("hyperdht.store-bounded", ["HDHT-71"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed) { $0.limits.stores = StoreLimits(maxSize: 16, maxAge: .seconds(60)) }
            let pair = try key(1)
            for number in 0..<100 {
                exam.equal("announce \(number)", bench.announce(pair, target: Blake2b.hash256([UInt8(number)]), from: hostile)?.error, 0)
                let value: [UInt8] = [UInt8(number), 1]
                let token = bench.token(for: hostile)
                exam.equal(
                    "put \(number)",
                    bench.ask(.immutablePut, target: Blake2b.hash256(value), value: value, token: token, from: hostile)?.error, 0)
            }
            // Two generations of each store.
            exam.require("entries held", bench.node.storedCount <= 2 * (16 + 1) + 2 * 8, "\(bench.node.storedCount)")
            exam.require("the latest is there", try bench.lookup(Blake2b.hash256([99]), from: other) != nil)
            // A turn that the cap forced takes the place of the next one by time.
            bench.pass(.seconds(121))
            exam.equal("all gone after three turns", bench.node.storedCount, 0)
        },
        Check("hyperdht.firewall-question", ["HDHT-44"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed)
            let server = try key(1)
            var options = ServerOptions()
            options.firewall = .ask
            try bench.command { _ = try $0.listen(server, options: options) }
            let target = Blake2b.hash256(server.publicKey.bytes)
            func questions() -> [FirewallQuestion] {
                bench.events.compactMap { if case .firewall(let question) = $0 { question } else { nil } }
            }
            // Asked, refused: silence, for copies too.
            let first = try firstMessage(server.publicKey, 90)
            exam.equal("not before a decision", bench.ask(.peerHandshake, target: target, value: first, from: hostile)?.tid, nil)
            exam.equal("asked", questions().count, 1)
            exam.equal("for this client", questions().first?.clientAddress, hostile)
            if let question = questions().last { bench.command { $0.decide(question.id, accept: false) } }
            exam.equal("silence", bench.takeSent().count, 0)
            exam.equal("a copy", bench.ask(.peerHandshake, target: target, value: first, from: hostile)?.tid, nil)
            exam.equal("not asked again", questions().count, 1)
            // Accepted: every copy that waited is answered.
            let second = try firstMessage(server.publicKey, 91)
            _ = bench.ask(.peerHandshake, target: target, value: second, from: hostile)
            _ = bench.ask(.peerHandshake, target: target, value: second, from: hostile)
            exam.equal("asked once for both", questions().count, 2)
            if let question = questions().last { bench.command { $0.decide(question.id, accept: true) } }
            let answers = bench.takeSent().compactMap { try? Self.handshake($0.payload) }
            exam.equal("answers", answers.count, 2)
            exam.equal("the same", Set(answers.map(\.noise)).count, 1)
            // No decision at all: refused after a while.
            _ = bench.ask(.peerHandshake, target: target, value: try firstMessage(server.publicKey, 92), from: hostile)
            bench.pass(.seconds(11))
            if let question = questions().last { bench.command { $0.decide(question.id, accept: true) } }
            exam.equal("too late", bench.takeSent().filter { (try? Self.handshake($0.payload)) != nil }.count, 0)
        },
    ]

    private static func key(_ byte: UInt8) throws -> KeyPair { try HyperDHTConnectChecks.keyPair(byte) }

    /// The reply's value, if it is one to a handshake.
    private static func handshake(_ datagram: [UInt8]) throws -> HandshakeMessage {
        let response = try Response(decoding: datagram)
        return try HandshakeMessage(decoding: response.value ?? [])
    }

    /// A FROM_CLIENT message with a valid message 1, made with this ephemeral key.
    private static func firstMessage(_ server: Bytes32, _ ephemeral: UInt8) throws -> [UInt8] {
        let state = try HandshakeState(
            pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: try key(200), remoteStatic: server,
            ephemeral: try key(ephemeral))
        let payload = NoisePayload(udx: NoisePayload.UDXInfo(id: 77), secretStream: NoisePayload.SecretStreamInfo())
        return HandshakeMessage(mode: .fromClient, noise: try state.write(payload: payload.encoded)).encoded
    }
}
