import CompactEncoding
import Conformance
import HyperCrypto
import Noise
import SansIO
import SecretStream

/// vectors/secret-stream.json and secret-stream-messages.json.
enum SecretStreamVectors {
    static let checks: [Check] = [
        Check("secret-stream.frames", ["SS-2", "SS-9", "SS-12", "SS-13"], .vector, .stack) { exam in
            try VectorFile("secret-stream", in: exam.corpus).examine(exam) { try frames($0, exam) }
        },
        Check("secret-stream.unordered-messages", ["SS-22", "SS-24"], .vector, .codec) { exam in
            try VectorFile("secret-stream-messages", in: exam.corpus).examine(exam, box)
        },
    ]

    private static func frames(_ node: VectorNode, _ exam: Examination) throws {
        let hash = try node["handshakeHash"].bytes()
        let key = try node["initiatorTxKey"].bytes()
        let header = try node["header"].bytes()
        let headerFrame = try node["initiatorHeaderFrame"]
        try node["initiatorStreamId"].expect(IDHeader.id(handshakeHash: hash, isInitiator: true))
        try node["responderStreamId"].expect(IDHeader.id(handshakeHash: hash, isInitiator: false))

        // The sender, driven with the reference's header as its draw.
        let entropy = SeededEntropy(seed: exam.seed)
        entropy.inject(header, for: .secretStreamHeader)
        let sender = SecretStream(isInitiator: true, entropy: entropy)
        let other = [UInt8](repeating: 7, count: 32)
        sender.start(handshake: result(true, tx: key, rx: other, hash: hash), at: .zero)
        headerFrame.expect(sender.takeRawBytes())

        // The receiver, fed with the file's bytes, and the dissector's reader beside it.
        let receiver = SecretStream(isInitiator: false, entropy: entropy)
        receiver.start(handshake: result(false, tx: other, rx: key, hash: hash), at: .zero)
        receiver.receive(try headerFrame.bytes(), at: .zero)
        let reader = SecretStreamReader(key: key, header: header)
        exam.equal("\(node.path): opened", receiver.takeEvents(), [.opened(remotePublicKey: Bytes32.zero)])

        for step in try node["frames"].elements() {
            let plaintext = try step["plaintext"]
            let frame = try step["frame"]
            try sender.write(try plaintext.bytes(), at: .zero)
            frame.expect(sender.takeRawBytes())
            let bytes = try frame.bytes()
            receiver.receive(bytes, at: .zero)
            if case .message(let message)? = receiver.takeEvents().first {
                plaintext.expect(message)
            } else {
                plaintext.expect([UInt8]?.none)
            }
            let opened = reader?.open(bytes, range: FrameLength.size..<bytes.count)
            plaintext.expect(opened?.plaintext)
            exam.equal("\(step.path): tag", opened?.tag, 0)
            exam.bytes(
                "\(step.path): layout", try EncryptedFrame(decoding: Array(bytes.dropFirst(FrameLength.size))).encoded,
                Array(bytes.dropFirst(FrameLength.size)))
        }
    }

    private static func box(_ node: VectorNode) throws {
        let hash = try node["handshakeHash"].bytes()
        let role = try node["sender"].string()
        guard role == "initiator" || role == "responder" else {
            throw VectorNode.Mismatch(path: "\(node.path).sender", expected: "initiator or responder", actual: role)
        }
        let key = UnorderedBox.key(handshakeHash: hash, senderIsInitiator: role == "initiator")
        try node["key"].expect(key)
        // The counter is increased before it is used.
        let counter = try node["counter"].bytes()
        var reader = Reader(counter)
        var before = Writer()
        before.biguint64(try reader.biguint64("counter") &- 1)
        var sealer = UnorderedBox.Sealer(key: key, initialCounter: before.bytes)
        let message = try node["message"]
        message.expect(sealer.seal(try node["plaintext"].bytes()))
        try node["plaintext"].expect(UnorderedBox.open(try message.bytes(), key: key))
        let envelope = try BoxEnvelope(decoding: try message.bytes())
        try node["counter"].expect(envelope.counter)
        message.expect(envelope.encoded)
    }

    static func result(_ isInitiator: Bool, tx: [UInt8], rx: [UInt8], hash: [UInt8]) -> HandshakeResult {
        HandshakeResult(isInitiator: isInitiator, tx: tx, rx: rx, hash: hash, publicKey: .zero, remotePublicKey: .zero)
    }
}

extension SecretStream {
    /// What it wants written, end to end; other effects are left out.
    func takeRawBytes() -> [UInt8] {
        takeEffects().flatMap { effect -> [UInt8] in if case .write(let bytes) = effect { bytes } else { [] } }
    }
}
