import CompactEncoding
import HyperCrypto
import Noise

/// The keys of noise.md section 12: seeds of 32 equal bytes.
enum NoiseKeys {
    static func pair(_ byte: UInt8) throws -> KeyPair {
        guard let pair = KeyPair(seed: [UInt8](repeating: byte, count: 32)) else { throw NoiseError(.invalidPoint, "seed") }
        return pair
    }

    static let prologue = Namespace.peerHandshake.bytes

    /// IK as the DHT does it. `ephemeral` nil stands for the section's own.
    static func initiator(
        server: Bytes32? = nil, prologue: [UInt8] = prologue, ephemeral: UInt8 = 3, isTracing: Bool = false
    ) throws -> HandshakeState {
        try HandshakeState(
            pattern: .ik, isInitiator: true, prologue: prologue, staticKeys: try pair(1), remoteStatic: try server ?? pair(2).publicKey,
            ephemeral: try pair(ephemeral), isTracing: isTracing)
    }

    static func responder(isTracing: Bool = false) throws -> HandshakeState {
        try HandshakeState(
            pattern: .ik, isInitiator: false, prologue: prologue, staticKeys: try pair(2), ephemeral: try pair(4), isTracing: isTracing)
    }

    static func xx(_ isInitiator: Bool, isTracing: Bool = false) throws -> HandshakeState {
        try HandshakeState(
            pattern: .xx, isInitiator: isInitiator, prologue: [], staticKeys: try pair(isInitiator ? 1 : 2),
            ephemeral: try pair(isInitiator ? 3 : 4), isTracing: isTracing)
    }

    static func hex(_ text: String) -> [UInt8] { Hex.decode(text.filter { !$0.isWhitespace }) ?? [] }
}
