import CompactEncoding
import SansIO

/// A dht-rpc response, one datagram; it belongs to a request by its tid alone. dht-rpc.md section 3.3.
public struct Response: CompactCodable, Hashable, Sendable {
    enum Flags {
        static let id: UInt64 = 0x01
        static let token: UInt64 = 0x02
        static let closerNodes: UInt64 = 0x04
        static let error: UInt64 = 0x08
        static let value: UInt64 = 0x10
    }

    /// Copied from the request.
    public var tid: UInt16
    /// Where this response is being sent: the requester's address as the responder sees it. IPv4.
    public var to: Endpoint
    /// The responder's node id; persistent responders only.
    public var id: Bytes32?
    /// A token to be echoed in a later request to the same node.
    public var token: Bytes32?
    /// Nodes closer to the request's target. A responder never sends an empty list: the flag is clear instead.
    public var closerNodes: [Endpoint]
    /// 0: none. See `ErrorCode`.
    public var error: UInt64
    /// nil: flag clear.
    public var value: [UInt8]?

    public init(
        tid: UInt16, to: Endpoint, id: Bytes32? = nil, token: Bytes32? = nil, closerNodes: [Endpoint] = [], error: UInt64 = 0,
        value: [UInt8]? = nil
    ) {
        self.tid = tid
        self.to = to
        self.id = id
        self.token = token
        self.closerNodes = closerNodes
        self.error = error
        self.value = value
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let at = reader.offset
        guard try reader.uint8("type") == MessageType.response.rawValue else { throw reader.failure(.unknownVersion, "type", at: at) }
        let flags = try reader.uint("flags")
        tid = try reader.uint16("tid")
        to = try reader.ipv4Address("to")
        id = flags & Flags.id != 0 ? try reader.fixed32("id") : nil
        token = flags & Flags.token != 0 ? try reader.fixed32("token") : nil
        if flags & Flags.closerNodes != 0 {
            /// DHT-39: a count above 2^20 is refused before any item is read.
            if Mutation.dhtRPC(39).isActive {
                closerNodes = []
                error = 0
                value = nil
                return
            }
            closerNodes = try reader.ipv4Addresses("closerNodes", item: "node")
        } else {
            closerNodes = []
        }
        error = flags & Flags.error != 0 ? try reader.uint("error") : 0
        value = flags & Flags.value != 0 ? try reader.buffer("value") : nil
    }

    public func encode(to writer: inout Writer) {
        writer.uint8(MessageType.response.rawValue)
        var flags: UInt64 = 0
        if id != nil { flags |= Flags.id }
        if token != nil { flags |= Flags.token }
        /// DHT-15: no node, no list.
        let listsNodes = !closerNodes.isEmpty || Mutation.dhtRPC(15).isActive
        if listsNodes { flags |= Flags.closerNodes }
        if error > 0 { flags |= Flags.error }
        if value != nil { flags |= Flags.value }
        writer.uint(flags)
        writer.uint16(tid)
        writer.address(to)
        if let id { writer.fixed32(id) }
        if let token { writer.fixed32(token) }
        if listsNodes { writer.array(closerNodes) { $0.address($1) } }
        if error > 0 { writer.uint(error) }
        if let value { writer.buffer(value) }
    }
}
