import CSodium
import CompactEncoding
import SansIO

/// An Ed25519 key pair in libsodium's form. It signs records and does Noise's Diffie-Hellman.
public struct KeyPair: Hashable, Sendable {
    public let publicKey: Bytes32
    /// 64 bytes: seed, then public key.
    public let secretKey: [UInt8]

    /// Derives the pair from a 32-byte seed; nil for another length. HDHT-1.
    public init?(seed: [UInt8]) {
        guard let seed = Bytes32(seed) else { return nil }
        self.init(seed: seed)
    }

    /// Derives the pair from a seed. HDHT-1.
    public init(seed: Bytes32) {
        Sodium.initialise()
        let seed = Mutation.hyperDHT(1).isActive ? Blake2b.hash256(seed.bytes) : seed
        var publicKey = [UInt8](repeating: 0, count: 32)
        var secretKey = [UInt8](repeating: 0, count: 64)
        // Every 32 bytes are a seed: libsodium's result is always 0.
        _ = crypto_sign_seed_keypair(&publicKey, &secretKey, seed.bytes)
        self.publicKey = Bytes32(publicKey) ?? .zero
        self.secretKey = secretKey
    }

    /// Takes a 64-byte secret key; nil for another length.
    public init?(secretKey: [UInt8]) {
        guard secretKey.count == 64, let key = Bytes32(secretKey[32...]) else { return nil }
        publicKey = key
        self.secretKey = secretKey
    }

    /// Ed25519 detached signature, 64 bytes.
    public func sign(_ message: [UInt8]) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: 64)
        _ = crypto_sign_detached(&signature, nil, message, UInt64(message.count), secretKey)
        return signature
    }
}
