import CompactEncoding
import SansIO

/// The bits of `bitfield(7)`: one byte 0...0xFC. Longer forms are accepted, as the reference does, and never sent. RELAY-17.
enum RelayFlags {
    static func decode(_ reader: inout Reader) throws(DecodingFailure) -> UInt8 {
        let first = try reader.uint8("flags")
        let width: Int
        switch first {
        case 0xfd: width = 2
        case 0xfe: width = 4
        case 0xff: width = 8
        default: return first
        }
        return try reader.fixed(width, "flagBits").first ?? 0
    }
}

/// Message 0: asks to be joined with whoever sends the same token in the other role; and the relay's answer. protomux.md B3.
public struct Pair: CompactCodable, Hashable, Sendable {
    public static let type: UInt64 = 0

    public var isInitiator: Bool
    public var token: Bytes32
    /// UDX stream id of the sender.
    public var streamID: UInt64
    /// Always 0 and ignored.
    public var seq: UInt64

    public init(isInitiator: Bool, token: Bytes32, streamID: UInt64, seq: UInt64 = 0) {
        self.isInitiator = isInitiator
        self.token = token
        self.streamID = streamID
        self.seq = seq
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let flags = try RelayFlags.decode(&reader)
        isInitiator = Mutation.blindRelay(17).isActive ? flags == 1 : flags & 1 == 1
        token = try reader.fixed32("token")
        streamID = try reader.uint("streamID")
        seq = try reader.uint("seq")
    }

    public func encode(to writer: inout Writer) {
        writer.uint8(isInitiator ? 1 : 0)
        writer.fixed32(token)
        // RELAY-2: a varint.
        if Mutation.blindRelay(2).isActive {
            writer.fixedUint(streamID, width: 4)
        } else {
            writer.uint(streamID)
        }
        writer.uint(seq)
    }
}

/// Message 1: withdraws a token, or takes an active link down.
public struct Unpair: CompactCodable, Hashable, Sendable {
    public static let type: UInt64 = 1

    public var token: Bytes32

    public init(token: Bytes32) { self.token = token }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        _ = try RelayFlags.decode(&reader)
        token = try reader.fixed32("token")
    }

    public func encode(to writer: inout Writer) {
        writer.uint8(0)
        writer.fixed32(token)
    }
}
