import CompactEncoding
import SansIO

extension SwarmMachine {
    // MARK: Commands

    /// Joins a topic. Sessions of one topic share its queries; modes are the union of theirs. SWARM-1, SWARM-4, SWARM-5, SWARM-33.
    @discardableResult
    public func join(_ topic: [UInt8], server: Bool = true, client: Bool = true, limit: Int = .max, now: Instant) throws(SwarmError)
        -> SwarmSessionID
    {
        self.now = max(self.now, now)
        if isDestroyed { throw SwarmError(.destroyed) }
        // SWARM-5.
        guard server || client || Mutation.hyperswarm(5).isActive else { throw SwarmError(.noMode) }
        // SWARM-33.
        guard let target = Bytes32(Mutation.hyperswarm(33).isActive ? Array((topic + [0]).prefix(32)) : topic) else {
            throw SwarmError(.topicLength)
        }
        let discovery: Discovery
        if let known = discoveries[target] {
            discovery = known
        } else {
            guard discoveries.count < options.limits.maximumTopics else { throw SwarmError(.tooManyTopics) }
            discovery = Discovery(target)
            discovery.isSuspended = isSuspended
            // SWARM-34.
            discovery.isHeld = leaving.values.contains(target) && !Mutation.hyperswarm(34).isActive
            discoveries[target] = discovery
        }
        let session = SwarmSessionID(nextNumber())
        discovery.sessions[session] = Discovery.Session(isServer: server, isClient: client, limit: limit)
        sessionTopics[session] = target
        refresh(discovery)
        return session
    }

    /// Changes the modes of a session and queries again.
    public func refresh(_ session: SwarmSessionID, server: Bool? = nil, client: Bool? = nil, now: Instant) throws(SwarmError) {
        self.now = max(self.now, now)
        guard let topic = sessionTopics[session], let discovery = discoveries[topic], var known = discovery.sessions[session] else {
            return
        }
        known.isServer = server ?? known.isServer
        known.isClient = client ?? known.isClient
        guard known.isServer || known.isClient else { throw SwarmError(.noMode) }
        discovery.sessions[session] = known
        refresh(discovery)
    }

    /// Ends one session. With the last one the topic is left.
    public func endSession(_ session: SwarmSessionID, now: Instant) {
        self.now = max(self.now, now)
        guard let topic = sessionTopics.removeValue(forKey: session), let discovery = discoveries[topic] else { return }
        let wasServer = discovery.isServer
        discovery.sessions[session] = nil
        if discovery.sessions.isEmpty {
            leave(discovery)
        } else if wasServer, !discovery.isServer {
            refresh(discovery)
        }
    }

    /// Leaves a topic for all its sessions; connections stay. `left` tells when it is done. SWARM-6.
    public func leave(_ topic: Bytes32, now: Instant) {
        self.now = max(self.now, now)
        if let discovery = discoveries[topic] {
            leave(discovery)
        } else if !leaving.values.contains(topic) {
            emit(.left(topic: topic))
        }
    }

    /// Leaves all topics.
    public func clear(now: Instant) {
        self.now = max(self.now, now)
        for discovery in Array(discoveries.values) { leave(discovery) }
    }

    /// Starts the server; the first join as server does so too. `listening` tells when it is announced. SWARM-3.
    public func listen(now: Instant) {
        self.now = max(self.now, now)
        guard !isDestroyed, case .no = listening else {
            if isListening { emit(.listening) }
            return
        }
        let id = operation()
        listening = .pending(id)
        effects.append(.listen(id))
    }

    // MARK: Answers

    /// One reply of a query.
    public func queryReplied(_ query: SwarmOperationID, _ found: [FoundPeer], now: Instant) {
        self.now = max(self.now, now)
        guard life == .running, let discovery = discoveries.values.first(where: { $0.run?.query == query }), discovery.isClient else {
            return
        }
        for peer in found {
            // SWARM-10.
            if peer.publicKey == publicKey, !Mutation.hyperswarm(10).isActive { continue }
            // The reference counts every record; distinct peers without a connection are what the limit is for (hyperswarm.md section 4).
            if connectionByKey[peer.publicKey] == nil, discovery.run?.handed.contains(peer.publicKey) == false {
                guard (discovery.run?.handed.count ?? 0) < discovery.limit else { continue }
                discovery.run?.handed.insert(peer.publicKey)
            }
            handle(peer, topic: discovery.topic)
        }
        dial()
    }

    /// A query ended, well or not; the server listens, or could not; an unannounce, suspend, resume, close or destroy is done.
    public func operationFinished(_ id: SwarmOperationID, succeeded: Bool = true, now: Instant) {
        self.now = max(self.now, now)
        if let discovery = discoveries.values.first(where: { $0.run?.query == id }) {
            finishRun(discovery)
        } else if let topic = leaving.removeValue(forKey: id) {
            emit(.left(topic: topic))
            if let next = discoveries[topic], next.isHeld, !leaving.values.contains(topic) {
                next.isHeld = false
                refresh(next)
            }
        } else if case .pending(let pending) = listening, pending == id {
            finishListening(succeeded)
        }
        if awaited.remove(id) != nil { continueLife() }
    }

    /// The network or our address changed, or the network is there again: probe connections and query every topic at once. SWARM-9.
    public func networkChanged(now: Instant) {
        self.now = max(self.now, now)
        guard life == .running, !Mutation.hyperswarm(9).isActive else { return }
        for (id, connection) in connections where !connection.isDestroyed { effects.append(.sendKeepAlive(id)) }
        for discovery in Array(discoveries.values) { refresh(discovery) }
    }

    // MARK: Runs

    func refresh(_ discovery: Discovery) {
        discovery.refreshAt = nil
        guard life == .running, !discovery.isSuspended, !discovery.isHeld, !discovery.sessions.isEmpty else { return }
        if let run = discovery.run {
            if run.isServer == discovery.isServer, run.isClient == discovery.isClient { return }
            if let query = run.query { effects.append(.cancelQuery(query)) }
            discovery.run = nil
        }
        discovery.run = Discovery.Run(isServer: discovery.isServer, isClient: discovery.isClient, query: nil, kind: .lookup)
        // Records carry the relays of the own key, so that is announced first. SWARM-2, SWARM-3.
        if discovery.isServer || Mutation.hyperswarm(3).isActive, !isListening {
            listen(now: now)
        } else {
            startQuery(discovery)
        }
    }

    /// SWARM-4: only a server announces.
    private func startQuery(_ discovery: Discovery) {
        guard var run = discovery.run, run.query == nil else { return }
        if run.isServer || Mutation.hyperswarm(4).isActive {
            run.kind = .announce(clear: !discovery.hasAnnounced)
            discovery.hasAnnounced = true
            discovery.needsUnannounce = true
        } else {
            run.kind = discovery.needsUnannounce ? .lookupAndUnannounce : .lookup
        }
        let id = operation()
        run.query = id
        discovery.run = run
        // SWARM-1: the topic itself is the target.
        var target = discovery.topic
        if Mutation.hyperswarm(1).isActive { target = Bytes32(Array(target.bytes.reversed())) ?? target }
        // SWARM-2.
        effects.append(.query(id, run.kind, target: target, relayAddressLimit: Mutation.hyperswarm(2).isActive ? 4 : 3))
    }

    private func finishRun(_ discovery: Discovery) {
        if discovery.run?.kind == .lookupAndUnannounce { discovery.needsUnannounce = false }
        discovery.run = nil
        let wait = Discovery.refreshBase + randomWait()
        // SWARM-7.
        discovery.refreshAt = now + (Mutation.hyperswarm(7).isActive ? .seconds(60) : wait)
        settleFlushes(ranTopic: discovery.topic)
    }

    private func randomWait() -> Interval {
        .milliseconds(Int64(entropy.uniform(below: Discovery.refreshJitterMilliseconds, for: EntropyLabel(.jitter))))
    }

    func refreshIfDue(_ discovery: Discovery) {
        guard let at = discovery.refreshAt, at <= now else { return }
        // SWARM-8: a machine that slept does not query with all others that slept.
        if (now - at) > Discovery.lateAfter {
            discovery.refreshAt = now + (Mutation.hyperswarm(8).isActive ? .seconds(600) : randomWait())
        } else {
            refresh(discovery)
        }
    }

    private func finishListening(_ succeeded: Bool) {
        listening = succeeded ? .yes : .no
        if succeeded { emit(.listening) }
        for discovery in Array(discoveries.values) {
            guard let run = discovery.run, run.query == nil else { continue }
            if succeeded || !run.isServer || Mutation.hyperswarm(3).isActive { startQuery(discovery) } else { finishRun(discovery) }
        }
    }

    func leave(_ discovery: Discovery) {
        discoveries[discovery.topic] = nil
        for session in discovery.sessions.keys { sessionTopics[session] = nil }
        if let query = discovery.run?.query { effects.append(.cancelQuery(query)) }
        discovery.run = nil
        discovery.refreshAt = nil
        settleFlushes(ranTopic: discovery.topic)
        // SWARM-6, SWARM-28.
        if Mutation.hyperswarm(6, 1).isActive {
            for (id, connection) in connections where connection.isOpen { effects.append(.destroyConnection(id, .destroyed)) }
        }
        if discovery.needsUnannounce, !Mutation.hyperswarm(6).isActive {
            let id = operation()
            leaving[id] = discovery.topic
            effects.append(.unannounce(id, target: discovery.topic))
        } else if !discovery.isHeld {
            emit(.left(topic: discovery.topic))
        }
    }
}
