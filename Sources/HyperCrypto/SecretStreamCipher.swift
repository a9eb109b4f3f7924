import CSodium

/// One direction of libsodium's secretstream (XChaCha20-Poly1305). It can't be copied, so a nonce can't be used twice; its state is
/// overwritten when it goes out of scope. secret-stream.md section 6.
public struct SecretStreamCipher: ~Copyable {
    public static let keyLength = 32
    public static let headerLength = 24
    /// One encrypted tag byte and 16 bytes of MAC.
    public static let overhead = 17

    private let state: UnsafeMutablePointer<crypto_secretstream_xchacha20poly1305_state>

    /// nil unless the key has 32 and the header 24 bytes. The same state serves sender and receiver: libsodium's `init_push` would draw
    /// a header of its own, so the header is drawn outside and the state made by `init_pull`.
    public init?(key: [UInt8], header: [UInt8]) {
        guard key.count == SecretStreamCipher.keyLength, header.count == SecretStreamCipher.headerLength else { return nil }
        Sodium.initialise()
        state = .allocate(capacity: 1)
        _ = crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    }

    deinit {
        sodium_memzero(state, MemoryLayout<crypto_secretstream_xchacha20poly1305_state>.size)
        state.deallocate()
    }

    /// Encrypts one message. The result starts with `prefix` zero bytes for the caller's length field.
    public mutating func push(_ plaintext: [UInt8], tag: UInt8 = 0, prefix: Int = 0) -> [UInt8] {
        let total = prefix + plaintext.count + SecretStreamCipher.overhead
        return [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            base.update(repeating: 0, count: prefix)
            _ = crypto_secretstream_xchacha20poly1305_push(
                state, base + prefix, nil, plaintext, UInt64(plaintext.count), nil, 0, tag)
            count = total
        }
    }

    /// Decrypts and verifies `bytes[range]`; nil if it is too short or does not verify, and then nothing has changed.
    public mutating func pull(_ bytes: [UInt8], _ range: Range<Int>) -> (plaintext: [UInt8], tag: UInt8)? {
        guard range.lowerBound >= 0, range.upperBound <= bytes.count, range.count >= SecretStreamCipher.overhead else { return nil }
        let length = range.count - SecretStreamCipher.overhead
        var tag: UInt8 = 0
        var verified = false
        let plaintext = bytes.withUnsafeBufferPointer { input in
            [UInt8](unsafeUninitializedCapacity: max(1, length)) { buffer, count in
                guard let source = input.baseAddress, let target = buffer.baseAddress else { return }
                let result = crypto_secretstream_xchacha20poly1305_pull(
                    state, target, nil, &tag, source + range.lowerBound, UInt64(range.count), nil, 0)
                verified = result == 0
                count = verified ? length : 0
            }
        }
        return verified ? (plaintext, tag) : nil
    }
}
