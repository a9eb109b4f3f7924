import CompactEncoding
import Conformance
import HyperCrypto
import Noise
import SansIO

/// The handshake engine against damaged, hostile and repeated messages.
enum NoiseMachineChecks {
    static let checks: [Check] = [
        Check("noise.flipped-bit", ["NOISE-6"], .machine, run: flippedBit),
        Check("noise.empty-prologue", ["NOISE-7"], .machine) { exam in
            try refused(exam, "an empty prologue", try NoiseKeys.initiator(prologue: []).write(payload: [1, 0]))
        },
        Check("noise.other-server", ["NOISE-8"], .machine) { exam in
            let other = try NoiseKeys.pair(9).publicKey
            try refused(exam, "another server key", try NoiseKeys.initiator(server: other).write(payload: [1, 0]))
        },
        Check("noise.small-order-ephemeral", ["NOISE-9"], .machine, run: smallOrder),
        Check("noise.mixed-order-static", ["NOISE-10"], .machine, run: mixedOrder),
        Check("noise.short-message", ["NOISE-11"], .machine, run: short),
        Check("noise.fresh-ephemeral", ["NOISE-13"], .machine, run: freshEphemeral),
        Check("noise.garbage-then-genuine", ["NOISE-14"], .machine, run: garbageFirst),
        Check("noise.wrong-tag-in-answer", ["NOISE-15"], .machine, run: wrongTag),
        Check("noise.message-after-completion", ["NOISE-23"], .machine, run: afterCompletion),
    ]

    /// A responder that was given `message` takes nothing, learns nobody's key and has nothing to write.
    private static func refused(_ exam: Examination, _ what: String, _ message: [UInt8]) throws {
        let responder = try NoiseKeys.responder()
        exam.refuses(what) { _ = try responder.read(message) }
        exam.equal("\(what): keys", responder.result, nil)
        exam.equal("\(what): remote key", responder.remoteStatic, nil)
        exam.refuses("\(what): a reply") { _ = try responder.write(payload: [2, 0]) }
    }

    private static func flippedBit(_ exam: Examination) throws {
        let message = try NoiseKeys.initiator().write(payload: [1, 0])
        for index in message.indices {
            var damaged = message
            damaged[index] ^= 1 << UInt8(index % 8)
            try refused(exam, "bit \(index % 8) of byte \(index)", damaged)
        }
        exam.bytes("undamaged", try? NoiseKeys.responder().read(message), [1, 0])
    }

    /// The hostile side knows the product that a careless responder would compute: the identity, whatever its secret.
    private static func smallOrder(_ exam: Examination) throws {
        let identity = NoiseKeys.hex("01" + String(repeating: "00", count: 31))
        for (name, point) in DerivationVectors.hostilePoints.sorted(by: { $0.key < $1.key }) {
            let forged = try forge(ephemeral: point, es: identity, staticKey: try NoiseKeys.pair(1).publicKey)
            try refused(exam, name, forged)
            // XX: nothing may be made of such an ephemeral either.
            let responder = try NoiseKeys.xx(false)
            _ = try responder.read(point.bytes)
            exam.refuses("XX, \(name)") { _ = try responder.write() }
        }
    }

    /// The static key S + T (T of order 8) with the product that S alone gives: T vanishes under the responder's clamped scalar.
    private static func mixedOrder(_ exam: Examination) throws {
        let attacker = try NoiseKeys.pair(1)
        let ephemeral = try NoiseKeys.pair(3)
        let server = try NoiseKeys.pair(2).publicKey
        guard let torsion = DerivationVectors.hostilePoints["order 8"], let mixed = Ed25519.sum(attacker.publicKey, torsion),
            let es = Ed25519.sharedPoint(secretKey: ephemeral.secretKey, publicKey: server)
        else { return exam.report("mixed-order point", expected: "a point", actual: "nothing") }
        let forged = try forge(ephemeral: ephemeral.publicKey, es: es, staticKey: mixed)
        try refused(exam, "mixed-order static key", forged)
        // The same message with the honest key is accepted, so it is the point that was refused.
        let honest = try forge(ephemeral: ephemeral.publicKey, es: es, staticKey: attacker.publicKey)
        exam.bytes("honest static key", try? NoiseKeys.responder().read(honest), [1, 0])
    }

    /// IK message 1 made by hand from a given product and a given static key.
    private static func forge(ephemeral: Bytes32, es: [UInt8], staticKey: Bytes32) throws -> [UInt8] {
        let server = try NoiseKeys.pair(2).publicKey
        guard let ss = Ed25519.sharedPoint(secretKey: try NoiseKeys.pair(1).secretKey, publicKey: server) else {
            throw NoiseError(.invalidPoint, "ss")
        }
        var state = SymmetricState(protocolName: HandshakePattern.ik.protocolName)
        state.mixHash(NoiseKeys.prologue)
        state.mixHash(server.bytes)
        state.mixHash(ephemeral.bytes)
        state.mixKey(es)
        let encryptedStatic = try state.encryptAndHash(staticKey.bytes, field: "encryptedStatic")
        state.mixKey(ss)
        return ephemeral.bytes + encryptedStatic + (try state.encryptAndHash([1, 0], field: "encryptedPayload"))
    }

    private static func short(_ exam: Examination) throws {
        let message = try NoiseKeys.initiator().write(payload: [1, 0])
        for length in 0...95 { try refused(exam, "\(length) bytes", Array(message.prefix(length))) }
        let answer = try NoiseKeys.responder()
        _ = try answer.read(message)
        let second = try answer.write(payload: [])
        for length in 0..<48 {
            let initiator = try NoiseKeys.initiator()
            _ = try initiator.write(payload: [1, 0])
            exam.refuses("answer of \(length) bytes") { _ = try initiator.read(Array(second.prefix(length))) }
        }
    }

    private static func freshEphemeral(_ exam: Examination) throws {
        let entropy = SeededEntropy(seed: exam.seed)
        var seen: [[UInt8]] = []
        for ephemeral: UInt8 in [3, 5, 6] {
            let responder = try HandshakeState(
                pattern: .ik, isInitiator: false, prologue: NoiseKeys.prologue, staticKeys: try NoiseKeys.pair(2), entropy: entropy)
            let initiator = try NoiseKeys.initiator(ephemeral: ephemeral)
            _ = try responder.read(try initiator.write(payload: [1, 0]))
            let reply = try responder.write(payload: [2, 0])
            exam.bytes("payload", try initiator.read(reply), [2, 0])
            exam.require("e_R is new", !seen.contains(Array(reply.prefix(32))), "the same ephemeral twice")
            seen.append(Array(reply.prefix(32)))
        }
    }

    private static func garbageFirst(_ exam: Examination) throws {
        let initiator = try NoiseKeys.initiator()
        let responder = try NoiseKeys.responder()
        _ = try responder.read(try initiator.write(payload: [1, 0]))
        let genuine = try responder.write(payload: [2, 0])
        var forged = genuine
        forged[forged.count - 1] ^= 1
        let garbage: [(String, [UInt8])] = [
            ("nothing", []), ("zeros", [UInt8](repeating: 0, count: 50)),
            ("a foreign key", try NoiseKeys.pair(7).publicKey.bytes + genuine.dropFirst(32)),
            ("a wrong tag", forged),
        ]
        for (name, bytes) in garbage { exam.refuses(name) { _ = try initiator.read(bytes) } }
        exam.bytes("the genuine answer", try? initiator.read(genuine), [2, 0])
        exam.bytes("hash", initiator.result?.hash, responder.result?.hash ?? [])
        exam.bytes("tx", initiator.result?.tx, responder.result?.rx ?? [])
        // The same on the other side.
        let again = try NoiseKeys.responder()
        let first = try NoiseKeys.initiator().write(payload: [1, 0])
        exam.refuses("a damaged first message") { _ = try again.read(Array(first.dropLast()) + [0xee]) }
        exam.bytes("the genuine first message", try? again.read(first), [1, 0])
    }

    private static func wrongTag(_ exam: Examination) throws {
        for index in [32, 40, 49] {
            let initiator = try NoiseKeys.initiator()
            let responder = try NoiseKeys.responder()
            _ = try responder.read(try initiator.write(payload: [1, 0]))
            var answer = try responder.write(payload: [2, 0])
            answer[index] ^= 0x80
            exam.refuses("byte \(index) changed") { _ = try initiator.read(answer) }
            exam.equal("byte \(index): keys for a secret stream", initiator.result, nil)
        }
    }

    private static func afterCompletion(_ exam: Examination) throws {
        let initiator = try NoiseKeys.initiator()
        let responder = try NoiseKeys.responder()
        let first = try initiator.write(payload: [1, 0])
        _ = try responder.read(first)
        let second = try responder.write(payload: [2, 0])
        _ = try initiator.read(second)
        exam.require("both complete", initiator.isComplete && responder.isComplete)
        for (name, side, message) in [("initiator", initiator, second), ("responder", responder, first)] {
            exam.refuses("\(name) reads again") { _ = try side.read(message) }
            exam.refuses("\(name) reads nothing") { _ = try side.read([]) }
            exam.refuses("\(name) writes again") { _ = try side.write() }
        }
    }
}
