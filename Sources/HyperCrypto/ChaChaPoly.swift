import CSodium

/// ChaCha20-Poly1305 (IETF) as Noise uses it: nonce = 4 zero bytes, then the counter, little-endian. noise.md section 6.
public enum ChaChaPoly {
    public static let tagLength = 16

    /// Ciphertext, then tag.
    public static func seal(
        _ plaintext: [UInt8], key: borrowing SecretBytes, counter: UInt64, associatedData: [UInt8]
    ) -> [UInt8] {
        Sodium.initialise()
        var output = [UInt8](repeating: 0, count: plaintext.count + tagLength)
        let nonce = nonce(counter)
        key.withBytes {
            _ = crypto_aead_chacha20poly1305_ietf_encrypt(
                &output, nil, plaintext, UInt64(plaintext.count), associatedData, UInt64(associatedData.count), nil, nonce, $0)
        }
        return output
    }

    /// nil unless the tag holds.
    public static func open(
        _ ciphertext: [UInt8], key: borrowing SecretBytes, counter: UInt64, associatedData: [UInt8]
    ) -> [UInt8]? {
        Sodium.initialise()
        guard ciphertext.count >= tagLength else { return nil }
        var output = [UInt8](repeating: 0, count: ciphertext.count - tagLength)
        let nonce = nonce(counter)
        let result = key.withBytes {
            crypto_aead_chacha20poly1305_ietf_decrypt(
                &output, nil, nil, ciphertext, UInt64(ciphertext.count), associatedData, UInt64(associatedData.count), nonce, $0)
        }
        return result == 0 ? output : nil
    }

    /// Decrypts without looking at the tag: what a careless implementation does. Only mutation points call it.
    public static func openUnverified(_ ciphertext: [UInt8], key: borrowing SecretBytes, counter: UInt64) -> [UInt8] {
        Sodium.initialise()
        let body = Array(ciphertext.dropLast(tagLength))
        var output = [UInt8](repeating: 0, count: body.count)
        let nonce = nonce(counter)
        key.withBytes { _ = crypto_stream_chacha20_ietf_xor_ic(&output, body, UInt64(body.count), nonce, 1, $0) }
        return output
    }

    private static func nonce(_ counter: UInt64) -> [UInt8] {
        [0, 0, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: counter >> (8 * UInt64($0))) }
    }
}
