import CompactEncoding
import SansIO

/// Start, bootstrap, suspend, resume, destroy. dht-rpc.md sections 5, 12 and 13.
extension DHTRPCNode {
    /// Asks the driver to bind the sockets.
    public func start() {
        guard life == .new else { return }
        life = .binding
        events.append(
            .bind(
                BindRequest(
                    host: config.bindHost, serverPorts: config.port.candidates,
                    anyServerPort: config.anyPort || config.port == .any, clientPorts: [])))
    }

    /// The driver bound both sockets.
    public func bound(_ sockets: NodeSockets) {
        guard life == .binding else {
            // Suspended or destroyed meanwhile: nobody needs them.
            if self.sockets != sockets || life != .running { events.append(.closeSockets([sockets.server, sockets.client])) }
            return
        }
        self.sockets = sockets
        life = .running
        lastTick = now
        nextTick = now + Ticks.interval
        nextDrain = now + CongestionWindow.drainInterval
        if isResuming {
            isResuming = false
            wokeUp()
            events.append(.resumed)
            if isBootstrapped { refresh() } else { bootstrap() }
        } else {
            events.append(.listening(sockets))
            bootstrap()
        }
        sendWaiting()
    }

    /// The driver could not bind: the node is of no use.
    public func bindFailed() {
        guard life == .binding else { return }
        events.append(.bindFailed)
        destroy()
    }

    // MARK: Bootstrap

    private func bootstrap() {
        bootstrapRound = 1
        quickProbeAnswered = false
        quickProbePending = isFirewalled && config.quickFirewall && config.persistence != .atStart
        backgroundQuery(.bootstrap, table.id)
    }

    /// Two rounds at most: the second, around the node's own new id, follows a check that went well.
    func bootstrapQueryEnded() {
        guard !isBootstrapped, bootstrapRound > 0 else { return }
        let mustCheck = config.persistence == .atStart
        guard bootstrapRound <= 2, quickProbeAnswered || mustCheck else { return bootstrapped() }
        checkNetwork(onlyFirewall: !mustCheck)
    }

    func bootstrapChecked(_ changed: Bool) {
        bootstrapRound += 1
        guard changed, bootstrapRound <= 2 else { return bootstrapped() }
        backgroundQuery(.bootstrap, table.id)
    }

    private func bootstrapped() {
        guard !isBootstrapped else { return }
        isBootstrapped = true
        bootstrapRound = 0
        events.append(.ready)
    }

    // MARK: Suspend and resume

    /// Cancels what is in flight and gives the sockets back. Nothing is sent.
    public func suspend() {
        guard life == .running || life == .binding else { return }
        isResuming = true
        let bound = sockets
        stop(.suspended)
        life = .suspended
        /// DHT-52: nothing is answered until `resume`.
        if let bound, !Mutation.dhtRPC(52).isActive { events.append(.closeSockets([bound.server, bound.client])) }
        events.append(.suspended)
    }

    /// Asks for the same ports again, and goes on when they are bound.
    public func resume() {
        guard life == .suspended else { return }
        life = .binding
        var ports = sockets.map { [$0.serverPort] } ?? []
        ports += config.port.candidates.filter { !ports.contains($0) }
        events.append(
            .bind(
                BindRequest(
                    host: config.bindHost, serverPorts: ports, anyServerPort: config.anyPort || config.port == .any,
                    clientPorts: sockets.map { [$0.clientPort] } ?? [])))
    }

    /// Ends the node for good. Nothing is sent.
    public func destroy() {
        guard life != .destroyed else { return }
        let bound = life == .running ? sockets : nil
        stop(.destroyed)
        life = .destroyed
        if let bound { events.append(.closeSockets([bound.server, bound.client])) }
        events.append(.closed)
    }

    private func stop(_ failure: RequestFailure) {
        nextTick = .distantFuture
        nextDrain = .distantFuture
        let before = life
        // Nothing that ends now may start something new.
        life = .destroyed
        for request in requestsInOrder {
            end(request)
            switch request.purpose {
            case .owner, .check, .swap: failed(request, failure)
            case .query(let id): queries[id]?.removeInFlight(request)
            default: break
            }
        }
        for id in queries.keys.sorted() {
            guard let query = queries[id] else { continue }
            query.lastFailure = .cancelled
            drop(id)
            if query.kind == .owner { events.append(.queryFinished(id, query.outcome)) }
        }
        life = before
        networkCheck = nil
        bootstrapRound = 0
        bootstrapResolver = BootstrapResolver()
        waiting = []
        waitingStart = 0
        timers.removeAll()
        timersDue = .distantFuture
        delayedPings = [:]
        delayedPingsByHost = [:]
        checks = 0
        swaps = 0
        window.clear()
    }
}
