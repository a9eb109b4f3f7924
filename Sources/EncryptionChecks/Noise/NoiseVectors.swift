import CompactEncoding
import Conformance
import HyperCrypto
import Noise
import SansIO
import StrictJSON

/// vectors/noise.json and noise-invalid.json.
enum NoiseVectors {
    static let checks: [Check] = [
        Check("noise.handshakes", ["NOISE-1", "NOISE-2", "NOISE-3", "NOISE-22", "NOISE-25"], .vector, .codec) { exam in
            try VectorFile("noise", in: exam.corpus).examine(exam) { try handshake($0, exam) }
        },
        Check("noise.damaged-first-messages", ["NOISE-6", "NOISE-9", "NOISE-11"], .vector, .codec) { exam in
            let whole = try VectorFile("noise", in: exam.corpus)
            try VectorFile("noise-invalid", in: exam.corpus).examine(exam) { try damaged($0, whole, exam) }
        },
    ]

    private struct Sides {
        let initiator: HandshakeState
        let responder: HandshakeState
    }

    private static func sides(_ node: VectorNode) throws -> Sides {
        let name = try node["pattern"].string()
        guard let pattern = HandshakePattern(rawValue: name) else {
            throw VectorNode.Mismatch(path: "\(node.path).pattern", expected: "a known pattern", actual: name)
        }
        try node["protocol"].expect(pattern.protocolName)
        let prologue = try node["prologue"].bytes()
        func keys(_ side: VectorNode) throws -> (KeyPair, KeyPair) {
            let pair = (try DerivationVectors.pair(side["staticSecret"]), try DerivationVectors.pair(side["ephemeralSecret"]))
            try side["staticPublic"].expect(pair.0.publicKey)
            try side["ephemeralPublic"].expect(pair.1.publicKey)
            return pair
        }
        let (initiatorStatic, initiatorEphemeral) = try keys(node["initiator"])
        let (responderStatic, responderEphemeral) = try keys(node["responder"])
        return Sides(
            initiator: try HandshakeState(
                pattern: pattern, isInitiator: true, prologue: prologue, staticKeys: initiatorStatic,
                remoteStatic: responderStatic.publicKey, ephemeral: initiatorEphemeral),
            responder: try HandshakeState(
                pattern: pattern, isInitiator: false, prologue: prologue, staticKeys: responderStatic, ephemeral: responderEphemeral))
    }

    private static func handshake(_ node: VectorNode, _ exam: Examination) throws {
        let sides = try sides(node)
        for (index, step) in try node["messages"].elements().enumerated() {
            let fromInitiator = index % 2 == 0
            try step["from"].expect(fromInitiator ? "initiator" : "responder")
            let (sender, receiver) = fromInitiator ? (sides.initiator, sides.responder) : (sides.responder, sides.initiator)
            let message = try step["message"]
            message.expect(try sender.write(payload: try step["payload"].bytes()))
            // The receiver reads what the file says, not what we made.
            let bytes = try message.bytes()
            var reader = Reader(bytes)
            let layout = try HandshakeMessage(pattern: receiver.pattern, index: index, from: &reader)
            message.expect(layout.encoded)
            try step["payload"].expect(try receiver.read(bytes))
        }
        guard let initiator = sides.initiator.result, let responder = sides.responder.result else {
            throw VectorNode.Mismatch(path: node.path, expected: "a complete handshake", actual: "more messages are due")
        }
        for side in [initiator, responder] { try node["handshakeHash"].expect(side.hash) }
        try node["initiatorTx"].expect(initiator.tx)
        try node["initiatorTx"].expect(responder.rx)
        try node["initiatorRx"].expect(initiator.rx)
        try node["initiatorRx"].expect(responder.tx)
        if sides.initiator.pattern != .nn {
            exam.equal("\(node.path): responder's view", responder.remotePublicKey, initiator.publicKey)
            exam.equal("\(node.path): initiator's view", initiator.remotePublicKey, responder.publicKey)
        }
    }

    private static func damaged(_ node: VectorNode, _ whole: VectorFile, _ exam: Examination) throws {
        let name = try node["handshake"].string()
        guard let base = whole.cases.first(where: { $0["id"]?.string == name }),
            let text = base["messages"]?.array?.first?["message"]?.string, let original = Hex.decode(text),
            let secret = base["responder"]?["staticSecret"]?.string.flatMap({ Hex.decode($0) }), let keys = KeyPair(secretKey: secret),
            let prologue = base["prologue"]?.string.flatMap({ Hex.decode($0) })
        else { throw VectorNode.Mismatch(path: "\(node.path).handshake", expected: "a case of noise.json", actual: name) }
        try node["at"].expect("responder, message 1")
        // The comment says what was done to the message; done again, it gives the file's bytes.
        let comment = try node["comment"].string()
        let message = try node["message"]
        message.expect(damage(original, comment))
        let responder = try HandshakeState(
            pattern: .ik, isInitiator: false, prologue: prologue, staticKeys: keys, entropy: SeededEntropy(seed: exam.seed))
        var failure: NoiseError?
        do { _ = try responder.read(try message.bytes()) } catch let error as NoiseError { failure = error }
        try node["refused"].expect(failure != nil)
        let error = try node["error"]
        let expected: NoiseError.Kind? =
            switch try error.string() {
            case "status: -1": .invalidPoint
            case "could not verify data": .notAuthentic
            case "Insufficient bytes": .shortMessage
            case let text where text.hasPrefix("The value of \"size\" is out of range."): .shortMessage
            default: nil
            }
        exam.equal(error.path, failure?.kind, expected)
        // NOISE-14: and the genuine message is still accepted.
        let payload = base["messages"]?.array?.first?["payload"]?.string.flatMap { Hex.decode($0) } ?? []
        exam.bytes("\(node.path): the genuine message afterwards", try? responder.read(original), payload)
    }

    private static func damage(_ message: [UInt8], _ comment: String) -> [UInt8]? {
        let words = comment.split(separator: " ")
        if comment.hasPrefix("bit flipped at byte "), let at = words.last.flatMap({ Int($0) }), message.indices.contains(at) {
            var copy = message
            copy[at] ^= 1
            return copy
        }
        if comment.hasPrefix("cut to "), words.count == 4, let length = Int(words[2]) { return Array(message.prefix(length)) }
        switch comment {
        case "one byte appended": return message + [0]
        case "all-zero ephemeral": return [UInt8](repeating: 0, count: 32) + message.dropFirst(32)
        default: return nil
        }
    }
}
