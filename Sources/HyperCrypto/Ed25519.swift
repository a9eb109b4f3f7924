import CSodium
import CompactEncoding
import SansIO

public enum Ed25519 {
    /// True only for a valid 64-byte detached signature.
    public static func verify(_ signature: [UInt8], _ message: [UInt8], _ publicKey: Bytes32) -> Bool {
        signature.count == 64 && crypto_sign_verify_detached(signature, message, UInt64(message.count), publicKey.bytes) == 0
    }

    /// Diffie-Hellman on edwards25519 (noise.md section 4): the clamped scalar of SHA-512(seed) times the peer's point, compressed.
    /// nil for a point that is not canonical, not on the curve, of small order or outside the prime-order subgroup, and for an identity result.
    public static func sharedPoint(secretKey: [UInt8], publicKey: Bytes32) -> [UInt8]? {
        guard secretKey.count == 64 else { return nil }
        return secretKey.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.flatMap { sharedPoint(secret: $0, publicKey: publicKey) }
        }
    }

    /// As above, with a secret key that can't be copied.
    public static func sharedPoint(secretKey: borrowing SecretBytes, publicKey: Bytes32) -> [UInt8]? {
        guard secretKey.count == 64 else { return nil }
        return secretKey.withBytes { sharedPoint(secret: $0, publicKey: publicKey) }
    }

    private static func sharedPoint(secret: UnsafePointer<UInt8>, publicKey: Bytes32) -> [UInt8]? {
        var scalar = [UInt8](repeating: 0, count: 32)
        defer { Sodium.wipe(&scalar) }
        guard crypto_sign_ed25519_sk_to_curve25519(&scalar, secret) == 0 else { return nil }
        // NOISE-4.
        if Mutation.noise(4).isActive { return montgomery(scalar: scalar, publicKey: publicKey) }
        var output = [UInt8](repeating: 0, count: 32)
        guard crypto_scalarmult_ed25519_noclamp(&output, scalar, publicKey.bytes) == 0 else {
            // NOISE-9 and NOISE-10: a multiplication that validates nothing.
            if Mutation.noise(9).isActive || Mutation.noise(10).isActive { return unchecked(scalar: scalar, publicKey: publicKey) }
            return nil
        }
        return output
    }

    /// X25519 of the converted keys: what a stock Noise library computes, and what the wire does not carry. NOISE-4.
    public static func convertedX25519(secretKey: [UInt8], publicKey: Bytes32) -> [UInt8]? {
        var scalar = [UInt8](repeating: 0, count: 32)
        defer { Sodium.wipe(&scalar) }
        guard secretKey.count == 64, crypto_sign_ed25519_sk_to_curve25519(&scalar, secretKey) == 0 else { return nil }
        return montgomery(scalar: scalar, publicKey: publicKey)
    }

    private static func montgomery(scalar: [UInt8], publicKey: Bytes32) -> [UInt8]? {
        var point = [UInt8](repeating: 0, count: 32)
        var output = [UInt8](repeating: 0, count: 32)
        guard crypto_sign_ed25519_pk_to_curve25519(&point, publicKey.bytes) == 0, crypto_scalarmult(&output, scalar, point) == 0 else {
            return nil
        }
        return output
    }

    /// Sum of two points of any order, compressed; nil if one is not on the curve. For making hostile points in checks.
    public static func sum(_ a: Bytes32, _ b: Bytes32) -> Bytes32? {
        var output = [UInt8](repeating: 0, count: 32)
        guard crypto_core_ed25519_add(&output, a.bytes, b.bytes) == 0 else { return nil }
        return Bytes32(output)
    }

    /// Double and add, without looking at order or canonical form.
    private static func unchecked(scalar: [UInt8], publicKey: Bytes32) -> [UInt8]? {
        var identity = [UInt8](repeating: 0, count: 32)
        identity[0] = 1
        guard var result = Bytes32(identity) else { return nil }
        for bit in stride(from: 254, through: 0, by: -1) {
            guard let doubled = sum(result, result) else { return nil }
            result = doubled
            if scalar[bit >> 3] >> (bit & 7) & 1 == 1 {
                guard let added = sum(result, publicKey) else { return nil }
                result = added
            }
        }
        return result.bytes
    }
}
