import CompactEncoding
import DHTRPC
import SansIO

/// What dht-rpc tells, and what timers are for.
extension HyperDHTNode {
    func handle(_ event: NodeEvent) {
        switch event {
        case .bind(let request): events.append(.bind(request))
        case .closeSockets(let sockets): events.append(.closeSockets(sockets))
        case .resolve(let name): events.append(.resolve(name))
        case .listening(let sockets):
            events.append(.bound(sockets))
            for server in serversInOrder { startAnnouncing(server) }
        case .ready: events.append(.ready)
        case .persistent(let id):
            if store == nil { openStore() }
            events.append(.persistent(id: id))
        case .ephemeral: events.append(.ephemeral)
        case .wakeUp: events.append(.wakeUp)
        case .suspended: events.append(.suspended)
        case .resumed: nodeResumed()
        case .networkUpdate(let health):
            events.append(.networkUpdate(health))
            if health.isOnline { serversOnline() }
        case .natUpdate(let host, let port): events.append(.natUpdate(host: host, port: port))
        case .bindFailed: events.append(.bindFailed)
        case .closed: events.append(.closed)
        case .nodeAdded, .nodeRemoved: break
        case .request(let request): incoming(request)
        case .response(let id, let response): answered(id, response)
        case .requestFailed(let id, let failure): failed(id, failure)
        case .queryReply(let id, let reply): queryReplied(id, reply)
        case .queryCommit(let id, let replies): queryWantsCommit(id, replies)
        case .queryFinished(let id, let outcome): queryFinished(id, outcome)
        }
    }

    func fire(_ purpose: TimerPurpose) {
        switch purpose {
        case .puncher(let owner): advancePuncher(owner)
        case .passiveConnect(let id): passiveConnectTimedOut(id)
        case .connectPause(let id): connectPauseOver(id)
        case .prepunch(let server, let handshake): prepunchTimedOut(server, handshake)
        case .firewallQuestion(let server, let handshake): firewallUnanswered(server, handshake)
        case .clearHandshake(let server, let handshake): clearHandshake(server, handshake)
        case .announcer(let server): announcerTick(server)
        case .relayTimeout(let owner): relayTimedOut(owner)
        case .stream(let id): streamTimer(id)
        }
    }

    /// From now on this node stores for others.
    func openStore() {
        let opened = RecordStore(limits: config.limits.stores, now: now)
        store = opened
        storeDue = min(storeDue, opened.nextWakeUp)
    }

    // MARK: Requests

    /// Sends one of the application's requests and remembers what it is for.
    @discardableResult
    func request(
        _ command: HyperDHTCommand, to destination: Endpoint, target: Bytes32?, value: [UInt8]? = nil, token: Bytes32? = nil,
        socket: SocketID? = nil, for purpose: RequestPurpose
    ) -> RequestID {
        var options = RequestOptions()
        options.target = target
        options.value = value
        options.token = token
        options.socket = socket
        // HDHT-54. A relay whose answer comes from elsewhere is given up.
        options.endsOnForeignAnswer = (command == .peerHandshake || command == .peerHolepunch) && !Mutation.hyperDHT(54).isActive
        let id = rpc.request(to: destination, command: command.rawValue, options: options)
        requests[id] = purpose
        return id
    }

    @discardableResult
    func ping(_ destination: Endpoint, socket: SocketID? = nil, retries: Int? = nil, for purpose: RequestPurpose) -> RequestID {
        var options = RequestOptions()
        options.socket = socket
        options.retries = retries
        let id = rpc.ping(destination, options: options)
        requests[id] = purpose
        return id
    }

    func cancel(_ request: RequestID) {
        requests[request] = nil
        rpc.cancel(request)
    }

    func cancel(_ query: QueryID) {
        queries[query] = nil
        rpc.cancel(query)
    }

    private func answered(_ id: RequestID, _ response: ReceivedResponse) {
        guard let purpose = requests.removeValue(forKey: id) else { return }
        switch purpose {
        case .ping(let operation): pinged(operation, response)
        case .sample(let owner, let node, let generation): sampled(owner, response.to, node, generation)
        case .handshake(let connection, let relay, let isPreconnect):
            handshakeAnswered(connection, id, relay, isPreconnect, response)
        case .lanPing(let connection, let address): lanPinged(connection, address, true)
        case .holepunch(let connection, let relay): holepunchAnswered(connection, relay, response)
        case .unannounce(let operation): unannounceEnded(operation)
        case .announcer(let server, let request): announcerAnswered(server, request, response)
        }
    }

    private func failed(_ id: RequestID, _ failure: RequestFailure) {
        guard let purpose = requests.removeValue(forKey: id) else { return }
        switch purpose {
        case .ping(let operation): finish(operation, .failed(HyperDHTError(failure)))
        case .sample(let owner, let node, let generation): sampled(owner, nil, node, generation)
        case .handshake(let connection, let relay, let isPreconnect): handshakeFailed(connection, id, relay, isPreconnect)
        case .lanPing(let connection, let address): lanPinged(connection, address, false)
        case .holepunch(let connection, _): holepunchFailed(connection, HyperDHTError(failure))
        case .unannounce(let operation): unannounceEnded(operation)
        case .announcer(let server, let request): announcerFailed(server, request)
        }
    }

    // MARK: Queries

    private func queryReplied(_ id: QueryID, _ reply: ReceivedResponse) {
        switch queries[id] {
        case .operation(let operation): operationReplied(operation, reply)
        case .connect(let connection): connectReplied(connection, reply)
        case .announcer, nil: break
        }
    }

    private func queryWantsCommit(_ id: QueryID, _ replies: [ReceivedResponse]) {
        if case .operation(let operation) = queries[id] { commitOperation(operation, id, replies) } else { rpc.commit(id, []) }
    }

    private func queryFinished(_ id: QueryID, _ outcome: QueryOutcome) {
        guard let purpose = queries.removeValue(forKey: id) else { return }
        switch purpose {
        case .operation(let operation): operationQueryFinished(operation, outcome)
        case .connect(let connection): connectSearchEnded(connection)
        case .announcer(let server): announcerQueryFinished(server, outcome)
        }
    }
}

extension HyperDHTError {
    init(_ failure: RequestFailure) {
        switch failure {
        case .timeout: self = .requestTimeout
        case .destroyed: self = .requestDestroyed
        case .suspended: self = .ioSuspended
        case .tooMany: self = .tooMany
        case .invalidDestination: self = .invalidDestination
        }
    }

    init(_ failure: QueryFailure) {
        switch failure {
        case .tooFewNodes: self = .tooFewNodes
        case .noToken: self = .noToken
        case .commit(let failure): self = HyperDHTError(failure)
        case .cancelled: self = .requestDestroyed
        }
    }
}
