import CDatagram
import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import HyperswarmCore
import SansIO
import UDX

/// A node of the DHT: announces, lookups, records, servers and connections.
///
/// It lives, whether anybody holds it or not, until `destroy()`, or until the task that runs `run()` is cancelled. What waits ends with
/// `CancellationError` when its task is cancelled, and takes back what it had begun: a search stops, a dial is dropped, a server is closed.
///
///     let dht = try await HyperDHT(options)
///     try await dht.ready()
///     let connection = try await dht.connect(to: publicKey)
///     for try await message in connection { ... }
///     await dht.destroy()
public final class HyperDHT: Sendable {
    let driver: NodeDriver
    /// The node's identity: what servers listen under and connections show unless told otherwise.
    public let defaultKeyPair: KeyPair
    private let loop: EventLoop
    private let ownsLoop: Bool

    /// Binds the sockets; `ready()` then waits for the network. Nodes may share a loop, which then outlives them; else the node has its own.
    public convenience init(_ options: HyperDHTOptions, loop: EventLoop? = nil) async throws {
        try await self.init(options, loop: loop) { _ in nil }
    }

    init(_ options: HyperDHTOptions, loop shared: EventLoop?, swarm: @escaping @Sendable (HyperDHTNode) -> SwarmNode?) async throws {
        let loop = try shared ?? EventLoop()
        self.loop = loop
        ownsLoop = shared == nil
        var config = options.node
        config.rpc.bindHost = options.bindHost
        if !options.bootstrap.isEmpty { config.rpc.bootstrap = options.bootstrap }
        if let port = options.port {
            config.rpc.port = port == 0 ? .any : .from(port)
            // A port that was asked for is a promise to others: no other one will do.
            if port != 0, config.rpc.publicAddress == nil { config.rpc.port = .range(port..<(port == .max ? .max : port + 1)) }
            config.rpc.anyPort = port == 0
        }
        if let pair = options.keyPair { config.defaultKeyPair = pair }
        if config.localAddresses.isEmpty { config.localAddresses = LocalAddresses.ipv4() }
        config.unixMilliseconds = UInt64(clamping: SystemClock.wallMicroseconds / 1000)
        let pair = config.defaultKeyPair ?? .random()
        config.defaultKeyPair = pair
        defaultKeyPair = pair
        let final = config
        driver = try await loop.perform {
            let secrets = KeyLogFile.shared.isOpen ? SecretRecorder() : nil
            let entropy: any Entropy = secrets ?? SystemEntropy()
            let node = HyperDHTNode(config: final, entropy: entropy, at: loop.now)
            node.reportsSecrets = secrets != nil
            let driver = NodeDriver(
                node: node, swarm: swarm(node), loop: loop, bindHost: options.bindHost, options: options.datagrams,
                loggers: options.loggers,
                secrets: secrets)
            driver.start()
            return driver
        }
        do { try await driver.bound.value().get() } catch {
            await end()
            throw error
        }
    }

    private func end() async {
        if ownsLoop { await loop.stop() } else { _ = try? await loop.perform { self.driver.leave() } }
    }

    /// Waits until bootstrapping is done. False if the node was destroyed before.
    @discardableResult
    public func ready() async throws -> Bool { try await driver.ready.value() }

    // MARK: Records

    /// A search's answers, and the nodes closest to its target that answered.
    public struct SearchResult: Hashable, Sendable {
        public let replies: [QueryReply]
        /// Nearest first.
        public let closestNodes: [Endpoint]
    }

    private func search(
        each: (@Sendable (QueryReply) -> Void)? = nil, _ begin: @escaping @Sendable (HyperDHTNode) -> OperationID
    ) async throws -> SearchResult {
        let outcome = try await driver.operate(each: each, begin)
        guard case .done(let closest) = outcome.result else { return SearchResult(replies: outcome.replies, closestNodes: []) }
        return SearchResult(replies: outcome.replies, closestNodes: closest)
    }

    /// Who announced a topic. `each` sees replies as they come.
    public func lookup(_ topic: Bytes32, each: (@Sendable (QueryReply) -> Void)? = nil) async throws -> SearchResult {
        try await search(each: each) { $0.lookup(topic) }
    }

    /// Who announced a topic, as they are found; each key once.
    public func peers(of topic: Bytes32) -> AsyncThrowingStream<PeerRecord, any Error> {
        AsyncThrowingStream { continuation in
            let seen = Locked<Set<Bytes32>>([])
            let task = Task {
                do {
                    _ = try await self.lookup(topic) { reply in
                        guard case .peers(let records, _) = reply.content else { return }
                        for record in records where seen.withLock({ $0.insert(record.publicKey).inserted }) { continuation.yield(record) }
                    }
                    continuation.finish()
                } catch { continuation.finish(throwing: error) }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Announces a key under a topic at the closest nodes. Announces last about 20 minutes.
    @discardableResult
    public func announce(
        _ topic: Bytes32, keyPair: KeyPair? = nil, relayAddresses: [Endpoint] = [], options: AnnounceOptions = AnnounceOptions()
    ) async throws -> SearchResult {
        let pair = keyPair ?? defaultKeyPair
        return try await search { $0.announce(topic, signer: .keyPair(pair), relayAddresses: relayAddresses, options: options) }
    }

    /// Takes an announce back.
    @discardableResult
    public func unannounce(_ topic: Bytes32, keyPair: KeyPair? = nil) async throws -> SearchResult {
        let pair = keyPair ?? defaultKeyPair
        return try await search { $0.unannounce(topic, signer: .keyPair(pair)) }
    }

    /// Who knows the way to a server.
    public func findPeer(_ publicKey: Bytes32) async throws -> SearchResult { try await search { $0.findPeer(publicKey) } }

    /// Stores a value under its hash. At most about 1000 bytes fit into a packet.
    @discardableResult
    public func immutablePut(_ value: [UInt8]) async throws -> (hash: Bytes32, closestNodes: [Endpoint]) {
        guard case .stored(let target, let closest) = try await driver.operate({ $0.immutablePut(value) }).result else {
            throw Self.unexpected
        }
        return (target, closest)
    }

    /// nil: nobody has it.
    public func immutableGet(_ hash: Bytes32) async throws -> (value: [UInt8], from: Endpoint)? {
        let outcome = try await driver.operate { $0.immutableGet(hash) }
        guard case .immutable(let value) = outcome.result, let value else { return nil }
        return (value, outcome.replies.first { $0.content == .immutable(value) }?.from ?? Endpoint(.any, 0))
    }

    /// Stores a signed record under a key; `seq` must grow.
    @discardableResult
    public func mutablePut(_ keyPair: KeyPair, seq: UInt64, value: [UInt8]) async throws -> [Endpoint] {
        guard case .stored(_, let closest) = try await driver.operate({ $0.mutablePut(keyPair, seq: seq, value: value) }).result else {
            throw Self.unexpected
        }
        return closest
    }

    /// nil: nobody has one that is new enough.
    public func mutableGet(
        _ publicKey: Bytes32, options: MutableGetOptions = MutableGetOptions()
    ) async throws -> (record: MutableRecord, from: Endpoint)? {
        let outcome = try await driver.operate { $0.mutableGet(publicKey, options: options) }
        guard case .mutable(let record) = outcome.result, let record else { return nil }
        return (record, outcome.replies.first { $0.content == .mutable(record) }?.from ?? Endpoint(.any, 0))
    }

    /// A node's answer to `ping`.
    public struct Pong: Hashable, Sendable {
        /// Who answered.
        public let from: Endpoint
        /// Our address as the other saw it.
        public let to: Endpoint
        /// nil: it is ephemeral.
        public let nodeID: Bytes32?
        public let roundTrip: Interval
    }

    /// Asks a node whether it is there. Throws when it does not answer.
    public func ping(_ node: Endpoint) async throws -> Pong {
        guard case .pong(let from, let to, let id, let time) = try await driver.operate({ $0.ping(node) }).result else {
            throw Self.unexpected
        }
        return Pong(from: from, to: to, nodeID: id, roundTrip: time)
    }

    private static let unexpected = StreamFailure(code: "INTERNAL", message: "the operation ended in a way that it can't")

    // MARK: Servers and connections

    /// Listens under a key and admits only peers that hold one of `keys`; returns when it is announced. Others get no answer at all, so they can't tell that
    /// there is a server.
    public func createServer(
        _ keyPair: KeyPair? = nil, options: ServerOptions = ServerOptions(), admitting keys: Set<Bytes32>
    ) async throws -> HyperDHTServer {
        try await createServer(keyPair, options: options, firewall: { key, _ in !keys.contains(key) })
    }

    /// Listens under a key; returns when it is announced. `firewall` decides whom to refuse; `judged` is told of every decision.
    public func createServer(
        _ keyPair: KeyPair? = nil, options: ServerOptions = ServerOptions(), firewall: ServerFirewall? = nil,
        judged: @escaping @Sendable (Bytes32, Bool) -> Void = { _, _ in }
    ) async throws -> HyperDHTServer {
        let pair = keyPair ?? defaultKeyPair
        var options = options
        if firewall != nil { options.firewall = .ask }
        let final = options
        let driver = self.driver
        let server = try await driver.command { node in
            do throws(HyperDHTError) {
                let id = try node.listen(pair, options: final)
                let server = HyperDHTServer(id: id, publicKey: pair.publicKey, driver: driver, firewall: firewall, judged: judged)
                driver.register(server)
                return server
            } catch { throw StreamFailure(error) }
        }
        do { try await server.waitUntilListening() } catch {
            // Cancelled: nobody will ever take its connections.
            driver.post { $0.close(server.id) }
            throw error
        }
        return server
    }

    /// Connects to a key. Returns at once; `opened()` of the result waits.
    public func dial(_ publicKey: Bytes32, options: ConnectOptions = ConnectOptions()) async throws -> PeerConnection {
        let driver = self.driver
        return try await driver.command { node in
            let id = node.connect(publicKey, options: options)
            let own = options.keyPair ?? node.defaultKeyPair
            let connection = PeerConnection(
                id: id, driver: driver, publicKey: own.publicKey, remotePublicKey: publicKey, isInitiator: true)
            driver.connections[id] = connection
            return connection
        }
    }

    /// Connects to a key; returns when the connection is open, or throws the reference's error code. Cancelling drops the attempt.
    public func connect(to publicKey: Bytes32, options: ConnectOptions = ConnectOptions()) async throws -> PeerConnection {
        let connection = try await dial(publicKey, options: options)
        do { try await connection.opened() } catch {
            connection.destroy()
            throw error
        }
        return connection
    }

    // MARK: Life

    /// What a node knows of itself now.
    public struct Info: Hashable, Sendable {
        /// Of its own identity.
        public let publicKey: Bytes32
        /// The server socket.
        public let address: Endpoint
        public let clientPort: UInt16
        /// Our address as others see it; nil while unknown.
        public let remoteAddress: Endpoint?
        /// nil while ephemeral.
        public let nodeID: Bytes32?
        /// Others do not keep it in their tables.
        public let isEphemeral: Bool
        /// Strangers can't reach it without hole punching.
        public let isFirewalled: Bool
        public let isBootstrapped: Bool
        /// Nodes in its routing table.
        public let tableSize: Int
        public let connections: Int
        /// Counters of HyperDHT.
        public let statistics: HyperDHTStatistics
        /// Counters of dht-rpc under it.
        public let rpcStatistics: DHTRPC.NodeStatistics
    }

    /// State and counters, all of one moment.
    public func info() async throws -> Info {
        let driver = self.driver
        return try await driver.command { node in
            let sockets = node.boundSockets
            return Info(
                publicKey: node.defaultKeyPair.publicKey,
                address: driver.local(sockets?.server) ?? Endpoint(.any, sockets?.serverPort ?? 0), clientPort: sockets?.clientPort ?? 0,
                remoteAddress: node.remoteAddress, nodeID: node.isPersistent ? node.nodeID : nil, isEphemeral: !node.isPersistent,
                isFirewalled: node.isFirewalled, isBootstrapped: node.isReady, tableSize: node.tableNodes.count,
                connections: node.connectionCount, statistics: node.statistics,
                rpcStatistics: node.rpcStatistics)
        }
    }

    /// Counters of the sockets.
    public func socketCounters() async throws -> DatagramCounters {
        let driver = self.driver
        return try await driver.command { _ in driver.socketCounters }
    }

    /// Changes of the node's own state, from now on.
    public func changes() async throws -> Arrivals<NodeChange> {
        let mailbox = Mailbox<NodeChange>(newest: 256)
        let driver = self.driver
        try await driver.command { _ in driver.observe(mailbox) }
        return mailbox.arrivals
    }

    /// Goes silent: servers are unannounced, nothing is sent any more. For a device that sleeps.
    public func suspend() async throws {
        let promise = Promise<Bool>()
        let driver = self.driver
        try await driver.command { node in
            if node.isSuspended, driver.suspensions.isEmpty { return promise.fulfil(true) }
            driver.suspensions.append(promise)
            node.suspend()
        }
        _ = try await promise.value()
    }

    /// Comes back after `suspend`.
    public func resume() async throws {
        let promise = Promise<Bool>()
        let driver = self.driver
        try await driver.command { node in
            guard node.isSuspended else { return promise.fulfil(true) }
            driver.resumptions.append(promise)
            node.resume()
        }
        _ = try await promise.value()
    }

    /// Runs as a service: returns when the calling task is cancelled or the node is destroyed, after it has unannounced its servers.
    public func run() async {
        // Throws when the task is cancelled: that is the signal.
        _ = try? await driver.ended.value()
        await destroy()
    }

    /// Unannounces (unless forced), closes everything, ends the thread. Safe to call often. Cancelling the task does not cut it short; `force` does.
    public func destroy(force: Bool = false) async {
        await uncancelled {
            do {
                try await self.driver.command { $0.destroy(force: force) }
                _ = try await self.driver.ended.value()
            } catch {
                // The loop has ended already.
            }
            await self.end()
        }
    }
}
