import CompactEncoding
import SansIO

/// What a swarm is set up with. The defaults are the reference's. hyperswarm.md section 1.
public struct SwarmOptions: Sendable {
    /// Connections and attempts, of both directions, at which dialling for topics stops.
    public var maxPeers = 64
    /// Outgoing connections and attempts.
    public var maxClientConnections = Int.max
    /// Incoming connections; a handshake beyond gets no answer. The reference stores this number and never uses it.
    public var maxServerConnections = Int.max
    /// Outgoing attempts at a time.
    public var maxParallel = 3
    public var firewall = SwarmFirewall.allowAll
    public var relayThrough = RelayChoice.none
    /// Base delays of the four retry buckets, in place of the defaults with their process-wide part. Milliseconds.
    public var backoffs: [Int64]?
    /// Upper bound of what is added to every bucket once a swarm. Milliseconds.
    public var jitterMilliseconds: Int64 = 500
    public var limits = SwarmLimits()

    public init() {}
}

/// Bounds of our own: what lookups return is in the hands of strangers. hyperswarm.md section 15.
public struct SwarmLimits: Hashable, Sendable {
    /// Known peers. Beyond, unknown ones found by a lookup are ignored; those that connect are not.
    public var maximumPeers = 4096
    /// Topics noted for one peer.
    public var maximumTopicsPerPeer = 64
    /// Relay addresses kept for one peer.
    public var maximumRelayAddresses = 3
    public var maximumTopics = 4096

    public init() {}
}

/// Whom a swarm refuses, as client and as server. hyperswarm.md section 9.
public enum SwarmFirewall: Sendable {
    case allowAll
    /// Everybody else is refused.
    case allow(Set<Bytes32>)
    case deny(Set<Bytes32>)
    /// True refuses. Must be a pure function: it is asked at every handshake and every dial.
    case decide(@Sendable (Bytes32) -> Bool)

    /// Whether a peer with this key is kept out.
    public func refuses(_ key: Bytes32) -> Bool {
        switch self {
        case .allowAll: false
        case .allow(let keys): !keys.contains(key)
        case .deny(let keys): keys.contains(key)
        case .decide(let refuses): refuses(key)
        }
    }
}

/// Which blind relay a connection may go through: used when an attempt has to be relayed, or when our own NAT is randomised.
public enum RelayChoice: Hashable, Sendable {
    case none
    case key(Bytes32)
    /// One at random for each attempt.
    case anyOf([Bytes32])

    var isConfigured: Bool { self != .none && self != .anyOf([]) }
}

/// A command was refused.
public struct SwarmError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        /// SWARM-5.
        case noMode = "join as server, as client, or both: both flags are false"
        /// SWARM-33.
        case topicLength = "a topic has exactly 32 bytes: hash what is longer or shorter"
        case tooManyTopics = "the limit of topics is reached: leave one, or raise SwarmLimits.maximumTopics"
        case ownKey = "this is the swarm's own public key"
        case destroyed = "the swarm has been destroyed: make a new one"
    }

    public let kind: Kind
    public init(_ kind: Kind) { self.kind = kind }
    public var description: String { kind.rawValue }
}
