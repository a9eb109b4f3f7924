import CompactEncoding
import SansIO

/// What the swarm wants of the DHT node under it, in order.
public enum SwarmEffect: Hashable, Sendable {
    public enum QueryKind: Hashable, Sendable {
        case lookup
        /// A lookup that also unannounces our record on every node that returns it.
        case lookupAndUnannounce
        /// A lookup, then an announce to the closest nodes. `clear` also unannounces stale records on nodes that return them.
        case announce(clear: Bool)
    }

    /// Start the one server of the swarm's key pair: it announces the key at B2b(32, key). Answer with `operationFinished`.
    case listen(SwarmOperationID)
    /// Answer with `queryReplied` for each reply, and `operationFinished`. The target is `target` itself. Seed the query with the closest nodes of
    /// the topic's last successful one. An announce carries the server's relay addresses, at most `relayAddressLimit`.
    case query(SwarmOperationID, QueryKind, target: Bytes32, relayAddressLimit: Int)
    case cancelQuery(SwarmOperationID)
    /// Unannounce at the closest nodes known from the topic's last query, and only there. Answer with `operationFinished`.
    case unannounce(SwarmOperationID, target: Bytes32)
    /// Dial. Answer with `connectionOpened` or `connectionClosed`.
    case connect(SwarmConnectionID, publicKey: Bytes32, relayAddresses: [Endpoint], relayThrough: Bytes32?)
    /// Answer with `connectionClosed`.
    case destroyConnection(SwarmConnectionID, DestroyReason)
    /// An empty encrypted message.
    case sendKeepAlive(SwarmConnectionID)
    /// Drop handshakes, unannounce the key, answer no handshake until resumed. Answer with `operationFinished`.
    case suspendServer(SwarmOperationID)
    case resumeServer(SwarmOperationID)
    case closeServer(SwarmOperationID)
    case suspendNode(SwarmOperationID)
    case resumeNode(SwarmOperationID)
    case destroyNode(SwarmOperationID)

    public enum DestroyReason: String, Hashable, Sendable {
        /// "Duplicate connection".
        case duplicate
        case suspended
        case destroyed
        /// The application refuses this peer from now on.
        case refused
    }
}

/// What the application learns, in order.
public enum SwarmEvent: Hashable, Sendable {
    /// A connection is open, and survived the rule for duplicates.
    case connection(SwarmConnectionID, publicKey: Bytes32, isInitiator: Bool, topics: [Bytes32])
    /// A connection that had been announced by `connection` is gone.
    case disconnected(SwarmConnectionID, publicKey: Bytes32)
    /// A known peer was found under one more topic.
    case topic(publicKey: Bytes32, topic: Bytes32)
    /// Numbers of connections changed.
    case update
    /// A peer was banned by the firewall or by the application.
    case banned(publicKey: Bytes32, byFirewall: Bool)
    case flushed(token: UInt64, Bool)
    /// A topic has been left: its unannounce is done.
    case left(topic: Bytes32)
    case listening
    case suspended
    case resumed
    case destroyed
}
