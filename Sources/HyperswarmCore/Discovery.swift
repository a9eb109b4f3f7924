import CompactEncoding
import OrderedCollections
import SansIO

/// One topic: the sessions that share it, the query that runs, and the time of the next one. hyperswarm.md section 4.
final class Discovery {
    struct Session {
        var isServer: Bool
        var isClient: Bool
        var limit: Int
    }

    struct Run {
        let isServer: Bool
        let isClient: Bool
        /// Nil while the server does not listen yet.
        var query: SwarmOperationID?
        var kind: SwarmEffect.QueryKind
        /// Distinct peers without a connection that this run has handed on.
        var handed: Set<Bytes32> = []
    }

    let topic: Bytes32
    var sessions: OrderedDictionary<SwarmSessionID, Session> = [:]
    var run: Run?
    /// Whether an announce was started since the last unannounce.
    var needsUnannounce = false
    var hasAnnounced = false
    var refreshAt: Instant?
    var isSuspended = false
    /// A previous discovery of this topic is still being taken down. SWARM-34.
    var isHeld = false
    /// Flushes that wait for the current run, by token.
    var flushTokens: [UInt64] = []

    init(_ topic: Bytes32) { self.topic = topic }

    var isServer: Bool { sessions.values.contains { $0.isServer } }
    var isClient: Bool { sessions.values.contains { $0.isClient } }
    /// The largest of the client sessions.
    var limit: Int { sessions.values.filter(\.isClient).map(\.limit).max() ?? .max }

    static let refreshBase = Interval.seconds(600)
    static let refreshJitterMilliseconds: UInt64 = 120_000
    static let lateAfter = Interval.seconds(30)
}
