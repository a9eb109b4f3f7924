import CompactEncoding
import OrderedCollections
import SansIO

/// Hyperswarm without the DHT under it: topics, whom to dial and when, which of two connections stays. hyperswarm.md.
///
/// Its owner gives it commands, answers of the DHT, and the time; it takes `SwarmEffect`s and `SwarmEvent`s. No bytes of its own go on the wire.
public final class SwarmMachine {
    public let publicKey: Bytes32
    public internal(set) var options: SwarmOptions
    let entropy: any Entropy
    public internal(set) var now: Instant

    // Effects
    var effects: [SwarmEffect] = []
    var events: [SwarmEvent] = []

    // Topics
    var discoveries: OrderedDictionary<Bytes32, Discovery> = [:]
    var sessionTopics: OrderedDictionary<SwarmSessionID, Bytes32> = [:]
    /// Topics whose unannounce is under way.
    var leaving: OrderedDictionary<SwarmOperationID, Bytes32> = [:]

    // Peers
    public internal(set) var peers: OrderedDictionary<Bytes32, PeerInfo> = [:]
    var explicitPeers: OrderedSet<Bytes32> = []
    var queue = PeerQueue()
    var timers: RetryTimers
    var connections: OrderedDictionary<SwarmConnectionID, Connection> = [:]
    var connectionByKey: [Bytes32: SwarmConnectionID] = [:]
    public internal(set) var connecting = 0
    public internal(set) var clientConnections = 0
    public internal(set) var serverConnections = 0
    public internal(set) var statistics = SwarmStatistics()
    var flushes: [PendingFlush] = []

    // Life
    enum Listening { case no, pending(SwarmOperationID), yes }
    enum Life { case running, suspending, suspended, resuming, destroying, destroyed }
    var listening = Listening.no
    /// Handshakes may be under way that another firewall let in.
    var firewallHasChanged = false
    var life = Life.running
    /// How far a change of life has come: parts first, then the node (on resume: the node first, then the server).
    enum Stage { case closing, node }
    var stage = Stage.closing
    /// Operations that suspend, resume or destroy waits for.
    var awaited: Set<SwarmOperationID> = []
    var counter: UInt64 = 0
    /// Whether the DHT says that our own NAT maps at random: connections then go through the relay, if one is set.
    public var isNATRandomized = false

    struct Connection {
        let key: Bytes32
        let isClient: Bool
        var isOpen: Bool
        /// Both directions have carried an encrypted message. SWARM-17.
        var received = false
        var sent = false
        var isDestroyed = false
        /// Incoming connections that take its place once it has closed.
        var successor: SwarmConnectionID?
        /// An incoming one that waits for its predecessor to close is not counted yet.
        var isWaiting = false
    }

    struct PendingFlush {
        let token: UInt64
        /// Topics whose runs must end first.
        var topics: Set<Bytes32>
        /// Peers queued or being dialled when the runs had ended; nil until then.
        var missing: Set<Bytes32>?
        let topicsOnly: Bool
    }

    public init(publicKey: Bytes32, options: SwarmOptions = SwarmOptions(), entropy: any Entropy, now: Instant) {
        self.publicKey = publicKey
        self.options = options
        self.entropy = entropy
        self.now = now
        timers = RetryTimers(backoffs: options.backoffs, jitterMilliseconds: options.jitterMilliseconds, entropy: entropy)
    }

    // MARK: The contract

    public func takeEffects() -> [SwarmEffect] {
        defer { effects.removeAll(keepingCapacity: true) }
        return effects
    }

    public func takeEvents() -> [SwarmEvent] {
        defer { events.removeAll(keepingCapacity: true) }
        return events
    }

    public var nextWakeUp: Instant {
        guard life == .running else { return .distantFuture }
        var wake = timers.nextWakeUp
        for discovery in discoveries.values { if let at = discovery.refreshAt { wake = min(wake, at) } }
        return wake
    }

    public func advance(to now: Instant) {
        guard now > self.now || nextWakeUp <= now else { return }
        self.now = max(self.now, now)
        guard life == .running else { return }
        for discovery in Array(discoveries.values) { refreshIfDue(discovery) }
        let due = timers.advance(to: self.now)
        if !due.isEmpty { retry(due) }
    }

    // MARK: What may be asked

    public var isSuspended: Bool { life == .suspended || life == .suspending || life == .resuming }
    /// Whether `suspended` or `resumed` is still to come.
    public var isChanging: Bool { life == .suspending || life == .resuming }
    public var isDestroyed: Bool { life == .destroyed || life == .destroying }
    public var isListening: Bool { if case .yes = listening { true } else { false } }
    /// Topics with at least one session, oldest first.
    public var topics: [Bytes32] { Array(discoveries.keys) }
    /// Connections that the application has, oldest first.
    public var openConnections: [(id: SwarmConnectionID, publicKey: Bytes32, isInitiator: Bool)] {
        connections.compactMap { $0.value.isOpen && !$0.value.isDestroyed ? ($0.key, $0.value.key, $0.value.isClient) : nil }
    }
    public var queuedCount: Int { queue.count }

    /// Whether a topic is joined, and how.
    public func status(_ topic: Bytes32) -> (isServer: Bool, isClient: Bool)? { discoveries[topic].map { ($0.isServer, $0.isClient) } }

    // MARK: Small helpers

    func nextNumber() -> UInt64 {
        counter += 1
        return counter
    }

    func operation() -> SwarmOperationID { SwarmOperationID(nextNumber()) }

    func emit(_ event: SwarmEvent) {
        if event == .update { statistics.updates += 1 }
        events.append(event)
    }
}

/// Counters since the swarm was made; names as in the reference.
public struct SwarmStatistics: Hashable, Sendable {
    public var updates = 0
    public var clientAttempted = 0
    public var clientOpened = 0
    public var clientClosed = 0
    public var serverOpened = 0
    public var serverClosed = 0
    public var bannedPeers = 0
    /// Found peers that the bounds of `SwarmLimits` left out.
    public var peersOverLimit = 0
    /// Incoming handshakes refused because of `maxServerConnections`.
    public var serverOverLimit = 0
    public var duplicates = 0
}
