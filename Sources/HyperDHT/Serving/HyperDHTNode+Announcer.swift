import CompactEncoding
import DHTRPC
import SansIO

/// Announcing servers, keeping the way to them open, taking back. hyperdht.md section 17. HDHT-62 to HDHT-64.
extension HyperDHTNode {
    func startAnnouncing(_ server: Server) {
        guard case .idle = server.announcer.state, !server.isClosing, !server.isSuspended else { return }
        updateAnnounce(server)
    }

    /// Searches for the nodes closest to our own key.
    private func updateAnnounce(_ server: Server) {
        let announcer = server.announcer
        timers.cancel(&announcer.timer)
        announcer.wantsRefresh = false
        announcer.rounds = 0
        announcer.turnGenerations()
        var options = QueryOptions()
        options.nodes = announcer.closestNodes
        let query = rpc.query(target: server.target, command: HyperDHTCommand.findPeer.rawValue, options: options)
        queries[query] = .announcer(server.id)
        announcer.enter(.searching(query))
    }

    func announcerQueryFinished(_ id: ServerID, _ outcome: QueryOutcome) {
        guard let server = servers[id], case .searching = server.announcer.state else { return }
        let announcer = server.announcer
        announcer.pendingRelays = []
        announcer.pendingAddresses = []
        announcer.pendingClosest = outcome.closestReplies.map(\.from)
        announcer.seenAs = [:]
        if let own = publicAddress { announcer.pendingAddresses.append(own) }
        let wanted = Mutation.hyperDHT(62, 2).isActive ? 1 : Announcer.wanted
        let replies = outcome.closestReplies.filter { $0.token != nil && $0.id != nil }.prefix(wanted)
        announcer.enter(.announcing, requests: replies.count)
        for reply in replies {
            guard let token = reply.token, let nodeID = reply.id else { continue }
            announcer.seenAs[reply.from] = reply.to
            let message = AnnounceMessage(peer: announcer.record)
            /// HDHT-62a. Signed for that node and its token.
            let signedFor = Mutation.hyperDHT(62, 1).isActive ? server.target : nodeID
            sign(
                message, server.signer, .announce, target: server.target, token: token, nodeID: signedFor,
                for: .announcer(id, node: reply.from, token: token, message: message, isUnannounce: false))
        }
        if replies.isEmpty { announced(server) }
    }

    func announcerAnswered(_ id: ServerID, _ request: AnnouncerRequest, _ response: ReceivedResponse) {
        guard let server = servers[id] else { return }
        let announcer = server.announcer
        switch request {
        case .announce(let node):
            guard case .announcing = announcer.state else { return }
            if response.error == 0 {
                if announcer.pendingAddresses.count < 3 { announcer.pendingAddresses.append(node) }
                announcer.pendingRelays.append(
                    NoisePayload.HolepunchInfo.Relay(relayAddress: node, peerAddress: announcer.seenAs[node] ?? response.to))
                announcer.add(node)
            }
            announceEnded(server)
        case .ping(let step):
            guard step == announcer.step else { return }
            announcer.pongs += 1
            pingEnded(server)
        case .findForUnannounce(let node, let step):
            /// HDHT-64. Only where a record is still held, for its node and token.
            guard let token = response.token, let nodeID = response.id, response.value != nil else {
                return unannounceStepEnded(server, step)
            }
            let message = AnnounceMessage(peer: announcer.record)
            sign(
                message, server.signer, .unannounce, target: server.target, token: token, nodeID: nodeID,
                for: .announcer(id, node: node, token: token, message: message, isUnannounce: true))
        case .unannounce(_, let step): unannounceStepEnded(server, step)
        }
    }

    func announcerFailed(_ id: ServerID, _ request: AnnouncerRequest) {
        guard let server = servers[id] else { return }
        switch request {
        case .announce: announceEnded(server)
        case .ping(let step): if step == server.announcer.step { pingEnded(server) }
        case .findForUnannounce(_, let step), .unannounce(_, let step): unannounceStepEnded(server, step)
        }
    }

    private func announceEnded(_ server: Server) {
        guard case .announcing = server.announcer.state else { return }
        server.announcer.outstanding -= 1
        if server.announcer.outstanding <= 0 { announced(server) }
    }

    private func announced(_ server: Server) {
        let announcer = server.announcer
        announcer.closestNodes = announcer.pendingClosest
        announcer.relays = announcer.pendingRelays
        announcer.relayAddresses = announcer.pendingAddresses
        let old = announcer.previous.filter { !announcer.current.contains($0) }
        announcer.enter(.letting, requests: old.count)
        askForUnannounce(server, old)
        if old.isEmpty { updateEnded(server) }
    }

    private func askForUnannounce(_ server: Server, _ nodes: [Endpoint]) {
        let step = server.announcer.step
        for node in nodes {
            request(.findPeer, to: node, target: server.target, for: .announcer(server.id, .findForUnannounce(node, step: step)))
        }
    }

    private func unannounceStepEnded(_ server: Server, _ step: Int) {
        let announcer = server.announcer
        guard step == announcer.step else { return }
        announcer.outstanding -= 1
        guard announcer.outstanding <= 0 else { return }
        switch announcer.state {
        case .letting: updateEnded(server)
        case .takingBack: takenBack(server)
        default: break
        }
    }

    private func updateEnded(_ server: Server) {
        if !server.hasReportedListening {
            server.hasReportedListening = true
            events.append(.listening(server.id, publicKey: server.keyPair.publicKey))
        }
        if rpc.isOnline { pingRelays(server) } else { server.announcer.enter(.waitingForNetwork) }
    }

    // MARK: Keeping the way open

    private func pingRelays(_ server: Server) {
        let announcer = server.announcer
        announcer.enter(.pinging, requests: announcer.current.count)
        announcer.pongs = 0
        announcer.pinged = announcer.current.count
        for node in announcer.current { ping(node, for: .announcer(server.id, .ping(step: announcer.step))) }
        if announcer.pinged == 0 { rest(server) }
    }

    private func pingEnded(_ server: Server) {
        let announcer = server.announcer
        guard case .pinging = announcer.state else { return }
        announcer.outstanding -= 1
        guard announcer.outstanding <= 0 else { return }
        /// HDHT-63. Too few answer: announce anew at once.
        if announcer.pongs < min(announcer.pinged, Announcer.wanted), !Mutation.hyperDHT(63).isActive { announcer.wantsRefresh = true }
        rest(server)
    }

    private func rest(_ server: Server) {
        let announcer = server.announcer
        announcer.rounds += 1
        if announcer.wantsRefresh || announcer.rounds >= Announcer.pingRounds { return updateAnnounce(server) }
        announcer.enter(.resting)
        /// HDHT-62b.
        let interval = Mutation.hyperDHT(62, 3).isActive ? Interval.seconds(9) : Announcer.pingInterval
        announcer.timer = timers.set(now + interval, .announcer(server.id))
    }

    func announcerTick(_ id: ServerID) {
        guard let server = servers[id], case .resting = server.announcer.state else { return }
        server.announcer.timer = nil
        if server.announcer.wantsRefresh { updateAnnounce(server) } else { pingRelays(server) }
    }

    func refreshAnnounce(_ server: Server) {
        let announcer = server.announcer
        guard !announcer.isStopped, !server.isSuspended else { return }
        announcer.wantsRefresh = true
    }

    func serversOnline() {
        for server in serversInOrder {
            if case .waitingForNetwork = server.announcer.state { updateAnnounce(server) }
        }
    }

    // MARK: Taking back

    /// Takes back every announce, for closing or suspending; then `serverStopped`. HDHT-64.
    func takeBackAnnounces(_ server: Server) {
        let announcer = server.announcer
        if case .takingBack = announcer.state { return }
        timers.cancel(&announcer.timer)
        if case .searching(let query) = announcer.state { cancel(query) }
        let nodes = announcer.current
        announcer.enter(.takingBack, requests: nodes.count)
        if nodes.isEmpty || rpc.sockets == nil || rpc.isSuspended || Mutation.hyperDHT(64).isActive { return takenBack(server) }
        askForUnannounce(server, nodes)
    }

    private func takenBack(_ server: Server) {
        server.announcer.enter(server.announcer.isStopped ? .stopped : .idle)
        serverStopped(server)
    }
}
