import CompactEncoding
import SansIO

extension SwarmMachine {
    // MARK: Dialling

    /// The connect loop: explicit peers in the order in which they were added, then the queue. hyperswarm.md section 6.
    func dial() {
        guard life == .running else { return }
        for key in explicitPeers {
            // SWARM-12.
            guard connecting < maxParallel else { break }
            guard let info = peers[key], info.attempts < 5, connectionByKey[key] == nil else { continue }
            if let since = info.disconnectedAt, (now - since) < .seconds(Int64(info.attempts)) { continue }
            connect(key)
        }
        while shouldDial, let key = queue.next(entropy) {
            peers[key]?.isQueued = false
            connect(key)
        }
        settleFlushes()
    }

    private var maxParallel: Int { Mutation.hyperswarm(12).isActive ? options.maxParallel + 1 : options.maxParallel }

    private var shouldDial: Bool { connecting < maxParallel && isWithinLimits }

    /// SWARM-13a, SWARM-14: the more explicit peers, the fewer connections may come from topics.
    var isWithinLimits: Bool {
        let factor =
            switch explicitPeers.count {
            case 0: 1
            case 1: Mutation.hyperswarm(14).isActive ? 1 : 2
            case 2, 3: 3
            default: 4
            }
        let (load, overflow) = factor.multipliedReportingOverflow(by: connectionByKey.count)
        let isBelow = Mutation.hyperswarm(13, 1).isActive ? load <= options.maxPeers : load < options.maxPeers
        return clientConnections < options.maxClientConnections && !overflow && isBelow
    }

    private func connect(_ key: Bytes32) {
        // SWARM-32: one connection a key.
        guard let info = peers[key], !info.isBanned || Mutation.hyperswarm(26).isActive,
            connectionByKey[key] == nil || Mutation.hyperswarm(11).isActive
        else { return tried(key) }
        if key == publicKey ? !Mutation.hyperswarm(10).isActive : refuses(key) && !Mutation.hyperswarm(26).isActive {
            forgetIfIdle(key)
            return tried(key)
        }
        let id = SwarmConnectionID(nextNumber())
        connections[id] = Connection(key: key, isClient: true, isOpen: false)
        connectionByKey[key] = id
        connecting += 1
        clientConnections += 1
        statistics.clientAttempted += 1
        effects.append(
            .connect(id, publicKey: key, relayAddresses: info.relayAddresses, relayThrough: relay(forced: info.forcesRelaying)))
        emit(.update)
    }

    /// The relay for an attempt or an incoming handshake: none unless it must be, or our own NAT is randomised. SWARM-30.
    public func relay(forced: Bool) -> Bytes32? {
        guard forced && !Mutation.hyperswarm(30).isActive || isNATRandomized else { return nil }
        switch options.relayThrough {
        case .none: return nil
        case .key(let key): return key
        case .anyOf(let keys):
            return keys.isEmpty ? nil : keys[Int(entropy.uniform(below: UInt64(keys.count), for: EntropyLabel(.relayChoice)))]
        }
    }

    // MARK: Answers

    /// An attempt of ours is open.
    public func connectionOpened(_ id: SwarmConnectionID, now: Instant) {
        self.now = max(self.now, now)
        guard var connection = connections[id], connection.isClient, !connection.isOpen, !connection.isDestroyed else { return }
        connection.isOpen = true
        connections[id] = connection
        connecting -= 1
        statistics.clientOpened += 1
        peers[connection.key]?.connected(at: now)
        emit(.connection(id, publicKey: connection.key, isInitiator: true, topics: peers[connection.key]?.topics ?? []))
        tried(connection.key)
        emit(.update)
        dial()
    }

    /// Codes of failed attempts after which the next one goes through a relay, if one is set.
    static let relayedAfter: Set<String> = ["HOLEPUNCH_ABORTED", "HOLEPUNCH_DOUBLE_RANDOMIZED_NATS", "REMOTE_NOT_HOLEPUNCHABLE"]

    /// A connection or attempt is gone. `code` is the reference's error code, if there was an error.
    public func connectionClosed(_ id: SwarmConnectionID, code: String? = nil, now: Instant) {
        self.now = max(self.now, now)
        guard let connection = connections.removeValue(forKey: id) else { return }
        if connection.isWaiting {
            // It closed while its predecessor was being taken down: nobody succeeds.
            for (other, value) in connections where value.successor == id { connections[other]?.successor = nil }
            return
        }
        if connectionByKey[connection.key] == id { connectionByKey[connection.key] = nil }
        if connection.isClient {
            if !connection.isOpen { connecting -= 1 }
            clientConnections -= 1
            statistics.clientClosed += 1
            if let code, SwarmMachine.relayedAfter.contains(code), options.relayThrough.isConfigured {
                peers[connection.key]?.forcesRelaying = true
                peers[connection.key]?.attempts = 0
            }
            peers[connection.key]?.disconnected(at: now)
            scheduleRetry(connection.key)
            tried(connection.key)
        } else {
            serverConnections -= 1
            statistics.serverClosed += 1
        }
        if connection.isOpen { emit(.disconnected(id, publicKey: connection.key)) }
        if let successor = connection.successor { adopt(successor) }
        forgetIfIdle(connection.key)
        emit(.update)
        dial()
    }

    /// What a connection has carried: whether at least one encrypted message was received, and sent. Told before `incoming`. SWARM-17.
    public func noteTraffic(_ id: SwarmConnectionID, received: Bool, sent: Bool) {
        connections[id]?.received = received
        connections[id]?.sent = sent
    }

    /// The connection or attempt for a key, if there is one.
    public func connection(for key: Bytes32) -> SwarmConnectionID? { connectionByKey[key] }

    /// A connection that another peer made is open. Returns its name; effects say what becomes of it. hyperswarm.md section 8.
    @discardableResult
    public func incoming(from key: Bytes32, now: Instant) -> SwarmConnectionID {
        self.now = max(self.now, now)
        let id = SwarmConnectionID(nextNumber())
        connections[id] = Connection(key: key, isClient: false, isOpen: false, isWaiting: true)
        guard life == .running || Mutation.hyperswarm(27, 2).isActive else {
            destroyConnection(id, isDestroyed ? .destroyed : .suspended)
            return id
        }
        // Its handshake was let in before the firewall changed.
        if firewallHasChanged, options.firewall.refuses(key) {
            destroyConnection(id, .refused)
            return id
        }
        // SWARM-13b: the limit on peers is for those that we dial.
        if Mutation.hyperswarm(13, 2).isActive, connectionByKey.count >= options.maxPeers {
            destroyConnection(id, .duplicate)
            return id
        }
        // SWARM-32.
        if Mutation.hyperswarm(32, 1).isActive { connectionByKey[key] = nil }
        guard let existing = connectionByKey[key], let old = connections[existing] else {
            adopt(id)
            return id
        }
        statistics.duplicates += 1
        if keepsNew(old, key) {
            // SWARM-16, SWARM-17, SWARM-18: the new one is adopted when the old one has closed.
            if let waiting = old.successor { destroyConnection(waiting, .duplicate) }
            connections[existing]?.successor = id
            destroyConnection(existing, .duplicate)
        } else {
            // SWARM-15a; SWARM-15b: a dead path shows itself.
            if !Mutation.hyperswarm(15, 2).isActive { effects.append(.sendKeepAlive(existing)) }
            destroyConnection(id, .duplicate)
            if Mutation.hyperswarm(15, 3).isActive { destroyConnection(existing, .duplicate) }
        }
        return id
    }

    /// Asks once for the end of a connection; it counts until it has closed.
    func destroyConnection(_ id: SwarmConnectionID, _ reason: SwarmEffect.DestroyReason) {
        guard connections[id]?.isDestroyed == false else { return }
        connections[id]?.isDestroyed = true
        effects.append(.destroyConnection(id, reason))
    }

    /// The connection that the greater key initiated survives, unless the old one has carried messages both ways: then the peer lost it.
    private func keepsNew(_ old: Connection, _ remote: Bytes32) -> Bool {
        // SWARM-17.
        if old.isDestroyed { return true }
        if old.received, old.sent, !Mutation.hyperswarm(17).isActive { return true }
        // SWARM-19: unsigned, bytewise, all 32 bytes.
        if Mutation.hyperswarm(19).isActive { return SwarmMachine.signedLess(publicKey, remote) }
        // SWARM-15a, SWARM-18.
        if Mutation.hyperswarm(15, 1).isActive, publicKey > remote { return true }
        if Mutation.hyperswarm(18).isActive, old.isOpen { return publicKey > remote }
        // SWARM-16.
        if Mutation.hyperswarm(16).isActive, publicKey < remote { return false }
        return publicKey < remote
    }

    private static func signedLess(_ a: Bytes32, _ b: Bytes32) -> Bool {
        a.bytes.map { Int8(bitPattern: $0) }.lexicographicallyPrecedes(b.bytes.map { Int8(bitPattern: $0) })
    }

    private func adopt(_ id: SwarmConnectionID) {
        guard var connection = connections[id], !connection.isDestroyed, connection.isWaiting else { return }
        if let other = connectionByKey[connection.key], other != id {
            // Another took the place meanwhile.
            return destroyConnection(id, .duplicate)
        }
        connection.isWaiting = false
        connection.isOpen = true
        connections[id] = connection
        connectionByKey[connection.key] = id
        serverConnections += 1
        statistics.serverOpened += 1
        var info = peers[connection.key] ?? PeerInfo(connection.key)
        info.isClient = false
        peers[connection.key] = info
        emit(.connection(id, publicKey: connection.key, isInitiator: false, topics: info.topics))
        if Mutation.hyperswarm(16, 1).isActive {
            emit(.connection(id, publicKey: connection.key, isInitiator: false, topics: info.topics))
        }
        emit(.update)
    }
}
