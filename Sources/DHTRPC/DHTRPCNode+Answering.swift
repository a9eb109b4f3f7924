import CompactEncoding
import SansIO

/// Requests of others. dht-rpc.md sections 3 and 4.
extension DHTRPCNode {
    struct DelayedPing {
        let request: IncomingRequest
    }

    func received(_ request: Request, from source: Endpoint, on socket: SocketID) {
        let id = validated(request.id, source)
        /// DHT-56: a value of length 0 is no value.
        let value = request.value.flatMap { $0.isEmpty && !Mutation.dhtRPC(56).isActive ? nil : $0 }
        let incoming = IncomingRequest(
            tid: request.tid, from: source, to: request.to, id: id, token: request.token, isInternal: request.isInternal,
            command: request.command, target: request.target, value: value, socket: socket)
        /// DHT-26: a wrong token is answered with a fresh one; the command is not run and the sender not remembered.
        if let token = request.token, !tokens.accepts(token, from: source, entropy) {
            statistics.invalidTokens += 1
            answer(incoming, error: ErrorCode.invalidToken, token: true, closerNodes: request.target != nil)
            return
        }
        if id != nil { heard(source, id, to: request.to, isExternal: isExternal(socket), isResponse: false) }
        guard request.isInternal else {
            statistics.applicationRequests += 1
            events.append(.request(incoming))
            return
        }
        answerInternal(incoming)
    }

    private func answerInternal(_ request: IncomingRequest) {
        guard let command = InternalCommand(rawValue: request.command) else {
            statistics.unknownCommands += 1
            /// DHT-24: with or without a target.
            if Mutation.dhtRPC(24).isActive, request.target == nil { return }
            /// DHT-23: no token, but closer nodes.
            answer(
                request, error: ErrorCode.unknownCommand, token: Mutation.dhtRPC(23).isActive, closerNodes: request.target != nil)
            return
        }
        statistics.commands[Int(command.rawValue)].received += 1
        switch command {
        case .ping:
            /// DHT-5: a value is padding.
            answer(request, value: Mutation.dhtRPC(5).isActive ? request.value : nil)
        case .pingNAT: answerPingNAT(request)
        case .findNode:
            /// DHT-16: without a target there is nothing to find.
            guard request.target != nil || Mutation.dhtRPC(16).isActive else { return statistics.drop(.noTarget) }
            /// DHT-14: closer nodes alone.
            answer(request, token: Mutation.dhtRPC(14).isActive, closerNodes: true)
        case .downHint: answerDownHint(request)
        case .delayedPing: answerDelayedPing(request)
        }
    }

    /// DHT-11: the answer goes to the port named in the value, from the socket asked. DHT-12, DHT-13.
    private func answerPingNAT(_ request: IncomingRequest) {
        guard let value = request.value else { return statistics.drop(.malformedValue) }
        if Mutation.dhtRPC(56).isActive, value.isEmpty { return answer(request) }
        if Mutation.dhtRPC(13).isActive, value.count != 2 { return statistics.drop(.malformedValue) }
        var reader = Reader(value)
        let port = try? reader.uint16("port")
        if Mutation.dhtRPC(12).isActive, port ?? 0 == 0 { return answer(request) }
        guard let port, port != 0 else { return statistics.drop(.malformedValue) }
        answer(request, destination: Endpoint(request.from.address, Mutation.dhtRPC(11).isActive ? request.from.port : port))
    }

    /// DHT-17 to DHT-20: a hint makes us look, it removes nobody.
    private func answerDownHint(_ request: IncomingRequest) {
        if Mutation.dhtRPC(20).isActive, request.value?.count ?? 0 < 6 { return answer(request) }
        guard let value = request.value else { return statistics.drop(.malformedValue) }
        var reader = Reader(value)
        guard let down = try? reader.ipv4Address("address") else { return statistics.drop(.malformedValue) }
        // The PING leaves first, as the reference's does: who gives a hint about itself sees both.
        defer { answer(request) }
        if Mutation.dhtRPC(17).isActive { ping(down) }
        guard checks < DHTRPCNode.mostChecks else { return }
        let id = NodeID.of(down)
        guard let node = table.node(id), node.pinged < tick || node.downHints == 0 else { return }
        /// DHT-18.
        if Mutation.dhtRPC(18).isActive {
            removeNode(id)
            return
        }
        table.update(id) { $0.downHints &+= 1 }
        check(id, at: down)
    }

    /// DHT-21, DHT-22.
    private func answerDelayedPing(_ request: IncomingRequest) {
        guard let value = request.value else { return statistics.drop(.malformedValue) }
        var reader = Reader(value)
        guard let delay = try? reader.uint32("delay") else { return statistics.drop(.malformedValue) }
        guard delay <= config.maximumDelayMilliseconds || Mutation.dhtRPC(22).isActive else { return statistics.drop(.delayTooLong) }
        let host = request.from.address
        guard delayedPings.count < config.limits.delayedPings,
            delayedPingsByHost[host, default: 0] < config.limits.delayedPingsPerHost
        else { return statistics.drop(.tooManyDelayedPings) }
        if Mutation.dhtRPC(21).isActive { return answer(request) }
        let number = takeNumber()
        delayedPings[number] = DelayedPing(request: request)
        delayedPingsByHost[host, default: 0] += 1
        timers.setDelayedPing(number, due: now + .milliseconds(Int64(delay)))
        noteTimer(now + .milliseconds(Int64(delay)))
    }

    func delayedPingDue(_ number: UInt64) {
        guard let delayed = delayedPings.removeValue(forKey: number) else { return }
        let host = delayed.request.from.address
        if let count = delayedPingsByHost[host] { delayedPingsByHost[host] = count > 1 ? count - 1 : nil }
        answer(delayed.request)
    }

    // MARK: Replies

    /// Answers a request of the application. dht-rpc.md section 3.9.
    ///
    /// - Parameters:
    ///   - error: 0 or a code of the application.
    ///   - token: whether to give a round-trip token; default: only without error.
    ///   - closerNodes: whether to list closer nodes, if the request has a target.
    ///   - destination: where the answer goes; default: where the request came from.
    ///   - socket: default: the one that the request arrived on.
    public func reply(
        to request: IncomingRequest, value: [UInt8]? = nil, error: UInt64 = 0, token: Bool? = nil, closerNodes: Bool = true,
        destination: Endpoint? = nil, on socket: SocketID? = nil
    ) {
        guard life == .running else { return }
        answer(
            request, value: value, error: error, token: token ?? (error == 0), closerNodes: closerNodes, destination: destination,
            on: socket)
    }

    /// Answers that the command is not known here: no token, closer nodes if there is a target. DHT-23.
    public func replyUnknownCommand(to request: IncomingRequest) {
        statistics.unknownCommands += 1
        reply(to: request, error: ErrorCode.unknownCommand, token: false, closerNodes: true)
    }

    func answer(
        _ request: IncomingRequest, value: [UInt8]? = nil, error: UInt64 = 0, token: Bool = false, closerNodes: Bool = false,
        destination: Endpoint? = nil, on socket: SocketID? = nil
    ) {
        let destination = destination ?? request.from
        guard destination.address.isIPv4, destination.port != 0 else { return }
        let socket = socket ?? request.socket
        var response = Response(tid: request.tid, to: destination)
        /// DHT-1: `to` is where this goes.
        if Mutation.dhtRPC(1).isActive { response.to = request.to }
        /// DHT-2.
        if Mutation.dhtRPC(2).isActive { response.tid = request.tid.byteSwapped }
        response.id = idOnWire(socket)
        if token { response.token = tokens.issue(for: destination, entropy) }
        if closerNodes, let target = request.target ?? (Mutation.dhtRPC(16).isActive ? .zero : nil) {
            response.closerNodes = table.closestEndpoints(to: target)
        }
        response.error = error
        response.value = value.flatMap { $0.isEmpty ? nil : $0 }
        var writer = Writer(capacity: 88 + 6 * response.closerNodes.count + (value?.count ?? 0))
        response.encode(to: &writer)
        send(writer.bytes, to: destination, on: socket)
    }

    /// Passes a request on: same tid, command and target, no token, a new value. It is neither tracked nor sent again.
    /// dht-rpc.md section 3.10.
    public func relay(_ request: IncomingRequest, to destination: Endpoint, value: [UInt8]?, on socket: SocketID? = nil) {
        guard life == .running, destination.address.isIPv4, destination.port != 0 else { return }
        let socket = socket ?? request.socket
        let message = Request(
            tid: request.tid, to: destination, id: idOnWire(socket), isInternal: request.isInternal, command: request.command,
            target: request.target, value: value.flatMap { $0.isEmpty ? nil : $0 })
        send(message.encoded, to: destination, on: socket)
    }

    /// A node gives its id only while persistent, and only from its server socket. DHT-3, DHT-4.
    func idOnWire(_ socket: SocketID) -> Bytes32? {
        guard let sockets, socket == sockets.server else { return nil }
        if Mutation.dhtRPC(3).isActive { return nil }
        if Mutation.dhtRPC(4).isActive { return table.id }
        return isEphemeral ? nil : table.id
    }
}
