import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import HyperswarmCore
import Logging
import SansIO

/// Finds peers by topic and keeps connections with them.
///
///     let swarm = try await Hyperswarm(HyperswarmOptions(bootstrap: ["127.0.0.1:49737"]))
///     try await swarm.join(.topic(named: "kitchen"))
///     for await connection in swarm.connections {
///         Task { for try await message in connection { ... } }
///     }
///
/// That a peer was found under a topic proves nothing about it: anybody can announce. Whom to talk to is decided by the public key (`SwarmOptions.firewall`,
/// `setFirewall(_:)`) and, for each topic, by a `Capability` that both ends prove.
///
/// It lives, whether anybody holds it or not, until `destroy()`, or until the task that runs `run()` is cancelled.
public final class Hyperswarm: Sendable {
    /// The node under it.
    public let dht: HyperDHT
    /// The swarm's identity.
    public var publicKey: Bytes32 { dht.defaultKeyPair.publicKey }
    /// Connections with peers, each once, as they come into being; of both directions.
    public var connections: Arrivals<PeerConnection> { opened.arrivals }
    private let opened = Mailbox<PeerConnection>()
    /// Everything else that happens; the newest 1024 events that nobody has taken yet are kept.
    public var events: Arrivals<SwarmEvent> { happened.arrivals }
    private let happened = Mailbox<SwarmEvent>(newest: 1024)
    private let waiters = Locked(Waiters())

    private struct Waiters {
        var flushes: [UInt64: Promise<Bool>] = [:]
        /// Flushes that ended before anybody waited.
        var flushed: [UInt64: Bool] = [:]
        var left: [Bytes32: [Promise<Bool>]] = [:]
        /// For the end of a suspension or resumption.
        var changed: [Promise<Bool>] = []
        var destroyed: [Promise<Bool>] = []
    }

    /// Starts the node and the swarm on it; the network is found in the background.
    public init(_ options: HyperswarmOptions, loop: EventLoop? = nil) async throws {
        dht = try await HyperDHT(options.dht, loop: loop) { node in
            SwarmNode(
                node: node, options: options.swarm, serverOptions: options.server, connectOptions: options.connect,
                entropy: SystemEntropy(),
                now: node.now)
        }
        let driver = dht.driver
        try await driver.command { [weak self] _ in
            // The driver keeps this: it must not keep the driver, nor with it the loop and its descriptors.
            driver.swarmEvent = { [weak driver] event in
                guard let driver else { return }
                self?.handle(event, driver)
            }
            driver.swarmEnded = { self?.finish() }
        }
    }

    private func swarm<Result: Sendable>(_ body: @escaping @Sendable (SwarmNode) throws -> Result) async throws -> Result {
        let driver = dht.driver
        return try await driver.command { _ in
            guard let swarm = driver.swarm else { throw EventLoopEnded() }
            return try body(swarm)
        }
    }

    // MARK: Topics

    /// One join of a topic. Several of one topic share its queries.
    public struct Session: Hashable, Sendable {
        public let topic: Bytes32
        let id: SwarmSessionID
    }

    /// Joins a topic of 32 bytes: announces (server), looks up and dials (client), or both. Returns at once; `flush` waits.
    @discardableResult
    public func join(_ topic: [UInt8], server: Bool = true, client: Bool = true, limit: Int = .max) async throws -> Session {
        try await swarm { swarm in
            let id = try swarm.command { machine, now in try machine.join(topic, server: server, client: client, limit: limit, now: now) }
            // The length was checked by the machine.
            return Session(topic: Bytes32(topic) ?? .zero, id: id)
        }
    }

    /// Joins a topic: announces (server), looks up and dials (client), or both. Returns at once; `flush` waits.
    ///
    ///     try await swarm.join(.topic(named: "kitchen"))
    @discardableResult
    public func join(_ topic: Bytes32, server: Bool = true, client: Bool = true, limit: Int = .max) async throws -> Session {
        try await join(topic.bytes, server: server, client: client, limit: limit)
    }

    /// Changes how a session takes part, and queries again.
    public func refresh(_ session: Session, server: Bool? = nil, client: Bool? = nil) async throws {
        try await swarm { swarm in
            try swarm.command { machine, now in try machine.refresh(session.id, server: server, client: client, now: now) }
        }
    }

    /// Ends one session; with the last one the topic is left.
    public func end(_ session: Session) async throws {
        try await swarm { swarm in swarm.command { machine, now in machine.endSession(session.id, now: now) } }
    }

    /// Leaves a topic for all its sessions; returns when it is unannounced. Connections stay.
    public func leave(_ topic: Bytes32) async throws {
        let promise = Promise<Bool>()
        waiters.withLock { $0.left[topic, default: []].append(promise) }
        try await swarm { swarm in swarm.command { machine, now in machine.leave(topic, now: now) } }
        _ = try await promise.value()
    }

    /// Waits until every topic's query is done and every peer that was found has been reached or given up. False if the swarm is destroyed before.
    @discardableResult
    public func flush(topic: Bytes32? = nil) async throws -> Bool {
        let promise = Promise<Bool>()
        try await swarm { swarm in
            let token = swarm.command { machine, now in machine.flush(topic: topic, now: now) }
            let early = self.waiters.withLock { waiters -> Bool? in
                if let early = waiters.flushed.removeValue(forKey: token) { return early }
                waiters.flushes[token] = promise
                return nil
            }
            if let early { promise.fulfil(early) }
        }
        return try await promise.value()
    }

    /// Announces the swarm's key without a topic: what `joinPeer` of others needs.
    public func listen() async throws {
        try await swarm { swarm in swarm.command { machine, now in machine.listen(now: now) } }
    }

    // MARK: Peers

    /// Connects to a key and keeps to it, topics or not.
    public func joinPeer(_ key: Bytes32) async throws {
        try await swarm { swarm in try swarm.command { machine, now in try machine.joinPeer(key, now: now) } }
    }

    /// Forgets that the peer was asked for. A connection stays.
    public func leavePeer(_ key: Bytes32) async throws {
        try await swarm { swarm in swarm.command { machine, now in machine.leavePeer(key, now: now) } }
    }

    /// A banned peer is neither dialled nor let in. Connections that exist stay, unless `disconnecting`.
    public func ban(_ key: Bytes32, _ banned: Bool = true, disconnecting: Bool = false) async throws {
        try await swarm { swarm in
            swarm.command { machine, now in
                machine.ban(key, banned, now: now)
                if banned, disconnecting { machine.disconnect { $0 == key } }
            }
        }
    }

    /// Changes whom the swarm refuses. Connections with those that are now refused are closed; those that an earlier firewall kept out may come again.
    public func setFirewall(_ firewall: SwarmFirewall) async throws {
        try await swarm { swarm in swarm.command { machine, now in machine.setFirewall(firewall, now: now) } }
    }

    /// What is known of every peer that was found, connected or asked for.
    public func peers() async throws -> [PeerInfo] { try await swarm { Array($0.machine.peers.values) } }

    /// Keys of peers with an open connection.
    public func connectedKeys() async throws -> Set<Bytes32> { try await swarm { Set($0.machine.openConnections.map(\.publicKey)) } }

    /// The swarm's counters and numbers, all of one moment.
    public struct Status: Hashable, Sendable {
        public let statistics: SwarmStatistics
        /// Dials under way.
        public let connecting: Int
        /// Open, or being dialled by us.
        public let clientConnections: Int
        public let serverConnections: Int
        public let topics: [Bytes32]
        public let knownPeers: Int
        public let isSuspended: Bool
    }

    /// Counters and numbers. Those of the node under it: `dht.info()`.
    public func status() async throws -> Status {
        try await swarm { swarm in
            let machine = swarm.machine
            return Status(
                statistics: machine.statistics, connecting: machine.connecting, clientConnections: machine.clientConnections,
                serverConnections: machine.serverConnections, topics: machine.topics, knownPeers: machine.peers.count,
                isSuspended: machine.isSuspended)
        }
    }

    /// Tells the swarm that the host's addresses changed: connections are probed and topics looked up again.
    public func networkChanged() async throws {
        try await swarm { swarm in swarm.command { machine, now in machine.networkChanged(now: now) } }
    }

    // MARK: Life

    /// Unannounces, closes every connection, and goes silent.
    public func suspend() async throws { while try await !isSettled(suspended: true) {} }

    /// Comes back after `suspend`: announces and looks up again.
    public func resume() async throws { while try await !isSettled(suspended: false) {} }

    /// One step towards being suspended, or not: waits for a change that is under way, or makes it. True when nothing is left to do.
    private func isSettled(suspended: Bool) async throws -> Bool {
        let promise = Promise<Bool>()
        let isDone = try await swarm { swarm -> Bool in
            let isChanging = swarm.machine.isChanging
            if !isChanging, swarm.machine.isSuspended == suspended { return true }
            self.waiters.withLock { $0.changed.append(promise) }
            if !isChanging {
                swarm.command { machine, now in if suspended { machine.suspend(now: now) } else { machine.resume(now: now) } }
            }
            return false
        }
        if isDone { return true }
        // False: the swarm is destroyed.
        return try await !promise.value()
    }

    /// Runs as a service: returns when the calling task is cancelled or the swarm is destroyed, after it has left its topics in good order. In a
    /// `ServiceGroup` of swift-service-lifecycle: `cancelWhenGracefulShutdown { await swarm.run() }`.
    public func run() async {
        // Throws when the task is cancelled: that is the signal.
        _ = try? await dht.driver.ended.value()
        await destroy()
    }

    /// Leaves every topic, unannounces (unless forced), closes everything. Safe to call often. Cancelling the task does not cut it short; `force` does.
    public func destroy(force: Bool = false) async {
        await uncancelled {
            let promise = Promise<Bool>()
            do {
                try await self.swarm { swarm in
                    let isUnderWay = swarm.machine.isDestroyed
                    // Who takes leave is waited for, however often that is asked; unless forced.
                    if isUnderWay, force { return promise.fulfil(true) }
                    self.waiters.withLock { $0.destroyed.append(promise) }
                    if !isUnderWay { swarm.command { machine, now in machine.destroy(force: force, now: now) } }
                }
                _ = try await promise.value()
            } catch {
                // The loop has ended already.
            }
            await self.dht.destroy(force: true)
            self.finish()
        }
    }

    private func finish() {
        opened.finish()
        happened.finish()
        let waiting = waiters.withLock { waiters in
            defer { waiters = Waiters() }
            return Array(waiters.flushes.values) + waiters.left.values.flatMap { $0 } + waiters.changed + waiters.destroyed
        }
        for promise in waiting { promise.fulfil(false) }
    }

    // MARK: On the loop

    private func handle(_ event: SwarmEvent, _ driver: NodeDriver) {
        switch event {
        case .connection(let name, let key, let isInitiator, let topics):
            guard let id = driver.swarm?.connection(name), let connection = driver.connections[id] else { return }
            connection.didJoin(topics: topics)
            driver.loggers.swarm.debug("connected", metadata: ["peer": "\(key)", "initiator": "\(isInitiator)"])
            opened.yield(connection)
        case .flushed(let token, let done):
            let promise = waiters.withLock { waiters -> Promise<Bool>? in
                if let promise = waiters.flushes.removeValue(forKey: token) { return promise }
                waiters.flushed[token] = done
                return nil
            }
            promise?.fulfil(done)
        case .banned(let key, let byFirewall):
            driver.loggers.swarm.debug("banned", metadata: ["peer": "\(key)", "byFirewall": "\(byFirewall)"])
        case .left(let topic): for promise in waiters.withLock({ $0.left.removeValue(forKey: topic) ?? [] }) { promise.fulfil(true) }
        case .suspended, .resumed: for promise in waiters.withLock({ exchange(&$0.changed) }) { promise.fulfil(true) }
        case .destroyed: for promise in waiters.withLock({ exchange(&$0.destroyed) }) { promise.fulfil(true) }
        default: break
        }
        happened.yield(event)
    }

    private func exchange(_ list: inout [Promise<Bool>]) -> [Promise<Bool>] {
        defer { list = [] }
        return list
    }
}
