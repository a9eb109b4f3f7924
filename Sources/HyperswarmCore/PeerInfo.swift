import CompactEncoding
import SansIO

/// What a swarm knows of one peer. hyperswarm.md sections 2, 5 and 7.
public struct PeerInfo: Hashable, Sendable {
    public enum Priority: Int, Comparable, Sendable, CaseIterable {
        case veryLow, low, normal, high, veryHigh
        public static func < (a: Priority, b: Priority) -> Bool { a.rawValue < b.rawValue }
    }

    public let publicKey: Bytes32
    /// The latest that a reply named; at most three.
    public internal(set) var relayAddresses: [Endpoint] = []
    /// Topics under which *we* found it. SWARM-32.
    public internal(set) var topics: [Bytes32] = []
    public internal(set) var attempts = 0
    public internal(set) var priority = Priority.normal
    /// Was open at least once since the last reset.
    public internal(set) var isProven = false
    public internal(set) var isBanned = false
    /// The ban is the firewall's: another firewall may lift it.
    var isBannedByFirewall = false
    /// Added by `joinPeer`.
    public internal(set) var isExplicit = false
    /// Whether a lost connection is dialled again.
    public internal(set) var reconnects = true
    /// Our last connection with it was one that we dialled.
    public internal(set) var isClient = false
    public internal(set) var isQueued = false
    /// In a retry timer.
    public internal(set) var isWaiting = false
    public internal(set) var forcesRelaying = false
    var connectedAt: Instant?
    var disconnectedAt: Instant?

    init(_ publicKey: Bytes32) { self.publicKey = publicKey }

    /// An interval after which a connection counts as stable.
    static let stableAfter = Interval.seconds(15)

    mutating func reset() {
        isClient = false
        isProven = false
        attempts = 0
    }

    mutating func connected(at now: Instant) {
        isProven = true
        connectedAt = now
        isClient = true
    }

    /// SWARM-21, SWARM-22: only a connection that lasted clears the count of attempts.
    mutating func disconnected(at now: Instant) {
        disconnectedAt = now
        if let since = connectedAt, (now - since) >= PeerInfo.stableAfter, !Mutation.hyperswarm(21).isActive { attempts = 0 }
        if Mutation.hyperswarm(22).isActive, connectedAt != nil { attempts = 0 }
        connectedAt = nil
        attempts += 1
    }

    /// False when it is not to be queued now.
    mutating func updatePriority() -> Bool {
        if isExplicit, attempts > 3 { attempts = 3 }
        // SWARM-25, SWARM-26: a banned peer is never dialled.
        if isBanned, !Mutation.hyperswarm(26).isActive { return false }
        if isQueued || attempts > 3 { return false }
        priority =
            switch attempts {
            case 0: .normal
            case 1: .veryHigh
            case 2: .high
            default: .low
            }
        return true
    }

    /// Nothing holds it: neither a ban, the queue, the application nor a timer. Connections are checked by the owner.
    var isForgettable: Bool { !isBanned && !isQueued && !isExplicit && !isWaiting }
}
