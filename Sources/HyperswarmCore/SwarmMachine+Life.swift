import CompactEncoding
import SansIO

extension SwarmMachine {
    // MARK: Flush

    /// `flushed(token, true)` follows when every topic's run has ended and every peer that was then queued has been reached or given up; false if the
    /// swarm is destroyed before. SWARM-29.
    public func flush(now: Instant) -> UInt64 { flush(topic: nil, now: now) }

    /// As `flush`, but waits only for the topic's run; nil waits for everything.
    public func flush(topic: Bytes32?, now: Instant) -> UInt64 {
        self.now = max(self.now, now)
        let token = nextNumber()
        guard !isDestroyed else {
            emit(.flushed(token: token, false))
            return token
        }
        let running = discoveries.values.filter { ($0.run != nil || $0.isHeld) && (topic == nil || $0.topic == topic) }.map(\.topic)
        flushes.append(PendingFlush(token: token, topics: Set(running), missing: nil, topicsOnly: topic != nil))
        settleFlushes()
        return token
    }

    func settleFlushes(ranTopic: Bytes32? = nil) {
        guard !flushes.isEmpty else { return }
        var kept: [PendingFlush] = []
        for var flush in flushes {
            if let ranTopic { flush.topics.remove(ranTopic) }
            if flush.topics.isEmpty, flush.missing == nil {
                flush.missing = flush.topicsOnly ? [] : Set(queue.keys + connections.values.filter { $0.isClient && !$0.isOpen }.map(\.key))
            }
            // SWARM-29.
            let isLimited = connecting == 0 && !isWithinLimits
            if let missing = flush.missing, missing.isEmpty || isLimited || Mutation.hyperswarm(29).isActive {
                emit(.flushed(token: flush.token, true))
            } else {
                kept.append(flush)
            }
        }
        flushes = kept
    }

    /// A dial of this peer has come to an end, or will not begin.
    func tried(_ key: Bytes32) {
        for index in flushes.indices { flushes[index].missing?.remove(key) }
        settleFlushes()
    }

    // MARK: Suspend and resume

    /// Unannounces, closes every connection, and goes silent. `suspended` tells when it is done. SWARM-27.
    public func suspend(now: Instant) {
        self.now = max(self.now, now)
        guard life == .running else { return }
        life = .suspending
        if hasServer {
            let id = operation()
            awaited.insert(id)
            effects.append(.suspendServer(id))
        }
        for discovery in Array(discoveries.values) {
            if let query = discovery.run?.query { effects.append(.cancelQuery(query)) }
            discovery.run = nil
            discovery.refreshAt = nil
            discovery.isSuspended = true
            if discovery.needsUnannounce, !Mutation.hyperswarm(27).isActive {
                let id = operation()
                awaited.insert(id)
                effects.append(.unannounce(id, target: discovery.topic))
                discovery.needsUnannounce = false
            }
        }
        if !Mutation.hyperswarm(27, 3).isActive { for id in connections.keys { destroyConnection(id, .suspended) } }
        timers.removeAll()
        for key in queue.keys { peers[key]?.isQueued = false }
        queue.removeAll()
        for key in peers.keys { peers[key]?.isWaiting = false }
        for key in Array(peers.keys) { forgetIfIdle(key) }
        // What was queued will not be tried.
        for index in flushes.indices {
            flushes[index].topics = []
            flushes[index].missing = nil
        }
        settleFlushes()
        continueLife()
    }

    /// Comes back: announces again, queries every topic, dials. SWARM-27.
    public func resume(now: Instant) {
        self.now = max(self.now, now)
        guard life == .suspended else { return }
        life = .resuming
        awaitOne { .resumeNode($0) }
    }

    private var hasServer: Bool { if case .no = listening { false } else { true } }

    private func awaitOne(_ make: (SwarmOperationID) -> SwarmEffect) {
        let id = operation()
        awaited.insert(id)
        effects.append(make(id))
    }

    // MARK: Destroy

    /// Leaves every topic and unannounces (unless forced), then takes the node down. `destroyed` tells when it is done. SWARM-28.
    public func destroy(force: Bool = false, now: Instant) {
        self.now = max(self.now, now)
        guard !isDestroyed else { return }
        let wasSuspended = life != .running
        life = .destroying
        awaited = []
        stage = .closing
        timers.removeAll()
        queue.removeAll()
        for flush in flushes { emit(.flushed(token: flush.token, Mutation.hyperswarm(28, 1).isActive)) }
        flushes = []
        for discovery in Array(discoveries.values) {
            if force || wasSuspended || Mutation.hyperswarm(28).isActive { discovery.needsUnannounce = false }
            leave(discovery)
        }
        for id in leaving.keys where !force { awaited.insert(id) }
        // SWARM-28: the own key is unannounced too.
        if !force, hasServer { awaitOne { .closeServer($0) } }
        continueLife()
    }

    /// Goes on when everything that was awaited is done.
    func continueLife() {
        guard awaited.isEmpty else { return }
        switch life {
        case .running, .suspended, .destroyed: break
        case .suspending:
            if stage != .node {
                stage = .node
                awaitOne { .suspendNode($0) }
            } else {
                stage = .closing
                life = .suspended
                emit(.suspended)
            }
        case .resuming:
            if stage != .node {
                stage = .node
                if isListening, !Mutation.hyperswarm(27, 4).isActive { awaitOne { .resumeServer($0) } } else { continueLife() }
            } else {
                stage = .closing
                life = .running
                emit(.resumed)
                for discovery in Array(discoveries.values) {
                    discovery.isSuspended = false
                    refresh(discovery)
                }
                for key in explicitPeers where connectionByKey[key] == nil { enqueue(key) }
                dial()
            }
        case .destroying:
            if stage != .node {
                stage = .node
                awaitOne { .destroyNode($0) }
            } else {
                life = .destroyed
                emit(.destroyed)
            }
        }
    }
}
