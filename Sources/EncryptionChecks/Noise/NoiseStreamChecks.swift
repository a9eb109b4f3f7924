import CompactEncoding
import Conformance
import HyperCrypto
import Noise
import SansIO
import SecretStream

/// XX inside a stand-alone secret stream: what leaves when the handshake goes wrong.
enum NoiseStreamChecks {
    static let checks: [Check] = [
        Check("noise.xx-short-first-message", ["NOISE-17"], .machine) { exam in
            for length in [1, 16, 31] { try failsSilently(exam, "\(length) bytes", [UInt8](repeating: 7, count: length)) }
        },
        Check("noise.xx-invalid-ephemeral", ["NOISE-18"], .machine) { exam in
            for (name, point) in DerivationVectors.hostilePoints.sorted(by: { $0.key < $1.key }) {
                try failsSilently(exam, name, point.bytes)
            }
        },
        Check("noise.xx-payload-in-clear", ["NOISE-19"], .machine, run: clearPayload),
        Check("noise.xx-payload-ignored", ["NOISE-20"], .machine, run: payloadIgnored),
        Check("noise.xx-two-initiators", ["NOISE-21"], .machine, run: twoInitiators),
    ]

    private static func framed(_ body: [UInt8]) -> [UInt8] { [UInt8(body.count & 255), UInt8(body.count >> 8), 0] + body }

    private static func failsSilently(_ exam: Examination, _ what: String, _ body: [UInt8]) throws {
        let responder = SecretStream(isInitiator: false, entropy: SeededEntropy(seed: exam.seed))
        responder.start(keyPair: try NoiseKeys.pair(2), at: .zero)
        responder.receive(framed(body), at: .zero)
        exam.equal("\(what): effects", responder.takeEffects(), [.destroy])
        exam.equal("\(what): error", responder.takeEvents().failure, .handshakeFailed)
    }

    private static func clearPayload(_ exam: Examination) throws {
        let tester = try NoiseKeys.xx(true)
        let first = try tester.write(payload: [0xde, 0xad, 0xbe, 0xef])
        exam.equal("first message", first.count, 36)
        let responder = SecretStream(isInitiator: false, entropy: SeededEntropy(seed: exam.seed))
        responder.start(keyPair: try NoiseKeys.pair(2), ephemeral: try NoiseKeys.pair(4), at: .zero)
        responder.receive(framed(first), at: .zero)
        let reply = responder.takeRawBytes()
        exam.bytes("length of the reply", Array(reply.prefix(3)), [96, 0, 0])
        // The reply opens only under a transcript with those four bytes.
        exam.bytes("payload of the reply", try? tester.read(Array(reply.dropFirst(3))), [])
    }

    private static func payloadIgnored(_ exam: Examination) throws {
        let initiator = SecretStream(isInitiator: true, entropy: SeededEntropy(seed: exam.seed))
        initiator.start(keyPair: try NoiseKeys.pair(1), ephemeral: try NoiseKeys.pair(3), at: .zero)
        let tester = try NoiseKeys.xx(false)
        _ = try tester.read(Array(initiator.takeRawBytes().dropFirst(3)))
        initiator.receive(framed(try tester.write(payload: Array("something".utf8))), at: .zero)
        let reply = initiator.takeRawBytes()
        exam.bytes("length of message 3", Array(reply.prefix(3)), [64, 0, 0])
        exam.bytes("payload of message 3", try? tester.read(Array(reply.dropFirst(3).prefix(64))), [])
        exam.equal("events", initiator.takeEvents(), [.opened(remotePublicKey: try NoiseKeys.pair(2).publicKey)])
        exam.bytes("hash", initiator.handshakeHash, tester.result?.hash ?? [])
    }

    private static func twoInitiators(_ exam: Examination) throws {
        let sides = try [UInt8(1), 2].map { (number: UInt8) throws -> SecretStream in
            let stream = SecretStream(isInitiator: true, entropy: SeededEntropy(seed: exam.seed))
            stream.start(keyPair: try NoiseKeys.pair(number), ephemeral: try NoiseKeys.pair(number + 2), at: .zero)
            return stream
        }
        for _ in 0..<8 {
            let bytes = sides.map { $0.takeRawBytes() }
            sides[0].receive(bytes[1], at: .zero)
            sides[1].receive(bytes[0], at: .zero)
        }
        let failures = sides.map { $0.takeEvents().failure }
        exam.require("one side fails", failures.contains(.handshakeFailed), "\(failures)")
        exam.require("no side opens", sides.allSatisfy { !$0.isOpen })
    }
}
