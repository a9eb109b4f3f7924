import CSodium
import CompactEncoding
import SansIO

/// BLAKE2b as libsodium's `crypto_generichash`, without salt or personalisation.
public enum Blake2b {
    /// 32-byte digest, unkeyed or keyed.
    public static func hash256(_ parts: [UInt8]..., key: [UInt8] = []) -> Bytes32 {
        Bytes32(digest(32, parts, key: key)) ?? .zero
    }

    /// 32-byte digest, unkeyed, of the first `count` (0...8) bytes of `word`, its least significant byte first. Allocates nothing.
    public static func hash256(word: UInt64, count: Int) -> Bytes32 {
        Sodium.initialise()
        var input = word.littleEndian
        var output: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeBytes(of: &input) { source in
            withUnsafeMutableBytes(of: &output) { target in
                guard let digest = target.bindMemory(to: UInt8.self).baseAddress,
                    let message = source.bindMemory(to: UInt8.self).baseAddress
                else { return }
                _ = crypto_generichash(digest, 32, message, UInt64(min(max(count, 0), 8)), nil, 0)
            }
        }
        return Bytes32(bigEndianWords: (output.0.bigEndian, output.1.bigEndian, output.2.bigEndian, output.3.bigEndian))
    }

    /// 64-byte digest, unkeyed.
    public static func hash512(_ parts: [UInt8]...) -> [UInt8] { digest(64, parts, key: []) }

    /// `length` (16...64) bytes over the parts laid end to end.
    public static func digest(_ length: Int, _ parts: [[UInt8]], key: [UInt8]) -> [UInt8] {
        Sodium.initialise()
        var output = [UInt8](repeating: 0, count: length)
        if parts.count == 1 {
            _ = crypto_generichash(&output, length, parts[0], UInt64(parts[0].count), key, key.count)
            return output
        }
        let joined = parts.count == 2 ? parts[0] + parts[1] : Array(parts.joined())
        _ = crypto_generichash(&output, length, joined, UInt64(joined.count), key, key.count)
        return output
    }

    /// RFC 2104 over BLAKE2b-512, block 128: noise.md section 5. 64 bytes. NOISE-5.
    public static func hmac512(key: [UInt8], _ message: [UInt8], _ more: [UInt8] = []) -> [UInt8] {
        // Keyed BLAKE2b, which many take for HMAC.
        if Mutation.noise(5).isActive { return digest(64, [message, more], key: Array(key.prefix(64))) }
        var output = [UInt8](repeating: 0, count: 64)
        _ = hc_hmac_blake2b512(&output, key, key.count, message, message.count, more, more.count)
        return output
    }
}

/// SHA-256: the other way in which applications make a topic out of a name.
public enum SHA256 {
    public static func hash(_ message: [UInt8]) -> Bytes32 {
        var output = [UInt8](repeating: 0, count: 32)
        _ = crypto_hash_sha256(&output, message, UInt64(message.count))
        return Bytes32(output) ?? .zero
    }
}

/// SHA-512: what recorders derive the inputs of a script with.
public enum SHA512 {
    /// 64 bytes.
    public static func hash(_ message: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 64)
        _ = crypto_hash_sha512(&output, message, UInt64(message.count))
        return output
    }
}

/// libsodium chooses the fastest code for this processor when it is initialised: without that everything works, but ciphers and hashes take several times
/// as long. Whatever uses one of them calls `initialise` first; safe to call often, and costs a comparison.
public enum Sodium {
    private static let ready: Bool = sodium_init() >= 0

    /// False if libsodium can't start (no source of randomness).
    @discardableResult public static func initialise() -> Bool { ready }

    /// Overwrites secrets in place.
    public static func wipe(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { sodium_memzero($0.baseAddress, $0.count) }
    }

    /// Constant-time comparison; false if the lengths differ.
    public static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.count == b.count && (a.isEmpty || sodium_memcmp(a, b, a.count) == 0) }
}
