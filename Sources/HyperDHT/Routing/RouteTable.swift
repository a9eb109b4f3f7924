import CompactEncoding
import SansIO

/// How a peer may be reached through this node: a relay learnt from a self announce, or a server of our own.
public struct Route: Hashable, Sendable {
    /// Where handshakes for a key go.
    public enum Destination: Hashable, Sendable {
        /// The address from which the peer announced itself.
        case relay(Endpoint)
        /// A server on this node, by its number.
        case server(UInt64)
    }
    public var destination: Destination
    /// The encoded peer record that FIND_PEER returns.
    public var record: [UInt8]

    public init(_ destination: Destination, record: [UInt8]) {
        self.destination = destination
        self.record = record
    }
}

/// Target to route. Routes of own servers never age and are never overwritten by what others announce. hyperdht.md section 4.4.
public struct RouteTable: Sendable {
    private var forwards: TwoGenerationCache<Bytes32, Route>

    public init(maxSize: Int, maxAge: Interval, now: Instant) {
        forwards = TwoGenerationCache(maxSize: maxSize, maxAge: maxAge, now: now)
    }

    public var count: Int { forwards.count }
    public var nextWakeUp: Instant { forwards.nextWakeUp }
    /// Drops what is too old.
    public mutating func advance(to now: Instant) { forwards.advance(to: now) }

    /// A read keeps the entry alive.
    public mutating func route(_ target: Bytes32) -> Route? { forwards.get(target) }

    /// HDHT-74. Without effect for a target that a server of ours has.
    public mutating func setRelay(_ target: Bytes32, relay: Endpoint, record: [UInt8]) {
        if Mutation.hyperDHT(74).isActive { forwards.remove(target) }
        forwards.set(target, Route(.relay(relay), record: record))
    }

    /// A server of this node.
    public mutating func setServer(_ target: Bytes32, server: UInt64, record: [UInt8]) {
        forwards.retain(target, Route(.server(server), record: record))
    }

    /// Removes what others announced. An own server's route stays: only the server removes it.
    public mutating func removeRelay(_ target: Bytes32) {
        if case .relay = forwards.get(target)?.destination { forwards.remove(target) }
    }

    /// The server is closed.
    public mutating func removeServer(_ target: Bytes32) {
        if case .server = forwards.get(target)?.destination { forwards.remove(target) }
    }
}
