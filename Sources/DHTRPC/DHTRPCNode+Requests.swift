import CompactEncoding
import SansIO

/// Requests of our own. dht-rpc.md section 6.
extension DHTRPCNode {
    func takeNumber() -> UInt64 {
        defer { nextNumber &+= 1 }
        return nextNumber
    }

    /// Sends a request. Its end is reported by `response` or `requestFailed`, unless its session is cancelled before.
    ///
    /// - Parameters:
    ///   - destination: IPv4, port not 0.
    ///   - command: of the application, or an `InternalCommand` with `options.isInternal`.
    @discardableResult
    public func request(to destination: Endpoint, command: UInt64, options: RequestOptions = RequestOptions()) -> RequestID {
        let number = takeNumber() << 16
        let request = makeRequest(number, to: destination, command: command, options, for: .owner)
        return RequestID(number: request?.number ?? number)
    }

    /// PING. `padding` zero bytes travel as its value (experiments with the path MTU). DHT-34, DHT-35.
    @discardableResult
    public func ping(_ destination: Endpoint, padding: Int = 0, options: RequestOptions = RequestOptions()) -> RequestID {
        var options = options
        options.isInternal = true
        options.value = padding > 0 ? [UInt8](repeating: 0, count: min(padding, 65_000)) : nil
        return request(to: destination, command: InternalCommand.ping.rawValue, options: options)
    }

    /// PING_NAT: asks for the answer at our port `port`; default: the server port.
    @discardableResult
    public func pingNAT(_ destination: Endpoint, port: UInt16? = nil, options: RequestOptions = RequestOptions()) -> RequestID {
        var options = options
        options.isInternal = true
        options.value = portValue(port ?? sockets?.serverPort ?? 0)
        return request(to: destination, command: InternalCommand.pingNAT.rawValue, options: options)
    }

    /// DELAYED_PING: asks for an answer after `delay` milliseconds; nil if that is more than the maximum.
    @discardableResult
    public func delayedPing(_ destination: Endpoint, delayMilliseconds delay: UInt32, options: RequestOptions = RequestOptions())
        -> RequestID?
    {
        guard delay <= config.maximumDelayMilliseconds else { return nil }
        var options = options
        var writer = Writer(capacity: 4)
        writer.uint32(delay)
        options.isInternal = true
        options.value = writer.bytes
        options.timeout = options.timeout ?? .milliseconds(Int64(delay) + 1000)
        return request(to: destination, command: InternalCommand.delayedPing.rawValue, options: options)
    }

    func portValue(_ port: UInt16) -> [UInt8] {
        var writer = Writer(capacity: 2)
        writer.uint16(port)
        return writer.bytes
    }

    // MARK: Sessions

    public func makeSession() -> SessionID { SessionID(number: takeNumber()) }

    /// Ends every request and query of the session; nothing is sent and nothing reported for them.
    public func cancel(_ session: SessionID) {
        for request in requestsInOrder where request.session == session { end(request) }
        for id in queries.keys.sorted() where queries[id]?.options.session == session { drop(id) }
    }

    /// Ends one request without a report.
    public func cancel(_ request: RequestID) {
        guard let request = self.request(request.number), case .owner = request.purpose else { return }
        end(request)
    }

    /// In the order of their making.
    var requestsInOrder: [OutgoingRequest] { requests.values.sorted { $0.number < $1.number } }

    /// The low 16 bits of a request's number are its transaction id.
    private func request(_ number: UInt64) -> OutgoingRequest? {
        guard let request = requests[UInt16(truncatingIfNeeded: number)], request.number == number else { return nil }
        return request
    }

    // MARK: Making and sending

    /// nil if it was refused: its failure has been reported.
    @discardableResult
    func makeRequest(
        to destination: Endpoint, command: UInt64, _ options: RequestOptions, for purpose: OutgoingRequest.Purpose
    ) -> OutgoingRequest? {
        makeRequest(takeNumber() << 16, to: destination, command: command, options, for: purpose)
    }

    private func makeRequest(
        _ bareNumber: UInt64, to destination: Endpoint, command: UInt64, _ options: RequestOptions, for purpose: OutgoingRequest.Purpose
    ) -> OutgoingRequest? {
        if let failure = refusal(destination) {
            failed(bareNumber, purpose, failure)
            return nil
        }
        let socket = options.socket ?? (life == .running ? outgoingSocket : nil)
        let tid = takeTransaction()
        let value = options.value
        let message = Request(
            tid: tid, to: destination, id: socket.flatMap(idOnWire), token: options.token, isInternal: options.isInternal, command: command,
            target: options.target, value: value)
        var retries = options.isForced ? 0 : options.retries ?? config.requestRetries
        /// DHT-35.
        if Mutation.dhtRPC(35).isActive, retries == 0 { retries = 1 }
        /// DHT-34: N retries are N + 1 datagrams.
        if Mutation.dhtRPC(34).isActive, options.retries == nil, retries > 0 { retries -= 1 }
        var writer = Writer(capacity: 128 + (value?.count ?? 0))
        message.encode(to: &writer)
        let request = OutgoingRequest(
            number: bareNumber | UInt64(tid), tid: tid, to: destination,
            isPingNAT: options.isInternal && command == InternalCommand.pingNAT.rawValue, payload: writer.bytes, socket: socket,
            // Without a span between them, all attempts would leave at one instant.
            timeout: max(options.timeout ?? config.attemptTimeout, .milliseconds(1)), retries: max(0, retries), options: options,
            created: now,
            purpose: purpose)
        requests[tid] = request
        statistics.requestsTotal += 1
        statistics.requestsActive += 1
        if options.isInternal, command < UInt64(statistics.commands.count) { statistics.commands[Int(command)].sent += 1 }
        attempt(request)
        return request
    }

    private func refusal(_ destination: Endpoint) -> RequestFailure? {
        if life == .destroyed { return .destroyed }
        if !destination.address.isIPv4 || destination.port == 0 { return .invalidDestination }
        return requests.count < config.limits.outstandingRequests ? nil : .tooMany
    }

    private func takeTransaction() -> UInt16 {
        while true {
            let tid: UInt16
            switch config.transactionIDs {
            case .sequential:
                tid = nextTransaction
                nextTransaction &+= 1
            case .random: tid = UInt16(truncatingIfNeeded: entropy.uint32(for: EntropyLabel(.transactionID)))
            }
            // At most a quarter of all ids is in use (`NodeLimits.outstandingRequests`).
            if requests[tid] == nil { return tid }
        }
    }

    /// Sends now, or queues the request while the window is full.
    private func attempt(_ request: OutgoingRequest) {
        if life == .running, request.isForced || !window.isFull { return sendNow(request) }
        request.isQueued = true
        request.deadline = .distantFuture
        waiting.append(request)
    }

    private func sendNow(_ request: OutgoingRequest) {
        guard let socket = request.socket ?? outgoingSocket else { return }
        request.socket = socket
        request.isQueued = false
        request.sent += 1
        if request.sent > 1 { statistics.retries += 1 }
        request.deadline = now + request.timeout
        timers.set(request, due: request.deadline)
        noteTimer(request.deadline)
        window.sent()
        send(request.payload, to: request.to, on: socket, timeToLive: request.timeToLive)
    }

    var hasWaiting: Bool { waitingStart < waiting.count }

    func sendWaiting() {
        while hasWaiting, !window.isFull {
            let request = waiting[waitingStart]
            waitingStart += 1
            if request.isQueued { sendNow(request) }
        }
        if !hasWaiting {
            waiting = []
            waitingStart = 0
        } else if waitingStart > 1024 {
            waiting.removeFirst(waitingStart)
            waitingStart = 0
        }
    }

    // MARK: Ends

    /// An attempt got no answer in its time.
    func attemptEnded(_ request: OutgoingRequest) {
        if case .query(let id) = request.purpose, !request.isSlow {
            request.isSlow = true
            becameSlow(id)
            if request.isOver { return }
        }
        if request.sent <= request.retries {
            request.deadline = .distantFuture
            attempt(request)
            return
        }
        statistics.timeouts += 1
        end(request)
        /// DHT-19: a node that does not answer is not in the table any longer.
        if let id = request.toID, !Mutation.dhtRPC(19).isActive { removeNode(id) }
        failed(request, .timeout)
    }

    /// Forgets a request and gives its room back.
    func end(_ request: OutgoingRequest) {
        guard !request.isOver else { return }
        request.isOver = true
        request.isQueued = false
        if timersDue == request.deadline { timersDue = nil }
        request.deadline = .distantFuture
        requests[request.tid] = nil
        statistics.requestsActive -= 1
        window.received()
    }

    func received(_ response: Response, from source: Endpoint, on socket: SocketID) {
        var found = requests[response.tid]
        /// DHT-36: the tid alone says which request this answers.
        if Mutation.dhtRPC(36).isActive, found == nil { found = requestsInOrder.first }
        guard let request = found else { return statistics.drop(.unknownTransaction) }
        guard request.to == source else {
            statistics.drop(.wrongSource)
            if request.endsOnForeignAnswer {
                end(request)
                failed(request, .destroyed)
            }
            return
        }
        guard request.socket == socket || (request.isPingNAT && socket == sockets?.server) else { return statistics.drop(.wrongSocket) }
        statistics.responses += 1
        end(request)
        let id = validated(response.id, source)
        heard(source, id, to: response.to, isExternal: isExternal(socket), isResponse: true)
        let answer = ReceivedResponse(
            from: source, id: id, to: response.to, token: response.token, closerNodes: response.closerNodes, error: response.error,
            value: response.value.flatMap { $0.isEmpty ? nil : $0 }, socket: socket, roundTrip: now - request.created)
        switch request.purpose {
        case .owner: events.append(.response(RequestID(number: request.number), answer))
        case .query(let query): queryAnswered(query, request, answer)
        case .commit(let query): commitEnded(query, nil)
        case .check(let node):
            checks -= 1
            // The reference compares ticks here and so drops a live node that it saw in this tick; we ask whether the node itself answered.
            if id != node { removeNode(node) }
        case .swap(let old, let new):
            swaps -= 1
            if id != old { replace(old, by: new) }
        case .firewallProbe: firewallProbeEnded(answer)
        case .quickProbe: quickProbeAnswered = true
        case .suggestedAddress(let entry): suggestedAddressAnswered(entry, true)
        case .none: break
        }
    }

    func failed(_ request: OutgoingRequest, _ failure: RequestFailure) {
        if case .query(let query) = request.purpose { return queryRequestFailed(query, request, failure) }
        failed(request.number, request.purpose, failure)
    }

    /// The end of a request that may not even have been made.
    private func failed(_ number: UInt64, _ purpose: OutgoingRequest.Purpose, _ failure: RequestFailure) {
        switch purpose {
        case .owner: events.append(.requestFailed(RequestID(number: number), failure))
        case .query(let query): queryRequestFailed(query, nil, failure)
        case .commit(let query): commitEnded(query, .commit(failure))
        case .check(let node):
            checks -= 1
            if failure == .timeout, !Mutation.dhtRPC(19).isActive { removeNode(node) }
        case .swap(let old, let new):
            swaps -= 1
            /// DHT-50.
            if failure == .timeout, !Mutation.dhtRPC(50).isActive { replace(old, by: new) }
        case .firewallProbe: firewallProbeEnded(nil)
        case .suggestedAddress(let entry): suggestedAddressAnswered(entry, false)
        case .quickProbe, .none: break
        }
    }
}
