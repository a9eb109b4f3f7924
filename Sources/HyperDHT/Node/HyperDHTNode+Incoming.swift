import CompactEncoding
import DHTRPC
import SansIO

/// Requests of others. hyperdht.md section 2.
extension HyperDHTNode {
    func incoming(_ request: IncomingRequest) {
        guard !request.isInternal else { return rpc.replyUnknownCommand(to: request) }
        if request.command < 11 { statistics.requests[Int(request.command)] += 1 }
        let command = HyperDHTCommand(rawValue: request.command)
        switch command {
        case .peerHandshake: incomingHandshake(request)
        case .peerHolepunch: incomingHolepunch(request)
        case .plugin where store != nil && rpc.isPersistent: incomingPlugin(request)
        case _ where command.rawValue <= HyperDHTCommand.plugin.rawValue: incomingStorage(command, request)
        default:
            /// HDHT-6. Unknown commands: error 1.
            if Mutation.hyperDHT(6).isActive { return }
            rpc.replyUnknownCommand(to: request)
        }
    }

    private func incomingStorage(_ command: HyperDHTCommand, _ request: IncomingRequest) {
        if store == nil, Mutation.hyperDHT(5).isActive { openStore() }
        /// HDHT-5. A node that is not persistent stores nothing.
        guard store != nil, rpc.isPersistent || Mutation.hyperDHT(5).isActive else { return rpc.replyUnknownCommand(to: request) }
        let question = StoreRequest(
            command: command, from: request.from, target: request.target, token: request.token, value: request.value)
        let answer = store?.answer(question, nodeID: rpc.id, router: &routes, unixMilliseconds: unixMilliseconds, entropy: entropy)
        switch answer {
        case .reply(let value, let token, let closerNodes): rpc.reply(to: request, value: value, token: token, closerNodes: closerNodes)
        case .error(let code): rpc.reply(to: request, error: code.rawValue, token: false, closerNodes: true)
        case .silence, nil: break
        }
    }

    // MARK: Handshakes and hole punches

    private func incomingHandshake(_ request: IncomingRequest) {
        let route = request.target.flatMap { routes.route($0) }
        perform(MessageRouting.handshake(value: request.value, from: request.from, route: route), request)
    }

    private func incomingHolepunch(_ request: IncomingRequest) {
        let route = request.target.flatMap { routes.route($0) }
        perform(MessageRouting.holepunch(value: request.value, from: request.from, route: route), request)
    }

    private func perform(_ action: RoutingAction, _ request: IncomingRequest) {
        switch action {
        case .silence: break
        case .closerNodes: rpc.reply(to: request, token: Mutation.hyperDHT(34, 1).isActive, closerNodes: true)
        case .relay(let value, let destination):
            guard mayRelay(request.from, to: destination) else { return }
            rpc.relay(request, to: destination, value: value)
        case .reply(let value, let destination):
            guard mayRelay(request.from, to: destination ?? request.from) else { return }
            rpc.reply(to: request, value: value, token: Mutation.hyperDHT(37, 1).isActive, closerNodes: false, destination: destination)
        case .handshake(let server, let noise, let peerAddress, let path):
            serverHandshake(ServerID(number: server), noise, peerAddress, path, request)
        case .holepunch(let server, let id, let payload, let peerAddress):
            serverHolepunch(ServerID(number: server), id, payload, peerAddress, request)
        }
    }

    /// Anybody can make a node send a datagram of this kind to any address, one for one: so there is a bound.
    private func mayRelay(_ source: Endpoint, to destination: Endpoint) -> Bool {
        guard AddressClass.isRelayTarget(destination) else {
            statistics.drop(.unfitRelayTarget)
            return false
        }
        guard relayGate.admits(source.address, now) else {
            statistics.drop(.relayedTooOften)
            return false
        }
        statistics.messagesRelayed += 1
        return true
    }

    // MARK: Plugins

    /// Offers a plugin under this name and version; its requests come as `plugin` questions. hyperdht.md section 5.
    public func registerPlugin(_ name: String, version: UInt64) { plugins[name] = version }

    /// Requests for it are refused from now on.
    public func unregisterPlugin(_ name: String) { plugins[name] = nil }

    /// HDHT-33. Unknown names and versions get silence.
    private func incomingPlugin(_ request: IncomingRequest) {
        guard let value = request.value, let message = try? PluginMessage(decoding: value) else { return }
        guard plugins[message.plugin] == message.version else {
            if Mutation.hyperDHT(33).isActive { rpc.replyUnknownCommand(to: request) }
            return
        }
        guard pluginQuestions.count < config.limits.operations else { return }
        let id = QuestionID(number: takeNumber())
        pluginQuestions[id] = request
        events.append(.plugin(PluginQuestion(id: id, message: message, request: request)))
    }

    /// Answers a plugin's request; `error` 0 is none. Without an answer there is silence: then call `discard`.
    public func answer(
        _ question: QuestionID, value: [UInt8]?, error: UInt64 = 0, token: Bool? = nil, closerNodes: Bool = true
    ) {
        guard let request = pluginQuestions.removeValue(forKey: question) else { return }
        rpc.reply(to: request, value: value, error: error, token: token, closerNodes: closerNodes)
        settle()
    }

    /// Leaves a plugin's request unanswered.
    public func discard(_ question: QuestionID) { pluginQuestions[question] = nil }
}
