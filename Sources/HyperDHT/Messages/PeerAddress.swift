import CompactEncoding
import SansIO

/// A public key, optionally with DHT nodes at which its owner may be asked for. hyperdht.md section 19.
public struct PeerAddress: Hashable, Sendable, CompactCodable {
    public var publicKey: Bytes32
    public var nodes: [Endpoint]

    public init(publicKey: Bytes32, nodes: [Endpoint] = []) {
        self.publicKey = publicKey
        self.nodes = nodes
    }

    /// A bare key has no nodes.
    public init(from reader: inout Reader) throws(DecodingFailure) {
        publicKey = try reader.fixed32("key")
        let flags = reader.isAtEnd ? 0 : try reader.uint("flags")
        nodes = flags & 1 != 0 ? try reader.array("nodes") { reader throws(DecodingFailure) in try reader.ipv4Address("node") } : []
    }

    /// The flag is always set, as hyperdht-address 1.1.1 does.
    public func encode(to writer: inout Writer) {
        writer.fixed32(publicKey)
        writer.uint(1)
        writer.array(nodes) { $0.address($1) }
    }

    /// Reads 52 characters of z-base-32 or 64 of hexadecimal; nil for anything else. Text carries only the key.
    public init?(text: some StringProtocol) {
        let bytes: [UInt8]?
        switch text.utf8.count {
        case 64: bytes = Hex.decode(text)
        case 52: bytes = ZBase32.decode(text, byteCount: 32)
        default: bytes = nil
        }
        guard let bytes, let key = Bytes32(bytes) else { return nil }
        self.init(publicKey: key)
    }
}

/// z-base-32: five bits a character, the most significant first, the last group filled with zero bits. hyperdht.md section 19.
public enum ZBase32 {
    private static let alphabet = Array("ybndrfg8ejkmcpqxot1uwisza345h769".utf8)

    public static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var held: UInt32 = 0
        var bits: UInt32 = 0
        for byte in bytes {
            held = held << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(alphabet[Int(held >> bits & 31)])
            }
            held &= 0xff
        }
        if bits > 0 { text.append(alphabet[Int(held << (5 - bits) & 31)]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// nil for a character outside the alphabet, or text of another length than `byteCount` bytes take. Upper case is accepted.
    public static func decode(_ text: some StringProtocol, byteCount: Int) -> [UInt8]? {
        guard byteCount >= 0, text.utf8.count == (byteCount * 8 + 4) / 5 else { return nil }
        var result: [UInt8] = []
        var held: UInt32 = 0
        var bits: UInt32 = 0
        for character in text.utf8 {
            let lower = (65...90).contains(character) ? character + 32 : character
            guard let value = alphabet.firstIndex(of: lower) else { return nil }
            held = (held << 5 | UInt32(value)) & 0xfff
            bits += 5
            if bits >= 8 {
                bits -= 8
                result.append(UInt8(truncatingIfNeeded: held >> bits))
            }
        }
        return Array(result.prefix(byteCount))
    }
}
