import CompactEncoding
import HyperCrypto
import KeyLog
import Noise
import PacketCapture
import SecretStream

/// Finished handshakes of stand-alone secret streams, made from the keys with which one side entered them: a key log needs no more.
struct StandaloneHandshakes {
    let records: [NoiseHandshakeRecord]

    init(_ capture: Capture, _ keyLog: KeyLog?) {
        var records: [NoiseHandshakeRecord] = []
        let entries = keyLog?.entries ?? []
        let finished = entries.compactMap { entry -> Bytes32? in
            if case .noise(let record) = entry.record { record.ephemeralKey } else { nil }
        }
        for entry in entries {
            guard case .noiseEphemeral(let keys) = entry.record, keys.isInitiator, !finished.contains(keys.ephemeralKey) else { continue }
            for stream in capture.tcpStreams {
                guard let back = capture.tcpStreams.first(where: { $0.source == stream.destination && $0.destination == stream.source }),
                    let record = StandaloneHandshakes.finish(
                        keys, StandaloneHandshakes.messages(stream.bytes), StandaloneHandshakes.messages(back.bytes))
                else { continue }
                records.append(record)
                break
            }
        }
        self.records = records
    }

    /// The first two frames of a direction.
    private static func messages(_ bytes: [UInt8]) -> [[UInt8]] {
        var offset = 0
        var parser = FrameParser()
        var result: [[UInt8]] = []
        while result.count < 2, case .inPlace(let body) = parser.next(bytes, from: &offset, limits: 0...FrameLength.largest) {
            result.append(Array(bytes[body]))
        }
        return result
    }

    /// Plays the initiator against the captured messages; nil unless it says the very same.
    private static func finish(_ keys: NoiseEphemeral, _ sent: [[UInt8]], _ received: [[UInt8]]) -> NoiseHandshakeRecord? {
        guard let pattern = HandshakePattern(rawValue: keys.pattern), let secret = keys.staticSecretKey,
            let staticKeys = KeyPair(secretKey: secret), let ephemeral = KeyPair(secretKey: keys.ephemeralSecretKey),
            let opening = sent.first, let answer = received.first,
            let state = try? HandshakeState(
                pattern: pattern, isInitiator: true, prologue: [], staticKeys: staticKeys,
                remoteStatic: pattern.hasKnownResponder ? keys.remoteStaticKey : nil, ephemeral: ephemeral)
        else { return nil }
        var messages: [NoiseHandshakeRecord.Message] = []
        guard (try? state.write(payload: [])) == opening, let payload = try? state.read(answer) else { return nil }
        messages.append(.init(isSent: true, message: opening, payload: []))
        messages.append(.init(isSent: false, message: answer, payload: payload))
        if state.result == nil {
            guard sent.count > 1, (try? state.write(payload: [])) == sent[1] else { return nil }
            messages.append(.init(isSent: true, message: sent[1], payload: []))
        }
        guard let result = state.result, let tx = Bytes32(result.tx), let rx = Bytes32(result.rx) else { return nil }
        return NoiseHandshakeRecord(
            pattern: keys.pattern, protocolName: pattern.protocolName, isInitiator: true, prologue: [], staticKey: staticKeys.publicKey,
            staticSecretKey: secret, ephemeralKey: keys.ephemeralKey, ephemeralSecretKey: keys.ephemeralSecretKey,
            remoteStaticKey: result.remotePublicKey, remoteEphemeralKey: nil, messages: messages, hash: result.hash, tx: tx, rx: rx)
    }
}
