import CompactEncoding
import HyperCrypto
import HyperDHT
import KeyLog
import SansIO

/// The operating system's randomness, keeping what a key log needs: ephemeral keys as they are drawn.
///
/// Belongs to the thread of its loop.
final class SecretRecorder: Entropy {
    private let system = SystemEntropy()
    private var drawn: [(context: UInt64, pair: KeyPair)] = []
    private var tokens: [Bytes32]?
    /// Of a secret-stream without a node under it: its line can be written at once.
    var standAlone: (pattern: String, isInitiator: Bool, keyPair: KeyPair, remotePublicKey: Bytes32?)?

    func bytes(_ count: Int, for label: EntropyLabel) -> [UInt8] {
        let bytes = system.bytes(count, for: label)
        guard label.purpose == .noiseEphemeral, KeyLogFile.shared.isOpen, let pair = KeyPair(seed: bytes) else { return bytes }
        if let known = standAlone {
            write(known.pattern, known.isInitiator, known.keyPair, pair, known.remotePublicKey)
        } else {
            drawn.append((label.context, pair))
        }
        return bytes
    }

    private func write(_ pattern: String, _ isInitiator: Bool, _ keyPair: KeyPair, _ ephemeral: KeyPair, _ remote: Bytes32?) {
        KeyLogFile.shared.append(
            .noiseEphemeral(
                NoiseEphemeral(
                    pattern: pattern, isInitiator: isInitiator, staticKey: keyPair.publicKey, staticSecretKey: keyPair.secretKey,
                    ephemeralKey: ephemeral.publicKey, ephemeralSecretKey: ephemeral.secretKey, remoteStaticKey: remote)))
    }

    /// At the end of a turn: lines for what happened in it.
    func write(_ node: HyperDHTNode, _ sockets: SocketSet?) {
        guard KeyLogFile.shared.isOpen else { return }
        for (context, pair) in drawn {
            if let keys = node.handshakeKeys(context) { write("IK", keys.isInitiator, keys.keyPair, pair, keys.remotePublicKey) }
        }
        drawn = []
        for stream in node.takeStreamSecrets() {
            KeyLogFile.shared.append(
                .secretStream(
                    SecretStreamRecord(
                        isInitiator: stream.isInitiator, publicKey: stream.publicKey, remotePublicKey: stream.remotePublicKey,
                        handshakeHash: stream.handshakeHash, txKey: stream.tx, rxKey: stream.rx,
                        udx: .init(localID: stream.localStreamID, remoteID: stream.remoteStreamID))))
        }
        if let now = node.tokenSecrets, now != tokens, let server = node.boundSockets?.server, let local = sockets?.local(server) {
            tokens = now
            KeyLogFile.shared.append(
                .tokenSecrets(TokenSecretsRecord(host: local.address.description, port: local.port, secrets: now)))
        }
    }
}
