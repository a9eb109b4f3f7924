import CSodium
import CompactEncoding

/// XSalsa20-Poly1305 as libsodium's `crypto_secretbox_easy`: 16-byte tag, then ciphertext.
public enum SecretBox {
    /// nil unless the nonce has 24 bytes.
    public static func seal(_ plaintext: [UInt8], nonce: [UInt8], key: Bytes32) -> [UInt8]? {
        Sodium.initialise()
        guard nonce.count == 24 else { return nil }
        var output = [UInt8](repeating: 0, count: plaintext.count + 16)
        guard crypto_secretbox_easy(&output, plaintext, UInt64(plaintext.count), nonce, key.bytes) == 0 else { return nil }
        return output
    }

    /// nil for a nonce that has not 24 bytes, fewer than 16 bytes, or a tag that does not verify.
    public static func open(_ box: [UInt8], nonce: [UInt8], key: Bytes32) -> [UInt8]? {
        Sodium.initialise()
        guard nonce.count == 24, box.count >= 16 else { return nil }
        var output = [UInt8](repeating: 0, count: box.count - 16)
        guard crypto_secretbox_open_easy(&output, box, UInt64(box.count), nonce, key.bytes) == 0 else { return nil }
        return output
    }
}
