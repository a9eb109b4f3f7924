import CompactEncoding
import DHTRPC
import SansIO

/// Who is at both ends of a connection, and how.
public struct ConnectionInfo: Hashable, Sendable {
    public var isInitiator: Bool
    public var publicKey: Bytes32
    public var remotePublicKey: Bytes32
    /// 64 bytes, the same at both ends.
    public var handshakeHash: [UInt8]
    /// The remote's UDP address, or the relay's. It may change when a relayed connection becomes direct.
    public var remoteAddress: Endpoint
    public var isRelayed: Bool
    /// The raw stream's ids: ours, which the peer puts in its packets, and the peer's.
    public var localStreamID: UInt32
    public var remoteStreamID: UInt32
}

/// A node's answer to a search, with where it came from.
public struct QueryReply: Hashable, Sendable {
    public var from: Endpoint
    public var nodeID: Bytes32?
    public var to: Endpoint
    public var token: Bytes32?
    public var content: Content
    /// How many nodes in a row were asked until this one, itself included.
    public var hops = 0

    /// By the kind of search.
    public enum Content: Hashable, Sendable {
        case peers([PeerRecord], bump: UInt64)
        case peer(PeerRecord)
        case immutable([UInt8])
        case mutable(MutableRecord)
        case pong
        /// To a query of the owner's own making: everything that came.
        case raw(ReceivedResponse)
    }
}

/// How an operation ended.
public enum OperationResult: Hashable, Sendable {
    /// A search is over; `closestNodes` are the answering nodes closest to the target.
    case done(closestNodes: [Endpoint])
    case pong(from: Endpoint, to: Endpoint, nodeID: Bytes32?, roundTrip: Interval)
    /// A value was found; nil: nowhere.
    case immutable([UInt8]?)
    case mutable(MutableRecord?)
    /// Stored under this target; for mutable puts with this record.
    case stored(target: Bytes32, closestNodes: [Endpoint])
    /// The answer to a request of the owner's own making.
    case response(ReceivedResponse)
    case failed(HyperDHTError)
}

/// An incoming handshake that waits for `decide`.
public struct FirewallQuestion: Sendable {
    public var id: QuestionID
    public var server: ServerID
    public var remotePublicKey: Bytes32
    public var payload: NoisePayload
    public var clientAddress: Endpoint
}

/// A signature that is made elsewhere: 64 bytes over `signable`, given back with `sign`.
public struct SignatureQuestion: Sendable {
    public var id: QuestionID
    public var publicKey: Bytes32
    public var purpose: RecordSignature.Purpose
    public var signable: [UInt8]
}

/// A request for a plugin, answered with `answer` or not at all.
public struct PluginQuestion: Sendable {
    public var id: QuestionID
    public var message: PluginMessage
    public var request: IncomingRequest
}

/// What a node tells its owner and its driver, in the order in which it happened.
public enum HyperDHTEvent: Sendable {
    // For the driver: see DHTRPC's `NodeEvent`.
    case bind(BindRequest)
    case closeSockets([SocketID])
    case resolve(String)

    // The node's life.
    case bound(NodeSockets)
    case bindFailed
    case ready
    case persistent(id: Bytes32)
    case ephemeral
    case wakeUp
    case suspended
    case resumed
    case networkUpdate(NetworkHealth)
    case natUpdate(host: IPAddress?, port: UInt16)
    case closed

    // Operations.
    case reply(OperationID, QueryReply)
    case finished(OperationID, OperationResult)

    // Servers.
    case listening(ServerID, publicKey: Bytes32)
    case serverFailed(ServerID, HyperDHTError)
    case serverClosed(ServerID)

    // Questions.
    case firewall(FirewallQuestion)
    /// A handshake was accepted or refused by a policy, without a question.
    case firewallDecided(ServerID, remotePublicKey: Bytes32, clientAddress: Endpoint, accepted: Bool)
    case signature(SignatureQuestion)
    case plugin(PluginQuestion)

    // Connections.
    /// A peer connected to one of our servers.
    case connection(ServerID, ConnectionID, ConnectionInfo)
    /// One of our connects succeeded.
    case connected(ConnectionID, ConnectionInfo)
    /// The path changed: a relayed connection became direct.
    case pathChanged(ConnectionID, Endpoint, isRelayed: Bool)
    /// Message boundaries are the peer's writes.
    case data(ConnectionID, [UInt8])
    /// An unordered message.
    case message(ConnectionID, [UInt8])
    /// The peer ended its direction.
    case ended(ConnectionID)
    /// Written bytes fell below the mark; write on.
    case drained(ConnectionID)
    /// Everything written before `flush` is acknowledged.
    case flushed(ConnectionID, token: UInt64)
    /// Final. nil: both sides ended, or we destroyed it without a reason.
    case connectionClosed(ConnectionID, HyperDHTError?)
}

/// A socket beside the node's two that it wants opened or closed: port 0, on the node's bind address. The node chooses the id.
public enum PuncherSocketRequest: Hashable, Sendable {
    case open(SocketID)
    case close(SocketID)
}
