import CompactEncoding
import SansIO

/// Announces a channel: the sender's id for it, and the key by which the two sides find each other. protomux.md A3.
public struct OpenMessage: Hashable, Sendable {
    /// The sender's own id, 1 or more.
    public var localID: UInt64
    public var protocolName: String
    /// Empty means "none".
    public var channelID: [UInt8]
    /// The rest of the message; the protocol knows its encoding.
    public var handshake: [UInt8]

    public init(localID: UInt64, protocolName: String, channelID: [UInt8], handshake: [UInt8]) {
        self.localID = localID
        self.protocolName = protocolName
        self.channelID = channelID
        self.handshake = handshake
    }
}

/// One thing said: alone in a message, or one of several in a batch.
public enum MuxItem: Hashable, Sendable {
    /// `channel` is the sender's id.
    case data(channel: UInt64, type: UInt64, payload: [UInt8])
    case open(OpenMessage)
    /// The id which the receiver of this message had chosen.
    case reject(UInt64)
    /// The sender's own id.
    case close(UInt64)
    /// A control type that nobody knows; it is ignored.
    case unknownControl(type: UInt64, rest: [UInt8])

    /// The channel number under which it travels; 0 is control.
    public var channel: UInt64 { if case .data(let channel, _, _) = self { channel } else { 0 } }

    init(channel: UInt64, type: UInt64, from reader: inout Reader) throws(DecodingFailure) {
        guard channel == 0 else {
            self = .data(channel: channel, type: type, payload: reader.raw("payload"))
            return
        }
        switch type {
        case 0: throw reader.failure(.invalidValue, "batch")
        case 1:
            let localID = try reader.uint("localID")
            let name = try reader.string("protocol")
            let id = try reader.buffer("id")
            self = .open(OpenMessage(localID: localID, protocolName: name, channelID: id, handshake: reader.raw("handshake")))
        case 2: self = .reject(try reader.uint("id"))
        case 3: self = .close(try reader.uint("id"))
        default: self = .unknownControl(type: type, rest: reader.raw("rest"))
        }
    }

    /// Type and what follows it: everything but the channel number.
    func encodeBody(to writer: inout Writer) {
        switch self {
        case .data(_, let type, let payload):
            writer.uint(type)
            writer.raw(payload)
        case .open(let open):
            writer.uint(1 as UInt64)
            writer.uint(open.localID)
            // MUX-1: protocol, then id.
            if Mutation.protomux(1).isActive {
                writer.buffer(open.channelID)
                writer.string(open.protocolName)
            } else {
                writer.string(open.protocolName)
                writer.buffer(open.channelID)
            }
            writer.raw(open.handshake)
        case .reject(let id):
            writer.uint(2 as UInt64)
            writer.uint(id)
        case .close(let id):
            writer.uint(3 as UInt64)
            writer.uint(id)
        case .unknownControl(let type, let rest):
            writer.uint(type)
            writer.raw(rest)
        }
    }

    var body: [UInt8] {
        var writer = Writer()
        encodeBody(to: &writer)
        return writer.bytes
    }
}

/// One mux message: what one message of the carrier holds. protomux.md A3, A6.
public enum MuxMessage: CompactCodable, Hashable, Sendable {
    /// A carrier's keepalive; ignored.
    case empty
    case single(MuxItem)
    case batch([MuxItem])

    public init(from reader: inout Reader) throws(DecodingFailure) {
        var items: [MuxItem] = []
        switch try MuxMessage.read(
            &reader,
            {
                items.append($0)
                return true
            })
        {
        case .empty: self = .empty
        case .single: self = .single(items[0])
        case .batch: self = .batch(items)
        }
    }

    /// What a message is, whatever its items are.
    enum Form { case empty, single, batch }

    /// Reads a message and hands over its items one by one, so that a batch of millions is never held as a whole. Stops once `take` returns false.
    @discardableResult
    static func read(_ reader: inout Reader, _ take: (MuxItem) -> Bool) throws(DecodingFailure) -> Form {
        guard !reader.isAtEnd else { return .empty }
        let channel = try reader.uint("channel")
        // MUX-12: a type must follow.
        if reader.isAtEnd, Mutation.protomux(12).isActive { return .empty }
        let type = try reader.uint("type")
        guard channel == 0, type == 0 else {
            _ = take(try MuxItem(channel: channel, type: type, from: &reader))
            return .single
        }
        try readBatch(&reader, take)
        return .batch
    }

    /// Items with their lengths; a length of 0 switches to another channel. Batches do not nest. MUX-13, MUX-14.
    private static func readBatch(_ reader: inout Reader, _ take: (MuxItem) -> Bool) throws(DecodingFailure) {
        var channel = try reader.uint("channel")
        while !reader.isAtEnd {
            let range: Range<Int>
            do { range = try reader.bufferRange("item") } catch {
                guard Mutation.protomux(14).isActive else { throw error }
                range = reader.rawRange("item")
            }
            if range.isEmpty {
                let next = try reader.uint("channel")
                if !Mutation.protomux(13).isActive { channel = next }
                continue
            }
            var inner = reader.nested(range)
            let type = try inner.uint("type")
            guard take(try MuxItem(channel: channel, type: type, from: &inner)) else { return }
        }
    }

    public func encode(to writer: inout Writer) {
        switch self {
        case .empty: break
        case .single(let item):
            writer.uint(item.channel)
            item.encodeBody(to: &writer)
        case .batch(let items): MuxMessage.encodeBatch(items.map { ($0.channel, $0.body) }, to: &writer)
        }
    }

    static func encodeBatch(_ items: [(channel: UInt64, body: [UInt8])], to writer: inout Writer) {
        guard var channel = items.first?.channel else { return }
        writer.raw([0, 0])
        writer.uint(channel)
        for item in items {
            if item.channel != channel {
                channel = item.channel
                writer.uint8(0)
                writer.uint(channel)
            }
            writer.buffer(item.body)
        }
    }
}
