import CompactEncoding

/// z-base-32, the text form of keys: five bits a character from the most significant, the last group filled with zero bits.
/// hyperdht.md section 19.
public enum ZBase32 {
    private static let alphabet = Array("ybndrfg8ejkmcpqxot1uwisza345h769".utf8)

    public static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var window: UInt32 = 0
        var bits: UInt32 = 0
        for byte in bytes {
            window = window << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(alphabet[Int(window >> bits & 31)])
            }
            window &= 0xff
        }
        if bits > 0 { text.append(alphabet[Int(window << (5 - bits) & 31)]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// Upper case is accepted. nil for a foreign character, an impossible length, or bits set beyond the last whole byte.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var window: UInt32 = 0
        var bits: UInt32 = 0
        for character in text.utf8 {
            let lower = (65...90).contains(character) ? character + 32 : character
            guard let value = alphabet.firstIndex(of: lower) else { return nil }
            window = window << 5 | UInt32(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: window >> bits))
            }
            window &= 0xff
        }
        guard bits < 5, window & (1 << bits - 1) == 0 else { return nil }
        return bytes
    }
}

extension Bytes32 {
    /// The 52 characters that applications show for a key.
    public var zBase32: String { ZBase32.encode(bytes) }

    /// Reads a key as people type it: 52 characters of z-base-32 or 64 of hexadecimal.
    public init?(keyText text: some StringProtocol) {
        switch text.utf8.count {
        case 52:
            guard let bytes = ZBase32.decode(text) else { return nil }
            self.init(bytes)
        case 64:
            guard let bytes = Hex.decode(text) else { return nil }
            self.init(bytes)
        default: return nil
        }
    }
}

extension KeyPair {
    /// What a peer is found under: BLAKE2b-256 of its public key. hyperdht.md section 1.
    public var target: Bytes32 { Blake2b.hash256(publicKey.bytes) }

    /// Hypercore's discovery key of a public key; Hyperswarm itself does not use it.
    public static func discoveryKey(of publicKey: Bytes32) -> Bytes32 { Blake2b.hash256(Array("hypercore".utf8), key: publicKey.bytes) }
}
