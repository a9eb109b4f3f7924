import CompactEncoding
import HyperCrypto
import SansIO

/// The length before each body: three bytes, little-endian, header not counted. secret-stream.md section 2.
public struct FrameLength: CompactCodable, Hashable, Sendable {
    public static let size = 3
    /// 2^24 - 1.
    public static let largest = 0xff_ffff

    public var length: Int

    public init(_ length: Int) { self.length = length }

    public init(from reader: inout Reader) throws(DecodingFailure) { length = Int(try reader.fixedUint(FrameLength.size, "length")) }

    public func encode(to writer: inout Writer) {
        // SS-1: little-endian.
        if Mutation.secretStream(1).isActive {
            writer.raw([UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)])
        } else {
            writer.fixedUint(UInt64(max(0, length)), width: FrameLength.size)
        }
    }
}

/// Body of the first frame of each direction: the sender's stream id, then the secretstream header. secret-stream.md section 5.
public struct IDHeader: CompactCodable, Hashable, Sendable {
    public static let size = 56

    public var id: Bytes32
    /// 24 random bytes.
    public var header: [UInt8]

    public init(id: Bytes32, header: [UInt8]) {
        self.id = id
        self.header = header
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        id = try reader.fixed32("id")
        header = try reader.fixed(SecretStreamCipher.headerLength, "header")
    }

    public func encode(to writer: inout Writer) {
        writer.fixed32(id)
        writer.fixed(header)
    }

    /// BLAKE2b-256 keyed with the handshake hash over the role's namespace; the role is the sender's.
    public static func id(handshakeHash: [UInt8], isInitiator: Bool) -> Bytes32 {
        Blake2b.hash256((isInitiator ? Namespace.initiator : Namespace.responder).bytes, key: handshakeHash)
    }
}

/// Body of every later frame, still encrypted: for dissection.
public struct EncryptedFrame: CompactCodable, Hashable, Sendable {
    public var encryptedTag: UInt8
    public var ciphertext: [UInt8]
    /// 16 bytes.
    public var mac: [UInt8]

    public init(from reader: inout Reader) throws(DecodingFailure) {
        encryptedTag = try reader.uint8("encryptedTag")
        guard reader.remaining >= 16 else { throw reader.failure(.outOfBounds, "mac") }
        ciphertext = try reader.fixed(reader.remaining - 16, "ciphertext")
        mac = try reader.fixed(16, "mac")
    }

    public func encode(to writer: inout Writer) {
        writer.uint8(encryptedTag)
        writer.fixed(ciphertext)
        writer.fixed(mac)
    }
}

/// Body of an unordered message, still encrypted: for dissection. secret-stream.md section 9.
public struct BoxEnvelope: CompactCodable, Hashable, Sendable {
    public static let overhead = 24

    /// 8 bytes: the first part of the nonce.
    public var counter: [UInt8]
    public var mac: [UInt8]
    public var ciphertext: [UInt8]

    public init(from reader: inout Reader) throws(DecodingFailure) {
        counter = try reader.fixed(8, "counter")
        mac = try reader.fixed(16, "mac")
        ciphertext = reader.raw("ciphertext")
    }

    public func encode(to writer: inout Writer) {
        writer.fixed(counter)
        writer.fixed(mac)
        writer.raw(ciphertext)
    }
}
