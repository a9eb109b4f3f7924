import CompactEncoding

/// By what the two sides of a channel find each other. No id and an empty id are the same. MUX-24.
public struct ChannelKey: Hashable, Sendable, CustomStringConvertible {
    public let protocolName: String
    public let id: [UInt8]

    public init(_ protocolName: String, id: [UInt8]? = nil) {
        self.protocolName = protocolName
        self.id = id ?? []
    }

    public var description: String { id.isEmpty ? protocolName : "\(protocolName) \(Hex.encode(id))" }
}

/// Names a local channel; unlike a wire id it is never used twice.
public struct ChannelHandle: Hashable, Comparable, Sendable {
    public let number: UInt64
    public static func < (a: ChannelHandle, b: ChannelHandle) -> Bool { a.number < b.number }
}

/// An open of the peer's that nothing here waits for: the owner accepts or rejects it, now or later. MUX-19.
public struct OpenRequest: Hashable, Sendable {
    public let number: UInt64
    public let key: ChannelKey
}

/// How a channel is to be opened.
public struct ChannelOptions: Sendable {
    public var key: ChannelKey
    /// Other protocol names under which the peer's open may come; ours carries the key's.
    public var aliases: [String]
    /// Refuse a second open channel with this key.
    public var isUnique: Bool
    /// Number of message types; data of other types is ignored.
    public var messageCount: Int
    /// What the peer's handshake must decode as; nil: the protocol has none, and what comes is not looked at. MUX-27.
    public var handshakeType: (any (CompactCodable & Sendable).Type)?

    public init(
        _ key: ChannelKey, aliases: [String] = [], isUnique: Bool = true, messageCount: Int,
        handshakeType: (any (CompactCodable & Sendable).Type)? = nil
    ) {
        self.key = key
        self.aliases = aliases
        self.isUnique = isUnique
        self.messageCount = messageCount
        self.handshakeType = handshakeType
    }

    var keys: [ChannelKey] { [key] + aliases.map { ChannelKey($0, id: key.id) } }
}

/// Why a mux ended or refused a call.
public struct ProtomuxError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        case undecodable = "a message does not decode"
        case invalidOpen = "an open uses an id that is neither free nor the next"
        case invalidReject = "a reject names an id that waits for no answer"
        case invalidHandshake = "a channel's handshake does not decode"
        case limitExceeded = "the peer exceeds a limit"
        case duplicate = "a channel with this key is open"
        case messageTooLarge = "the message is larger than the carrier takes"
        case handler = "a handler failed"
        case ended = "the mux has ended"
    }

    public let kind: Kind
    public let detail: String

    public init(_ kind: Kind, _ detail: String = "") {
        self.kind = kind
        self.detail = detail
    }

    public var description: String { detail.isEmpty ? kind.rawValue : "\(kind.rawValue): \(detail)" }
}

struct Channel {
    let handle: ChannelHandle
    let options: ChannelOptions
    let localID: UInt64
    var remoteID: UInt64?
}

/// What one of our ids stands for.
enum LocalSlot {
    case free
    case channel(ChannelHandle)
    /// Closed before the peer's answer: the id stays taken until reject or open comes.
    case closedUnpaired([ChannelKey])
    /// The peer answered with an open after our close; it may think the channel open for good, so the id rests. MUX-21a.
    case retired
}

/// What one of the peer's ids stands for.
enum RemoteSlot {
    case free
    case pending(PendingOpen)
    case channel(ChannelHandle)
    /// Paired with a channel that we had closed; holds our resting id.
    case orphan(localID: UInt64)
}

/// A peer's open that waits for the owner, with the data that came after it.
struct PendingOpen {
    let key: ChannelKey
    let request: OpenRequest?
    let handshake: [UInt8]
    var messages: [(type: UInt64, payload: [UInt8])] = []
    var bufferedBytes = 0
}
