import CompactEncoding
import SansIO

/// One of our requests.
public struct RequestID: Hashable, Comparable, Sendable {
    public let number: UInt64
    public static func < (a: RequestID, b: RequestID) -> Bool { a.number < b.number }
}

/// One of our queries.
public struct QueryID: Hashable, Comparable, Sendable {
    public let number: UInt64
    public static func < (a: QueryID, b: QueryID) -> Bool { a.number < b.number }
}

/// Requests and queries that can be cancelled together. dht-rpc.md section 6.
public struct SessionID: Hashable, Sendable {
    public let number: UInt64
}

/// The two sockets of a node, once they are bound.
public struct NodeSockets: Hashable, Sendable {
    public var server: SocketID
    public var serverPort: UInt16
    public var client: SocketID
    public var clientPort: UInt16

    public init(server: SocketID, serverPort: UInt16, client: SocketID, clientPort: UInt16) {
        self.server = server
        self.serverPort = serverPort
        self.client = client
        self.clientPort = clientPort
    }
}

/// What the driver is asked to bind: two UDP sockets. It answers with `bound` or `bindFailed`.
public struct BindRequest: Hashable, Sendable {
    public var host: IPAddress
    /// Server ports to try in order.
    public var serverPorts: [UInt16]
    /// Whether a random server port comes after them.
    public var anyServerPort: Bool
    /// Client ports to try in order; a random one comes after them.
    public var clientPorts: [UInt16]
}

/// A request that belongs to the application above. Answer it with `reply`, pass it on with `relay`, or leave it unanswered.
public struct IncomingRequest: Hashable, Sendable {
    public let tid: UInt16
    public let from: Endpoint
    /// Our address as the sender sees it.
    public let to: Endpoint
    /// The sender's id, if it is the right one for its address: the sender is persistent.
    public let id: Bytes32?
    /// The token that came along. It is a valid one: a wrong token is answered before anybody is asked. nil: none came.
    public let token: Bytes32?
    public let isInternal: Bool
    public let command: UInt64
    public let target: Bytes32?
    /// nil also for an empty one.
    public let value: [UInt8]?
    public let socket: SocketID
}

/// An answer to one of our requests.
public struct ReceivedResponse: Hashable, Sendable {
    public let from: Endpoint
    /// The responder's id, if it is the right one for its address.
    public let id: Bytes32?
    /// Our address as the responder sees it.
    public let to: Endpoint
    public let token: Bytes32?
    public let closerNodes: [Endpoint]
    public let error: UInt64
    public let value: [UInt8]?
    /// The socket that it arrived on.
    public let socket: SocketID
    /// From the request's creation, retries included.
    public let roundTrip: Interval
    /// In a query: how many nodes in a row were asked until this one, itself included; 0 for an answer to a plain request.
    public internal(set) var hops = 0
}

/// Why one of our requests got no answer. The names are Node's.
public enum RequestFailure: String, Error, Sendable {
    case timeout = "REQUEST_TIMEOUT"
    case destroyed = "REQUEST_DESTROYED"
    case suspended = "IO_SUSPENDED"
    /// Our own bound on unfinished requests.
    case tooMany = "TOO_MANY_REQUESTS"
    /// Not an IPv4 address, or port 0.
    case invalidDestination = "INVALID_DESTINATION"
}

/// Why a query failed.
public enum QueryFailure: Hashable, Error, Sendable, CustomStringConvertible {
    /// A commit was asked for and nobody is there to commit to.
    case tooFewNodes
    /// No closest node gave a token. DHT-42.
    case noToken
    /// Every commit failed, the last one so.
    case commit(RequestFailure)
    case cancelled

    /// In the reference's words.
    public var description: String {
        switch self {
        case .tooFewNodes: "Too few nodes responded"
        case .noToken: "No token received for closest node"
        case .commit(let failure): failure.rawValue
        case .cancelled: "REQUEST_DESTROYED"
        }
    }
}

/// How a query ended.
public struct QueryOutcome: Hashable, Sendable {
    /// Up to twenty, the closest first; each has an id.
    public let closestReplies: [ReceivedResponse]
    public let successes: Int
    public let errors: Int
    public let failure: QueryFailure?
}

/// Whether the network answers. dht-rpc.md section 13.1.
public struct NetworkHealth: Hashable, Sendable {
    public var isOnline = true
    public var isDegraded = false
}

/// What a node tells its owner, in the order in which it happened.
public enum NodeEvent: Sendable {
    // For the driver.
    case bind(BindRequest)
    case closeSockets([SocketID])
    /// Look this name up (IPv4) and call `resolved`.
    case resolve(String)

    // The node's life.
    case listening(NodeSockets)
    case ready
    case persistent(id: Bytes32)
    case ephemeral
    case wakeUp
    case suspended
    case resumed
    case networkUpdate(NetworkHealth)
    case natUpdate(host: IPAddress?, port: UInt16)
    case bindFailed
    case closed
    case nodeAdded(Endpoint)
    case nodeRemoved(Endpoint)

    // Traffic.
    case request(IncomingRequest)
    case response(RequestID, ReceivedResponse)
    case requestFailed(RequestID, RequestFailure)
    /// A reply without error; `queryFinished` follows in time.
    case queryReply(QueryID, ReceivedResponse)
    /// The search is over and the owner wants to make the commits itself: call `commit`.
    case queryCommit(QueryID, [ReceivedResponse])
    case queryFinished(QueryID, QueryOutcome)
}
