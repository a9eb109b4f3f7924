import CompactEncoding
import SansIO

/// Queries. dht-rpc.md section 10.
extension DHTRPCNode {
    /// Searches for the nodes closest to `target`, asking each for `command`. Ends with `queryFinished`.
    @discardableResult
    public func query(target: Bytes32, command: UInt64, options: QueryOptions = QueryOptions()) -> QueryID {
        startQuery(.owner, target, command, options, concurrency: options.concurrency ?? config.concurrency)
    }

    /// FIND_NODE for a target.
    @discardableResult
    public func findNode(_ target: Bytes32, options: QueryOptions = QueryOptions()) -> QueryID {
        var options = options
        options.isInternal = true
        return query(target: target, command: InternalCommand.findNode.rawValue, options: options)
    }

    /// Ends a query; it is reported as cancelled.
    public func cancel(_ query: QueryID) {
        guard let query = queries[query] else { return }
        query.lastFailure = .cancelled
        close(query)
    }

    /// The owner's commits, after `queryCommit`. `failure` says why some could not be made; if no commit succeeds the query fails.
    public func commit(_ query: QueryID, _ commits: [CommitRequest], failure: QueryFailure? = nil) {
        guard let query = queries[query], query.phase == .committing, query.commitsLeft < 0 else { return }
        query.lastFailure = failure
        startCommits(query, commits)
    }

    func startQuery(_ kind: Query.Kind, _ target: Bytes32, _ command: UInt64, _ options: QueryOptions, concurrency: Int) -> QueryID {
        let query = Query(
            id: QueryID(number: takeNumber()), kind: kind, target: target, command: command, options: options,
            concurrency: max(1, concurrency))
        guard life != .destroyed else {
            if kind == .owner {
                query.lastFailure = .cancelled
                events.append(.queryFinished(query.id, query.outcome))
            }
            return query.id
        }
        queries[query.id] = query
        statistics.queriesTotal += 1
        statistics.queriesActive += 1
        refreshTicks = Ticks.refresh
        for endpoint in options.nodes.reversed() { addPending(query, endpoint, NodeID.of(endpoint)) }
        if options.onlyClosestNodes {
            query.fromTable = true
            open(query)
        } else {
            addFromTable(query)
            if query.pending.count >= RoutingTable.k {
                open(query)
            } else {
                resolveBootstrap(.query(query.id))
            }
        }
        return query.id
    }

    /// Bootstrap nodes are known: the search begins. They lie on top and so are asked first.
    func bootstrapResolved(_ query: QueryID, _ nodes: [Endpoint]) {
        guard let query = queries[query], query.phase == .opening else { return }
        for endpoint in nodes { addPending(query, endpoint, NodeID.of(endpoint)) }
        open(query)
    }

    private func open(_ query: Query) {
        query.phase = .searching
        pump(query)
    }

    private func addFromTable(_ query: Query) {
        guard query.pending.count < RoutingTable.k else { return }
        query.fromTable = true
        for node in table.closest(to: query.target, RoutingTable.k - query.pending.count) {
            addPending(query, node.endpoint, node.id)
        }
    }

    /// Remembers an address to ask. Returns false if it would not be among the twenty closest.
    @discardableResult
    private func addPending(_ query: Query, _ endpoint: Endpoint, _ id: Bytes32) -> Bool {
        addPending(query, query.seen.find(endpoint), endpoint, id, from: nil)
    }

    /// `known`: where the query's addresses have this one.
    @discardableResult
    private func addPending(_ query: Query, _ known: Int?, _ endpoint: Endpoint, _ id: Bytes32, from reply: ReceivedResponse?) -> Bool {
        let referrer = reply?.from
        let isCloser = query.isCloser(id)
        switch known.map({ query.seen[$0].state }) {
        case .done: return isCloser
        case .down:
            if let referrer { sendDownHint(query, to: referrer, about: endpoint) }
            return isCloser
        case .pending:
            if let known, let referrer { query.seen.addReferral(known, from: referrer) }
            return isCloser
        case .passedBy, nil:
            guard known != nil || query.seen.count < config.limits.addressesPerQuery else { return false }
            let index = known ?? query.seen.add(endpoint, id, .passedBy, distance: reply?.hops ?? 0)
            guard isCloser else { return false }
            query.seen.set(index, .pending)
            if let referrer { query.seen.addReferral(index, from: referrer) }
            query.pending.append(Query.Candidate(id: id, endpoint: endpoint))
            return true
        }
    }

    /// Asks as many as may be asked, and notices the end. dht-rpc.md section 10.4.
    private func pump(_ query: Query) {
        guard query.phase == .searching, life == .running || life == .binding || life == .suspended else { return }
        while true {
            let limit = (query.isSlowed ? Query.slowdownConcurrency : query.concurrency) + query.slow
            while query.inFlight.count < limit, let next = query.pending.popLast() {
                if query.isCloser(next.id) { visit(query, next) }
            }
            if !query.fromTable, query.successes + query.errors < query.concurrency { query.isSlowed = true }
            guard query.pending.isEmpty else { return }
            let hangsOnSlowOnes = query.inFlight.count == query.slow && query.closest.count >= RoutingTable.k
            guard query.inFlight.isEmpty || hangsOnSlowOnes else { return }
            guard !query.fromTable, query.successes < RoutingTable.k / 4 else { break }
            addFromTable(query)
            query.isSlowed = false
            if query.pending.isEmpty { break }
        }
        searchEnded(query)
    }

    private func visit(_ query: Query, _ node: Query.Candidate) {
        var options = RequestOptions()
        options.isInternal = query.options.isInternal
        options.target = query.target
        options.value = query.options.value
        options.id = node.id
        /// DHT-33: six datagrams.
        options.retries = Mutation.dhtRPC(33).isActive ? 3 : query.options.retries ?? config.queryRetries
        options.isForced = query.options.isForced
        options.session = query.options.session
        if let request = makeRequest(to: node.endpoint, command: query.command, options, for: .query(query.id)) {
            query.inFlight.append(request)
        }
    }

    /// A retransmission: the slow request gives its slot to another.
    func becameSlow(_ id: QueryID) {
        guard let query = queries[id] else { return }
        query.slow += 1
        pump(query)
    }

    func queryAnswered(_ id: QueryID, _ request: OutgoingRequest, _ reply: ReceivedResponse) {
        guard let query = queries[id] else { return }
        query.removeInFlight(request)
        if request.isSlow { query.slow -= 1 }
        guard query.phase == .searching else { return }
        var reply = reply
        mark(query, reply.from, .done)
        reply.hops = query.seen.find(reply.from).map { Int(query.seen[$0].distance) + 1 } ?? 1
        if reply.error == 0 { query.successes += 1 } else { query.errors += 1 }
        if query.fromTable || query.successes + query.errors >= query.concurrency { query.isSlowed = false }
        /// DHT-37: who answers with an error is not among the closest.
        if reply.error == 0 || Mutation.dhtRPC(37).isActive, let id = reply.id, query.isCloser(id) { query.addClosest(reply, id) }
        follow(query, reply)
        if reply.error == 0, query.kind == .owner { events.append(.queryReply(query.id, reply)) }
        // Next candidates are asked before anybody hears of the reply, as in the reference: the quick firewall check comes after them.
        pump(query)
        guard reply.error == 0, query.kind != .owner else { return }
        queryGotReply(query, reply)
        pump(query)
    }

    /// dht-rpc.md section 10.3, step 3.
    private func follow(_ query: Query, _ reply: ReceivedResponse) {
        guard !query.options.onlyClosestNodes else { return }
        for endpoint in reply.closerNodes.prefix(config.limits.closerNodes) {
            let known = query.seen.find(endpoint)
            let id = known.map { query.seen[$0].id } ?? NodeID.of(endpoint)
            /// DHT-40: the own id is skipped.
            if id == table.id, !Mutation.dhtRPC(40).isActive { continue }
            guard mayContact(endpoint) else { continue }
            if !addPending(query, known, endpoint, id, from: reply) { break }
        }
    }

    /// `request` is nil if it could not be made at all; that ends inside `pump`, which goes on by itself.
    func queryRequestFailed(_ id: QueryID, _ request: OutgoingRequest?, _ failure: RequestFailure) {
        guard let query = queries[id] else { return }
        let wasInFlight = request.map { query.removeInFlight($0) } ?? false
        if request?.isSlow == true { query.slow -= 1 }
        guard query.phase == .searching else { return }
        query.errors += 1
        /// DHT-43: everybody who referred us to it is told.
        if failure == .timeout, let destination = request?.to {
            if let index = query.seen.find(destination), case .pending = query.seen[index].state {
                for referrer in query.seen.referrers(of: index) { sendDownHint(query, to: referrer, about: destination) }
            }
            mark(query, destination, .down)
        }
        if wasInFlight { pump(query) }
    }

    private func mark(_ query: Query, _ endpoint: Endpoint, _ state: QueryAddresses.State) {
        if let index = query.seen.find(endpoint) {
            query.seen.set(index, state)
        } else {
            _ = query.seen.add(endpoint, NodeID.of(endpoint), state, distance: 0)
        }
    }

    // MARK: Down hints

    private func sendDownHint(_ query: Query, to referrer: Endpoint, about down: Endpoint) {
        guard config.sendsDownHints, !Mutation.dhtRPC(43).isActive else { return }
        /// DHT-44.
        if let limit = config.downHintsPerTick, downHintsSent >= limit, !Mutation.dhtRPC(44).isActive { return }
        downHintsSent += 1
        var writer = Writer(capacity: 6)
        writer.address(down)
        var options = RequestOptions()
        options.isInternal = true
        options.value = writer.bytes
        options.id = NodeID.of(referrer)
        if let request = makeRequest(to: referrer, command: InternalCommand.downHint.rawValue, options, for: .none) {
            query.hints.append(request)
        }
    }

    // MARK: End

    private func searchEnded(_ query: Query) {
        query.phase = .committing
        switch query.options.commit {
        case .none: close(query)
        case .same:
            var commits: [CommitRequest] = []
            for reply in query.closest {
                /// DHT-41, DHT-42: each commit carries the token that its node gave; without one there is none.
                guard reply.token != nil || Mutation.dhtRPC(42).isActive else {
                    query.lastFailure = .noToken
                    continue
                }
                var options = RequestOptions()
                options.token = Mutation.dhtRPC(41).isActive ? query.closest.first?.token : reply.token
                options.target = query.target
                options.value = query.options.value
                options.session = query.options.session
                commits.append(CommitRequest(to: reply.from, command: query.command, options: options))
            }
            startCommits(query, commits)
        case .byOwner:
            if query.closest.isEmpty { return startCommits(query, []) }
            query.commitsLeft = -1
            events.append(.queryCommit(query.id, query.closest))
        }
    }

    private func startCommits(_ query: Query, _ commits: [CommitRequest]) {
        guard !query.closest.isEmpty else {
            query.lastFailure = .tooFewNodes
            return close(query)
        }
        query.commitsLeft = commits.count
        if commits.isEmpty { return close(query) }
        for commit in commits { makeRequest(to: commit.to, command: commit.command, commit.options, for: .commit(query.id)) }
    }

    func commitEnded(_ id: QueryID, _ failure: QueryFailure?) {
        guard let query = queries[id], query.commitsLeft > 0 else { return }
        query.commitsLeft -= 1
        if let failure { query.lastFailure = failure } else { query.commitsSucceeded += 1 }
        if query.commitsLeft == 0 { close(query) }
    }

    private func close(_ query: Query) {
        if query.commitsSucceeded > 0 { query.lastFailure = nil }
        drop(query.id)
        switch query.kind {
        case .owner: events.append(.queryFinished(query.id, query.outcome))
        case .bootstrap: if query.lastFailure != .cancelled { bootstrapQueryEnded() }
        case .refresh: break
        }
    }

    /// Forgets a query and what it still asks; nothing is reported.
    func drop(_ id: QueryID) {
        guard let query = queries.removeValue(forKey: id) else { return }
        statistics.queriesActive -= 1
        for request in query.inFlight + query.hints { end(request) }
        if query.phase == .committing {
            for request in requestsInOrder { if case .commit(id) = request.purpose { end(request) } }
        }
    }
}
