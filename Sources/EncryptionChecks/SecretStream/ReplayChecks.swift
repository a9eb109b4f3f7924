import CompactEncoding
import Conformance
import HyperCrypto
import KeyLog
import Noise
import PacketCapture
import SansIO
import SecretStream

/// Our machines in the places of Node's parties: given what a recorded party received, and its secrets, they must send what it sent.
enum ReplayChecks {
    static let noise: [Check] = [Check("noise.recorded-parties", ["NOISE-3", "NOISE-24"], .replay, run: handshakes)]
    static let secretStream: [Check] = [
        Check("secret-stream.recorded-parties", ["SS-1", "SS-12", "SS-13", "SS-18", "SS-29"], .replay, run: streams)
    ]

    /// Every handshake of every key log, from the side that logged it.
    private static func handshakes(_ exam: Examination) throws {
        var count = 0
        for folder in try folders(exam) {
            let path = "\(folder)/keylog.jsonl"
            guard let text = try? exam.corpus.read(path) else { continue }
            let log = try KeyLog(parsing: text, file: path)
            var secrets: Set<Bytes32> = []
            for (line, entry) in log.entries.enumerated() {
                guard case .noise(let record) = entry.record else { continue }
                count += 1
                secrets.insert(try exam.at("\(path), line \(line + 2)") { try handshake(record, exam) })
            }
            for (line, entry) in log.entries.enumerated() {
                guard case .holepunch(let record) = entry.record else { continue }
                exam.require(
                    "\(path), line \(line + 2): sharedSecret", secrets.contains(record.sharedSecret), "of no handshake in this log")
            }
        }
        exam.require("handshakes", count >= 20, "only \(count)")
    }

    /// Paths below the corpus's root.
    private static func folders(_ exam: Examination) throws -> [String] {
        let root = exam.corpus.root + "/"
        return try TraceBundle.folders(in: root + "Fixtures").map { $0.hasPrefix(root) ? String($0.dropFirst(root.count)) : $0 }
    }

    /// Returns the hole-punch secret of the result.
    private static func handshake(_ record: NoiseHandshakeRecord, _ exam: Examination) throws -> Bytes32 {
        guard let pattern = HandshakePattern(rawValue: record.pattern), let secret = record.staticSecretKey,
            let own = KeyPair(secretKey: secret), let ephemeral = KeyPair(secretKey: record.ephemeralSecretKey)
        else { throw CorpusError("a handshake without pattern or secrets", file: "keylog.jsonl") }
        exam.equal("protocol", pattern.protocolName, record.protocolName)
        exam.equal("s", own.publicKey, record.staticKey ?? .zero)
        exam.equal("e", ephemeral.publicKey, record.ephemeralKey)
        let state = try HandshakeState(
            pattern: pattern, isInitiator: record.isInitiator, prologue: record.prologue, staticKeys: own,
            remoteStatic: record.remoteStaticKey, ephemeral: ephemeral)
        for (index, message) in record.messages.enumerated() {
            if message.isSent {
                exam.bytes("messages[\(index)].message", try state.write(payload: message.payload), message.message)
            } else {
                exam.bytes("messages[\(index)].payload", try state.read(message.message), message.payload)
            }
        }
        exam.bytes("hash", state.result?.hash, record.hash)
        exam.bytes("tx", state.result?.tx, record.tx.bytes)
        exam.bytes("rx", state.result?.rx, record.rx.bytes)
        exam.equal("rs", state.result?.remotePublicKey, record.remoteStaticKey)
        if let remote = record.remoteEphemeralKey { exam.equal("re", state.remoteEphemeral, remote) }
        return state.result?.holepunchSecret ?? .zero
    }

    /// The stand-alone streams: all bytes of both directions, from first to last.
    private static func streams(_ exam: Examination) throws {
        for folder in ["Fixtures/secret-stream-xx", "Fixtures/again/secret-stream-xx"] {
            try exam.at(folder) {
                let bundle = try TraceBundle(path: "\(exam.corpus.root)/\(folder)")
                let records = (bundle.keyLog?.entries ?? []).compactMap { entry in
                    if case .noise(let record) = entry.record { record } else { nil }
                }
                exam.equal("parties", Set(records.map(\.isInitiator)), [true, false])
                for record in records {
                    try exam.at(record.isInitiator ? "initiator" : "responder") { try party(record, bundle.capture.tcpStreams, exam) }
                }
            }
        }
    }

    private static func party(_ record: NoiseHandshakeRecord, _ streams: [TCPStream], _ exam: Examination) throws {
        let first = record.messages.first { $0.isSent }?.message ?? []
        guard let sent = streams.first(where: { Array($0.bytes.dropFirst(3).prefix(first.count)) == first }),
            let received = streams.first(where: { $0.source == sent.destination && $0.destination == sent.source }),
            let own = record.staticSecretKey.flatMap({ KeyPair(secretKey: $0) }),
            let ephemeral = KeyPair(secretKey: record.ephemeralSecretKey)
        else { return exam.report("streams", expected: "both directions of this party", actual: "none") }
        let (header, plaintexts) = try open(sent.bytes, record, exam)
        let entropy = SeededEntropy(seed: exam.seed)
        entropy.inject(header, for: .secretStreamHeader)
        let stream = SecretStream(isInitiator: record.isInitiator, entropy: entropy)
        stream.start(keyPair: own, ephemeral: ephemeral, at: .zero)
        for plaintext in plaintexts { try stream.write(plaintext, at: .zero) }
        stream.end(at: .zero)
        for chunk in received.chunks { stream.receive(Array(received.bytes[chunk.offset..<chunk.offset + chunk.count]), at: .zero) }
        stream.receiveEnd(at: .zero)
        exam.bytes("all that is sent", stream.takeRawBytes(), sent.bytes)
        let (_, theirs) = try open(received.bytes, record, exam, isOwn: false)
        let events = stream.takeEvents()
        exam.require("all that is read", events.messages == theirs, "\(events.messages.map(\.count)), not \(theirs.map(\.count))")
        exam.equal("the end", events.suffix(2), [.end(nil), .closed(nil)])
        exam.bytes("hash", stream.handshakeHash, record.hash)
    }

    /// secretstream header and plaintexts of one recorded direction.
    private static func open(
        _ bytes: [UInt8], _ record: NoiseHandshakeRecord, _ exam: Examination, isOwn: Bool = true
    ) throws -> (header: [UInt8], plaintexts: [[UInt8]]) {
        var parser = FrameParser()
        var offset = 0
        var bodies: [[UInt8]] = []
        while offset < bytes.count {
            switch parser.next(bytes, from: &offset, limits: 1...FrameLength.largest) {
            case .inPlace(let range): bodies.append(Array(bytes[range]))
            case .assembled(let body): bodies.append(body)
            case .incomplete, .refused:
                exam.report("frames", expected: "whole frames", actual: "byte \(offset)")
                return ([], [])
            }
        }
        let handshakes = record.messages.filter { $0.isSent == isOwn }.count
        guard bodies.count > handshakes else { throw CorpusError("a direction without id header", file: "capture.pcap") }
        let header = try IDHeader(decoding: bodies[handshakes])
        exam.equal("id", header.id, IDHeader.id(handshakeHash: record.hash, isInitiator: isOwn == record.isInitiator))
        let reader = SecretStreamReader(key: (isOwn ? record.tx : record.rx).bytes, header: header.header)
        return (header.header, bodies.dropFirst(handshakes + 1).compactMap { reader?.open($0)?.plaintext })
    }
}
