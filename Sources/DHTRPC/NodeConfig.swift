import CompactEncoding
import SansIO

/// Which server port to bind. dht-rpc.md section 5.
public enum PortChoice: Hashable, Sendable {
    /// A random one.
    case any
    /// This one or one of the four after it. DHT-54.
    case from(UInt16)
    /// Each of these in turn.
    case range(Range<UInt16>)

    /// The ports to try, in order.
    public var candidates: [UInt16] {
        switch self {
        case .any: return []
        case .from(let port):
            if Mutation.dhtRPC(54).isActive { return [port] }
            return (0..<5).compactMap { UInt16(exactly: Int(port) + $0) }
        case .range(let ports): return ports.prefix(256).map { $0 }
        }
    }
}

/// Whether a node may carry an id. dht-rpc.md section 9.4.
public enum Persistence: Hashable, Sendable {
    /// Starts without, and becomes persistent when it has been stable at an open address for 20 minutes.
    case adaptive
    /// Never (`ephemeral: true`).
    case never
    /// Checked once, right after the first bootstrap query (`ephemeral: false`).
    case atStart
}

/// How transaction ids are chosen.
public enum TransactionIDs: Hashable, Sendable {
    /// Each at random: harder to spoof (design section 8), and no peer can tell.
    case random
    /// One after the other from this one, as the reference does: for replay.
    case sequential(from: UInt16)
}

/// Bounds on what peers can make a node hold. None is reached by a peer that behaves.
public struct NodeLimits: Hashable, Sendable {
    /// closerNodes of one response that a query looks at.
    public var closerNodes = 128
    /// Requests of our own that may be unfinished.
    public var outstandingRequests = 16_384
    /// Answers to DELAYED_PING that wait, in all and for one host.
    public var delayedPings = 1024
    public var delayedPingsPerHost = 128
    /// Addresses that one query remembers.
    public var addressesPerQuery = 4096
    /// Requests answered within one second in all before sources are counted one by one, and then for each source.
    public var requestsPerSecond = 20_000
    public var requestsPerSecondAndHost = 10_000
    /// Counts for those sources; more sources than that share them.
    public var sourceCounts = 1024

    public init() {}
}

/// Draws that replay fixes instead of taking them from `Entropy`.
public struct InitialDraws: Hashable, Sendable {
    /// Routing-table id of a node without public address.
    public var tableID: Bytes32?
    /// Start of the tick counter (51...100).
    public var tick: Int32?
    /// Ticks to the first refresh (31...60).
    public var refreshTicks: Int32?
    /// The two token secrets, the older first.
    public var tokenSecrets: [Bytes32]?
    /// False keeps the token secrets for good.
    public var rotatesTokens = true

    public init() {}
}

/// How a node is started.
public struct NodeConfig: Sendable {
    public var bindHost = IPAddress.any
    public var port = PortChoice.any
    /// Whether a random port will do if no candidate can be bound.
    public var anyPort = true
    public var bootstrap: [BootstrapEntry] = []
    public var persistence = Persistence.adaptive
    /// False skips the proof that the server port can be reached.
    public var firewalled = true
    /// Whether the first answer to the first query is used for a quick firewall check.
    public var quickFirewall = true
    /// The public address of a bootstrapper, its one NAT sample; it is persistent at once.
    public var publicAddress: Endpoint?
    /// Nodes put in the table without being contacted.
    public var nodes: [Endpoint] = []
    public var concurrency = 10
    public var attemptTimeout = Interval.milliseconds(1000)
    /// Retransmissions of a plain request (one datagram more in all). DHT-34.
    public var requestRetries = 3
    /// Retransmissions of a query's request. DHT-33.
    public var queryRetries = 5
    /// Longest delay of a DELAYED_PING that is answered or asked for, in milliseconds. DHT-22.
    public var maximumDelayMilliseconds: UInt32 = 10_000
    public var sendsDownHints = true
    /// DOWN_HINT requests in one tick; nil: no limit. DHT-44.
    public var downHintsPerTick: Int? = 50
    public var transactionIDs = TransactionIDs.random
    /// Addresses that never enter the table or a query.
    public var blockedNodes: [Endpoint] = []
    /// Whether `nodeAdded` and `nodeRemoved` are reported.
    public var reportsTableChanges = false
    public var limits = NodeLimits()
    public var draws = InitialDraws()

    public init() {}

    /// The first node of a network: persistent and open from the start, at an address that it is told. dht-rpc.md section 9.4.
    public static func bootstrapper(_ publicAddress: Endpoint) -> NodeConfig {
        var config = NodeConfig()
        config.port = .from(publicAddress.port)
        config.anyPort = false
        config.persistence = .atStart
        config.firewalled = false
        config.publicAddress = publicAddress
        return config
    }
}
