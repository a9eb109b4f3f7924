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
        RequestID(number: makeRequest(to: destination, command: command, options, for: .owner))
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
        for number in requests.keys.sorted() where requests[number]?.session == session { end(number) }
        for id in queries.keys.sorted() where queries[id]?.options.session == session { drop(id) }
    }

    /// Ends one request without a report.
    public func cancel(_ request: RequestID) {
        if case .owner? = requests[request.number]?.purpose { end(request.number) }
    }

    // MARK: Making and sending

    @discardableResult
    func makeRequest(
        to destination: Endpoint, command: UInt64, _ options: RequestOptions, for purpose: OutgoingRequest.Purpose
    ) -> UInt64 {
        let number = takeNumber()
        if let failure = refusal(destination) {
            failed(number, purpose, destination, failure)
            return number
        }
        let socket = options.socket ?? (life == .running ? outgoingSocket : nil)
        let tid = takeTransaction()
        let message = Request(
            tid: tid, to: destination, id: socket.flatMap(idOnWire), token: options.token, isInternal: options.isInternal, command: command,
            target: options.target, value: options.value.flatMap { $0.isEmpty ? nil : $0 })
        var retries = options.isForced ? 0 : options.retries ?? config.requestRetries
        /// DHT-35.
        if Mutation.dhtRPC(35).isActive, retries == 0 { retries = 1 }
        /// DHT-34: N retries are N + 1 datagrams.
        if Mutation.dhtRPC(34).isActive, options.retries == nil, retries > 0 { retries -= 1 }
        var writer = Writer(capacity: 128 + (options.value?.count ?? 0))
        message.encode(to: &writer)
        requests[number] = OutgoingRequest(
            number: number, tid: tid, to: destination, toID: options.id, socket: socket,
            isPingNAT: options.isInternal && command == InternalCommand.pingNAT.rawValue, payload: writer.bytes,
            timeToLive: options.timeToLive, timeout: options.timeout ?? config.attemptTimeout, retries: max(0, retries),
            isForced: options.isForced, endsOnForeignAnswer: options.endsOnForeignAnswer, created: now, session: options.session,
            purpose: purpose)
        numberByTransaction[tid] = number
        statistics.requestsTotal += 1
        statistics.requestsActive += 1
        if options.isInternal, command < UInt64(statistics.commands.count) { statistics.commands[Int(command)].sent += 1 }
        attempt(number)
        return number
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
            if numberByTransaction[tid] == nil { return tid }
        }
    }

    /// Sends now, or queues the request while the window is full.
    private func attempt(_ number: UInt64) {
        guard let request = requests[number] else { return }
        if life == .running, request.isForced || !window.isFull { return sendNow(number) }
        requests[number]?.isQueued = true
        requests[number]?.deadline = .distantFuture
        waiting.append(number)
    }

    private func sendNow(_ number: UInt64) {
        guard var request = requests[number], let socket = request.socket ?? outgoingSocket else { return }
        request.socket = socket
        request.isQueued = false
        request.sent += 1
        if request.sent > 1 { statistics.retries += 1 }
        request.deadline = now + request.timeout
        requests[number] = request
        timers.set(.request, number, due: request.deadline)
        window.sent()
        send(request.payload, to: request.to, on: socket, timeToLive: request.timeToLive)
    }

    var hasWaiting: Bool { waitingStart < waiting.count }

    func sendWaiting() {
        while hasWaiting, !window.isFull {
            let number = waiting[waitingStart]
            waitingStart += 1
            if requests[number]?.isQueued == true { sendNow(number) }
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
    func attemptEnded(_ number: UInt64) {
        guard var request = requests[number] else { return }
        if case .query(let id) = request.purpose, !request.isSlow {
            request.isSlow = true
            requests[number] = request
            becameSlow(id)
        }
        if request.sent <= request.retries {
            requests[number]?.deadline = .distantFuture
            attempt(number)
            return
        }
        statistics.timeouts += 1
        end(number)
        /// DHT-19: a node that does not answer is not in the table any longer.
        if let id = request.toID, !Mutation.dhtRPC(19).isActive { removeNode(id) }
        failed(number, request.purpose, request.to, .timeout, wasSlow: request.isSlow)
    }

    /// Forgets a request and gives its room back.
    func end(_ number: UInt64) {
        guard let request = requests.removeValue(forKey: number) else { return }
        numberByTransaction[request.tid] = nil
        statistics.requestsActive -= 1
        window.received()
    }

    func received(_ response: Response, from source: Endpoint, on socket: SocketID) {
        var found = numberByTransaction[response.tid]
        /// DHT-36: the tid alone says which request this answers.
        if Mutation.dhtRPC(36).isActive, found == nil { found = requests.keys.min() }
        guard let number = found, let request = requests[number] else { return statistics.drop(.unknownTransaction) }
        guard request.to == source else {
            statistics.drop(.wrongSource)
            if request.endsOnForeignAnswer {
                end(number)
                failed(number, request.purpose, request.to, .destroyed)
            }
            return
        }
        guard request.socket == socket || (request.isPingNAT && socket == sockets?.server) else { return statistics.drop(.wrongSocket) }
        statistics.responses += 1
        end(number)
        let id = validated(response.id, source)
        heard(source, id, to: response.to, isExternal: isExternal(socket), isResponse: true)
        let answer = ReceivedResponse(
            from: source, id: id, to: response.to, token: response.token, closerNodes: response.closerNodes, error: response.error,
            value: response.value.flatMap { $0.isEmpty ? nil : $0 }, socket: socket, roundTrip: now - request.created)
        switch request.purpose {
        case .owner: events.append(.response(RequestID(number: number), answer))
        case .query(let query): queryAnswered(query, number, answer, wasSlow: request.isSlow)
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

    func failed(
        _ number: UInt64, _ purpose: OutgoingRequest.Purpose, _ destination: Endpoint, _ failure: RequestFailure, wasSlow: Bool = false
    ) {
        switch purpose {
        case .owner: events.append(.requestFailed(RequestID(number: number), failure))
        case .query(let query): queryRequestFailed(query, number, destination, failure, wasSlow: wasSlow)
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
