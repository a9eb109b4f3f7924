import CompactEncoding
import SansIO

extension SwarmMachine {
    // MARK: Commands

    /// Dials this peer and keeps to it, topics or not. It must listen on its key. SWARM-24.
    public func joinPeer(_ key: Bytes32, now: Instant) throws(SwarmError) {
        self.now = max(self.now, now)
        if isDestroyed { throw SwarmError(.destroyed) }
        guard key != publicKey else { throw SwarmError(.ownKey) }
        var info = peers[key] ?? PeerInfo(key)
        info.isExplicit = true
        peers[key] = info
        explicitPeers.append(key)
        if connectionByKey[key] != nil { return }
        enqueue(key)
        dial()
    }

    /// Forgets that the peer was asked for; a connection stays.
    public func leavePeer(_ key: Bytes32, now: Instant) {
        self.now = max(self.now, now)
        guard peers[key] != nil else { return }
        peers[key]?.isExplicit = false
        explicitPeers.remove(key)
        forgetIfIdle(key)
    }

    /// A banned peer is neither dialled nor let in. Connections that exist stay. SWARM-26.
    public func ban(_ key: Bytes32, _ banned: Bool = true, now: Instant) {
        self.now = max(self.now, now)
        guard key != publicKey else { return }
        if banned {
            setBanned(key, byFirewall: false)
            if Mutation.hyperswarm(26, 1).isActive, let id = connectionByKey[key] { effects.append(.destroyConnection(id, .destroyed)) }
        } else {
            unban(key)
        }
    }

    /// Changes whom the swarm refuses. Connections and dials with those that are now refused end; bans by the firewall before are lifted where this one would
    /// not ban.
    public func setFirewall(_ firewall: SwarmFirewall, now: Instant) {
        self.now = max(self.now, now)
        options.firewall = firewall
        firewallHasChanged = true
        for info in Array(peers.values) where info.isBannedByFirewall && !firewall.refuses(info.publicKey) { unban(info.publicKey) }
        disconnect { firewall.refuses($0) }
    }

    /// Ends connections and dials with some peers.
    public func disconnect(_ isUnwanted: (Bytes32) -> Bool) {
        for (id, connection) in connections where isUnwanted(connection.key) { destroyConnection(id, .refused) }
    }

    private func unban(_ key: Bytes32) {
        peers[key]?.isBanned = false
        peers[key]?.isBannedByFirewall = false
        forgetIfIdle(key)
    }

    /// Whether a lost connection to this peer is dialled again.
    public func setReconnects(_ key: Bytes32, _ reconnects: Bool) { peers[key]?.reconnects = reconnects }

    private func setBanned(_ key: Bytes32, byFirewall: Bool) {
        var info = peers[key] ?? PeerInfo(key)
        guard !info.isBanned else {
            // Whom the application bans itself stays banned, whatever the firewall says later.
            if !byFirewall { peers[key]?.isBannedByFirewall = false }
            return
        }
        info.isBanned = true
        info.isBannedByFirewall = byFirewall
        peers[key] = info
        statistics.bannedPeers += 1
        if !(byFirewall && Mutation.hyperswarm(25, 1).isActive) { emit(.banned(publicKey: key, byFirewall: byFirewall)) }
    }

    /// True refuses: our own key, banned peers, and whom the application's firewall names; those are banned. hyperswarm.md section 9.
    func refuses(_ key: Bytes32) -> Bool {
        if key == publicKey { return true }
        if peers[key]?.isBanned == true { return true }
        guard options.firewall.refuses(key) else { return false }
        setBanned(key, byFirewall: true)
        return true
    }

    /// An incoming handshake has shown its authenticated key. False: answer nothing at all. SWARM-25.
    public func acceptsHandshake(from key: Bytes32, now: Instant) -> Bool {
        self.now = max(self.now, now)
        if Mutation.hyperswarm(25).isActive { return true }
        // SWARM-27.
        if life != .running, !Mutation.hyperswarm(27, 1).isActive { return false }
        if refuses(key) { return false }
        if serverConnections >= options.maxServerConnections, connectionByKey[key] == nil {
            statistics.serverOverLimit += 1
            return false
        }
        return true
    }

    // MARK: Finding

    /// hyperswarm.md section 5.
    func handle(_ peer: FoundPeer, topic: Bytes32) {
        if peers[peer.publicKey] == nil, peers.count >= options.limits.maximumPeers {
            statistics.peersOverLimit += 1
            return
        }
        var info = peers[peer.publicKey] ?? PeerInfo(peer.publicKey)
        info.relayAddresses = Array(peer.relayAddresses.filter { $0.port != 0 }.prefix(options.limits.maximumRelayAddresses))
        // SWARM-32.
        let isNew =
            Mutation.hyperswarm(32).isActive
            ? info.topics.isEmpty : !info.topics.contains(topic) && info.topics.count < options.limits.maximumTopicsPerPeer
        if isNew { info.topics.append(topic) }
        let isConnected = connectionByKey[peer.publicKey] != nil && !(Mutation.hyperswarm(11).isActive && !info.isQueued)
        if !isConnected, info.priority < .normal || !info.isClient {
            // SWARM-11: what is queued stays queued, once.
            info.reset()
        }
        peers[peer.publicKey] = info
        if isNew { emit(.topic(publicKey: peer.publicKey, topic: topic)) }
        if !isConnected { enqueue(peer.publicKey) }
    }

    /// Queues a peer unless it is banned, queued, given up or connected.
    @discardableResult
    func enqueue(_ key: Bytes32) -> Bool {
        guard var info = peers[key], info.updatePriority() else { return false }
        info.isQueued = true
        peers[key] = info
        queue.add(key, info.priority)
        return true
    }

    /// Retry timers have fired.
    func retry(_ keys: [Bytes32]) {
        for key in keys {
            guard peers[key] != nil else { continue }
            peers[key]?.isWaiting = false
            if connectionByKey[key] == nil { enqueue(key) }
            forgetIfIdle(key)
        }
        dial()
    }

    /// hyperswarm.md section 7.
    func scheduleRetry(_ key: Bytes32) {
        guard life == .running, var info = peers[key], !info.isBanned || Mutation.hyperswarm(26).isActive, info.reconnects, !info.isWaiting
        else { return }
        // SWARM-23.
        let isWanted = info.isExplicit || info.topics.contains { discoveries[$0] != nil } || Mutation.hyperswarm(23).isActive
        guard isWanted,
            let bucket = RetryTimers.bucket(attempts: info.attempts, isProven: info.isProven, isExplicit: info.isExplicit)
        else { return }
        info.isWaiting = true
        peers[key] = info
        timers.add(key, to: bucket, now: now)
    }

    func forgetIfIdle(_ key: Bytes32) {
        if let info = peers[key], info.isForgettable, connectionByKey[key] == nil { peers[key] = nil }
    }
}
