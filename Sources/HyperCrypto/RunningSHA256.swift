import CSodium
import CompactEncoding

/// SHA-256 over bytes that come bit by bit. Not part of any protocol here: digests of received data are compared with it.
public struct RunningSHA256: Sendable {
    private var state = crypto_hash_sha256_state()

    public init() { crypto_hash_sha256_init(&state) }

    public mutating func update(_ bytes: [UInt8]) { crypto_hash_sha256_update(&state, bytes, UInt64(bytes.count)) }

    /// The digest of what came so far; more may follow.
    public var digest: Bytes32 {
        var copy = state
        var output = [UInt8](repeating: 0, count: 32)
        crypto_hash_sha256_final(&copy, &output)
        return Bytes32(output) ?? .zero
    }
}
