import CompactEncoding

/// What a mutable record's signature covers, before hashing. hyperdht.md section 4.1.
public struct MutableSignable: Hashable, Sendable, CompactCodable {
    public var seq: UInt64
    public var value: [UInt8]

    public init(seq: UInt64, value: [UInt8]) {
        self.seq = seq
        self.value = value
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        seq = try reader.uint("seq")
        value = try reader.buffer("value")
    }

    public func encode(to writer: inout Writer) {
        writer.uint(seq)
        writer.buffer(value)
    }
}

/// The value of MUTABLE_PUT. hyperdht.md section 4.1.
public struct MutablePutRequest: Hashable, Sendable, CompactCodable {
    public var publicKey: Bytes32
    public var seq: UInt64
    public var value: [UInt8]
    /// 64 bytes.
    public var signature: [UInt8]

    public init(publicKey: Bytes32, seq: UInt64, value: [UInt8], signature: [UInt8]) {
        self.publicKey = publicKey
        self.seq = seq
        self.value = value
        self.signature = signature
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        publicKey = try reader.fixed32("publicKey")
        seq = try reader.uint("seq")
        value = try reader.buffer("value")
        signature = try reader.fixed(64, "signature")
    }

    public func encode(to writer: inout Writer) {
        writer.fixed32(publicKey)
        writer.uint(seq)
        writer.buffer(value)
        writer.fixed(signature)
    }
}

/// The value of MUTABLE_GET: the lowest sequence number that is of use. hyperdht.md section 4.1.
public struct MutableGetRequest: Hashable, Sendable, CompactCodable {
    public var seq: UInt64

    public init(seq: UInt64) { self.seq = seq }

    public init(from reader: inout Reader) throws(DecodingFailure) { seq = try reader.uint("seq") }

    public func encode(to writer: inout Writer) { writer.uint(seq) }
}

/// What is stored for a mutable record and returned by MUTABLE_GET. hyperdht.md section 4.1.
public struct MutableRecord: Hashable, Sendable, CompactCodable {
    public var seq: UInt64
    public var value: [UInt8]
    /// 64 bytes.
    public var signature: [UInt8]

    public init(seq: UInt64, value: [UInt8], signature: [UInt8]) {
        self.seq = seq
        self.value = value
        self.signature = signature
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        seq = try reader.uint("seq")
        value = try reader.buffer("value")
        signature = try reader.fixed(64, "signature")
    }

    public func encode(to writer: inout Writer) {
        writer.uint(seq)
        writer.buffer(value)
        writer.fixed(signature)
    }
}
