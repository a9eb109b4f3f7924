import CompactEncoding
import SansIO

/// A dht-rpc request, one datagram. dht-rpc.md section 3.2.
public struct Request: CompactCodable, Hashable, Sendable {
    enum Flags {
        static let id: UInt64 = 0x01
        static let token: UInt64 = 0x02
        static let isInternal: UInt64 = 0x04
        static let target: UInt64 = 0x08
        static let value: UInt64 = 0x10
    }

    /// Transaction id; the response carries the same. Retransmissions too.
    public var tid: UInt16
    /// Where the sender sent this datagram, as the sender sees it. IPv4.
    public var to: Endpoint
    /// The sender's node id; persistent senders only.
    public var id: Bytes32?
    /// A token that the receiver gave out earlier.
    public var token: Bytes32?
    /// True: `command` is an `InternalCommand`; false: it belongs to the application above.
    public var isInternal: Bool
    public var command: UInt64
    public var target: Bytes32?
    /// nil: flag clear. Empty: flag set with length 0, which the node layer treats like nil and never sends.
    public var value: [UInt8]?

    public init(
        tid: UInt16, to: Endpoint, id: Bytes32? = nil, token: Bytes32? = nil, isInternal: Bool, command: UInt64,
        target: Bytes32? = nil, value: [UInt8]? = nil
    ) {
        self.tid = tid
        self.to = to
        self.id = id
        self.token = token
        self.isInternal = isInternal
        self.command = command
        self.target = target
        self.value = value
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let at = reader.offset
        guard try reader.uint8("type") == MessageType.request.rawValue || Mutation.dhtRPC(8).isActive else {
            throw reader.failure(.unknownVersion, "type", at: at)
        }
        let flags = try reader.uint("flags")
        /// DHT-6: bits are read with a mask, unknown ones are ignored.
        if Mutation.dhtRPC(6).isActive, flags > 0x1f { throw reader.failure(.invalidValue, "flags") }
        tid = try reader.uint16("tid")
        to = try reader.ipv4Address("to")
        id = flags & Flags.id != 0 ? try reader.fixed32("id") : nil
        token = flags & Flags.token != 0 ? try reader.fixed32("token") : nil
        isInternal = flags & Flags.isInternal != 0
        let commandAt = reader.offset
        command = try reader.uint("command")
        /// DHT-25: longer forms of an integer are accepted.
        if Mutation.dhtRPC(25).isActive, command < 0xfd, reader.offset - commandAt > 1 { throw reader.failure(.invalidValue, "command") }
        /// DHT-10: every field that a flag announces must be there in full.
        if Mutation.dhtRPC(10).isActive, flags & Flags.target != 0, reader.remaining < 32 {
            target = .zero
            value = nil
            return
        }
        target = flags & Flags.target != 0 ? try reader.fixed32("target") : nil
        value = flags & Flags.value != 0 ? try reader.buffer("value") : nil
        /// DHT-7: bytes after the last field are ignored.
        if Mutation.dhtRPC(7).isActive, !reader.isAtEnd { throw reader.failure(.trailingBytes, "value") }
    }

    public func encode(to writer: inout Writer) {
        writer.uint8(MessageType.request.rawValue)
        var flags: UInt64 = 0
        if id != nil { flags |= Flags.id }
        if token != nil { flags |= Flags.token }
        if isInternal { flags |= Flags.isInternal }
        if target != nil { flags |= Flags.target }
        if value != nil { flags |= Flags.value }
        writer.uint(flags)
        writer.uint16(tid)
        writer.address(to)
        if let id { writer.fixed32(id) }
        if let token { writer.fixed32(token) }
        writer.uint(command)
        if let target { writer.fixed32(target) }
        if let value { writer.buffer(value) }
    }
}
