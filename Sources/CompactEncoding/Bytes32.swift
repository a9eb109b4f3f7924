/// Thirty-two bytes held inline: keys, ids, targets, tokens. The order is unsigned and bytewise.
public struct Bytes32: Hashable, Comparable, Sendable, CustomStringConvertible {
    // Big-endian words, so that comparing words compares bytes.
    @usableFromInline let word0: UInt64
    @usableFromInline let word1: UInt64
    @usableFromInline let word2: UInt64
    @usableFromInline let word3: UInt64

    public static let zero = Bytes32(0, 0, 0, 0)

    @inlinable init(_ w0: UInt64, _ w1: UInt64, _ w2: UInt64, _ w3: UInt64) {
        word0 = w0
        word1 = w1
        word2 = w2
        word3 = w3
    }

    /// Four words of eight bytes each, the first byte of each in its most significant place.
    @inlinable public init(bigEndianWords words: (UInt64, UInt64, UInt64, UInt64)) { self.init(words.0, words.1, words.2, words.3) }

    /// nil unless there are exactly 32 bytes.
    @inlinable public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        if let array = bytes as? [UInt8] {
            self.init(array, at: 0)
            return
        }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var index = 0
        for byte in bytes {
            switch index >> 3 {
            case 0: words.0 = words.0 << 8 | UInt64(byte)
            case 1: words.1 = words.1 << 8 | UInt64(byte)
            case 2: words.2 = words.2 << 8 | UInt64(byte)
            default: words.3 = words.3 << 8 | UInt64(byte)
            }
            index += 1
        }
        self.init(words.0, words.1, words.2, words.3)
    }

    /// The 32 bytes from `offset` on; zero if they are not all there.
    @usableFromInline init(_ bytes: [UInt8], at offset: Int) {
        guard offset >= 0, offset <= bytes.count - 32 else {
            self = .zero
            return
        }
        self = bytes.withUnsafeBytes { buffer in
            func word(_ at: Int) -> UInt64 { UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: offset + at, as: UInt64.self)) }
            return Bytes32(word(0), word(8), word(16), word(24))
        }
    }

    /// The first eight bytes as a number: ids of one table nearly always differ there.
    @inlinable public var leadingWord: UInt64 { word0 }

    public var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(32)
        append(to: &result)
        return result
    }

    /// Appends the 32 bytes.
    public func append(to output: inout [UInt8]) {
        withUnsafeBytes(of: (word0.bigEndian, word1.bigEndian, word2.bigEndian, word3.bigEndian)) { output.append(contentsOf: $0) }
    }

    @inlinable public static func < (a: Bytes32, b: Bytes32) -> Bool {
        if a.word0 != b.word0 { return a.word0 < b.word0 }
        if a.word1 != b.word1 { return a.word1 < b.word1 }
        if a.word2 != b.word2 { return a.word2 < b.word2 }
        return a.word3 < b.word3
    }

    /// The XOR distance of Kademlia, itself ordered bytewise.
    @inlinable public static func ^ (a: Bytes32, b: Bytes32) -> Bytes32 {
        Bytes32(a.word0 ^ b.word0, a.word1 ^ b.word1, a.word2 ^ b.word2, a.word3 ^ b.word3)
    }

    /// Number of leading zero bits, 0...256.
    @inlinable public var leadingZeroBitCount: Int {
        if word0 != 0 { return word0.leadingZeroBitCount }
        if word1 != 0 { return 64 + word1.leadingZeroBitCount }
        if word2 != 0 { return 128 + word2.leadingZeroBitCount }
        return 192 + word3.leadingZeroBitCount
    }

    public var description: String { Hex.encode(bytes) }
}
