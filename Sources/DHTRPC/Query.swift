import CompactEncoding
import SansIO

/// How a query is to be made. dht-rpc.md section 10.1.
public struct QueryOptions: Sendable {
    /// What happens once the closest nodes are known. dht-rpc.md section 10.5.
    public enum Commit: Sendable {
        case none
        /// The same command, target and value, with each reply's token.
        case same
        /// The owner is asked by `queryCommit` and answers with `commit`.
        case byOwner
    }

    public var isInternal = false
    public var value: [UInt8]?
    public var commit = Commit.none
    /// Nodes to start from (the closest replies of an earlier query, say), asked in this order.
    public var nodes: [Endpoint] = []
    /// Ask only `nodes`.
    public var onlyClosestNodes = false
    public var concurrency: Int?
    public var retries: Int?
    /// Bypass the congestion window, without retransmissions.
    public var isForced = false
    public var session: SessionID?

    public init() {}
}

/// What one commit sends; the owner makes one for each closest reply. dht-rpc.md section 10.5.
public struct CommitRequest: Sendable {
    public var to: Endpoint
    public var command: UInt64
    public var options: RequestOptions

    public init(to: Endpoint, command: UInt64, options: RequestOptions) {
        self.to = to
        self.command = command
        self.options = options
    }
}

/// One iterative search for the nodes closest to a target. dht-rpc.md section 10.
final class Query {
    enum Phase { case opening, searching, committing }
    enum Kind { case owner, bootstrap, refresh }

    struct Candidate {
        let id: Bytes32
        let endpoint: Endpoint
    }

    static let slowdownConcurrency = 3

    let id: QueryID
    let kind: Kind
    let target: Bytes32
    let command: UInt64
    let options: QueryOptions
    var concurrency: Int
    var phase = Phase.opening
    /// Last in, first out.
    @exclusivity(unchecked) var pending: [Candidate] = []
    @exclusivity(unchecked) var seen = QueryAddresses()
    @exclusivity(unchecked) var closest: [ReceivedResponse] = []
    @exclusivity(unchecked) private var distances: [Bytes32] = []
    /// Requests in flight, in the order of their making.
    @exclusivity(unchecked) var inFlight: [OutgoingRequest] = []
    /// DOWN_HINTs that the query sent; they end with it.
    var hints: [OutgoingRequest] = []
    var slow = 0
    var isSlowed = false
    var fromTable = false
    var successes = 0
    var errors = 0
    // Commit phase.
    var commitsLeft = 0
    var commitsSucceeded = 0
    var lastFailure: QueryFailure?

    init(id: QueryID, kind: Kind, target: Bytes32, command: UInt64, options: QueryOptions, concurrency: Int) {
        self.id = id
        self.kind = kind
        self.target = target
        self.command = command
        self.options = options
        self.concurrency = concurrency
    }

    /// Whether a node would be among the twenty closest that have replied.
    func isCloser(_ id: Bytes32) -> Bool {
        guard distances.count >= RoutingTable.k, let last = distances.last else { return true }
        return id ^ target < last
    }

    /// DHT-38: sorted by XOR distance, without duplicates, at most twenty.
    func addClosest(_ reply: ReceivedResponse, _ id: Bytes32) {
        let distance = id ^ target
        var low = 0
        var high = distances.count
        while low < high {
            let middle = (low + high) / 2
            if distances[middle] < distance { low = middle + 1 } else { high = middle }
        }
        if low < distances.count, distances[low] == distance { return }
        distances.insert(distance, at: low)
        closest.insert(reply, at: low)
        if closest.count > RoutingTable.k, !Mutation.dhtRPC(38).isActive {
            closest.removeLast()
            distances.removeLast()
        }
    }

    /// Returns whether it was in flight.
    @discardableResult
    func removeInFlight(_ request: OutgoingRequest) -> Bool {
        guard let index = inFlight.firstIndex(where: { $0 === request }) else { return false }
        inFlight.remove(at: index)
        return true
    }

    var outcome: QueryOutcome {
        QueryOutcome(closestReplies: closest, successes: successes, errors: errors, failure: lastFailure)
    }
}
