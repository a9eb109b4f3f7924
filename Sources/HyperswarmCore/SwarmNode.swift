import CompactEncoding
import HyperCrypto
import HyperDHT
import SansIO

/// A swarm on a DHT node, without input or output: the five calls of the node, and the commands and events of the swarm.
///
/// The driver hands datagrams and time to this object instead of the node, takes sockets and datagrams from `node`, and events of the node from
/// `takeEvents` (those that concern the swarm alone are kept).
public final class SwarmNode {
    public let node: HyperDHTNode
    public let machine: SwarmMachine
    public let keyPair: KeyPair
    private let serverOptions: ServerOptions
    private let connectOptions: ConnectOptions
    private var server: ServerID?
    private var listening: SwarmOperationID?
    private var closing: SwarmOperationID?
    private var suspending: SwarmOperationID?
    private var resuming: SwarmOperationID?
    private var destroying: SwarmOperationID?
    private var queries: [OperationID: (operation: SwarmOperationID, topic: Bytes32)] = [:]
    private var unannounces: [OperationID: SwarmOperationID] = [:]
    /// The closest nodes of each topic's last query: the next one starts from them.
    private var closest: [Bytes32: [Endpoint]] = [:]
    private var connectionIDs: [SwarmConnectionID: ConnectionID] = [:]
    private var swarmIDs: [ConnectionID: SwarmConnectionID] = [:]
    private var passedOn: [HyperDHTEvent] = []
    private var swarmEvents: [SwarmEvent] = []
    private var isSettling = false

    public init(
        node: HyperDHTNode, keyPair: KeyPair? = nil, options: SwarmOptions = SwarmOptions(), serverOptions: ServerOptions = ServerOptions(),
        connectOptions: ConnectOptions = ConnectOptions(), entropy: any Entropy, now: Instant
    ) {
        self.node = node
        self.keyPair = keyPair ?? node.defaultKeyPair
        self.connectOptions = connectOptions
        var serverOptions = serverOptions
        serverOptions.firewall = .ask
        self.serverOptions = serverOptions
        machine = SwarmMachine(publicKey: self.keyPair.publicKey, options: options, entropy: entropy, now: now)
    }

    // MARK: The five calls

    public func receive(_ datagram: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        node.receive(datagram, from: source, on: socket, now: now)
        settle()
    }

    public func advance(to now: Instant) {
        node.advance(to: now)
        machine.isNATRandomized = node.isNATRandomized
        machine.advance(to: now)
        settle()
    }

    public var nextWakeUp: Instant { min(node.nextWakeUp, machine.nextWakeUp) }

    /// Events of the node that are not the swarm's own business, and then the swarm's: a connection stands in the first before the second names it.
    public func takeEvents() -> (node: [HyperDHTEvent], swarm: [SwarmEvent]) {
        settle()
        defer {
            passedOn.removeAll(keepingCapacity: true)
            swarmEvents.removeAll(keepingCapacity: true)
        }
        return (passedOn, swarmEvents)
    }

    /// Runs a command of the swarm at the node's time, and what follows from it.
    public func command<Result>(_ body: (SwarmMachine, Instant) throws -> Result) rethrows -> Result {
        machine.isNATRandomized = node.isNATRandomized
        defer { settle() }
        return try body(machine, node.now)
    }

    /// The node's name of a connection of the swarm.
    public func connection(_ id: SwarmConnectionID) -> ConnectionID? { connectionIDs[id] }
    public func swarmConnection(_ id: ConnectionID) -> SwarmConnectionID? { swarmIDs[id] }
    public var serverID: ServerID? { server }

    // MARK: Between the two

    private func settle() {
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        for _ in 0..<10_000 {
            let effects = machine.takeEffects()
            for effect in effects { perform(effect) }
            let events = node.takeEvents()
            for event in events { handle(event) }
            swarmEvents += machine.takeEvents()
            if effects.isEmpty, events.isEmpty { break }
        }
    }

    private func perform(_ effect: SwarmEffect) {
        switch effect {
        case .listen(let id):
            do {
                server = try node.listen(keyPair, options: serverOptions)
                listening = id
            } catch { machine.operationFinished(id, succeeded: false, now: node.now) }
        case .query(let id, let kind, let target, let limit): query(id, kind, target, limit)
        case .cancelQuery(let id):
            for (operation, value) in queries.sorted(by: { $0.key < $1.key }) where value.operation == id {
                queries[operation] = nil
                node.cancel(operation)
            }
        case .unannounce(let id, let target):
            unannounces[node.unannounce(target, signer: .keyPair(keyPair))] = id
            closest[target] = nil
        case .connect(let id, let key, let relays, let relay):
            var options = connectOptions
            options.keyPair = keyPair
            options.relayAddresses = relays
            if let relay { options.relayThrough = [relay] }
            let connection = node.connect(key, options: options)
            connectionIDs[id] = connection
            swarmIDs[connection] = id
        case .destroyConnection(let id, let reason):
            guard let connection = connectionIDs[id] else { return machine.connectionClosed(id, now: node.now) }
            let error: HyperDHTError =
                switch reason {
                case .duplicate: .duplicateConnection
                case .suspended: .suspended
                case .destroyed: .nodeDestroyed
                case .refused: .peerRefused
                }
            node.destroy(connection, reason: error)
        case .sendKeepAlive(let id): if let connection = connectionIDs[id] { node.sendKeepAlive(connection) }
        // The node takes back its servers' announces when it is suspended, and renews them when it is resumed.
        case .suspendServer(let id), .resumeServer(let id): machine.operationFinished(id, now: node.now)
        case .closeServer(let id):
            guard let server else { return machine.operationFinished(id, now: node.now) }
            closing = id
            node.close(server)
        case .suspendNode(let id):
            suspending = id
            node.suspend()
        case .resumeNode(let id):
            resuming = id
            node.resume()
        case .destroyNode(let id):
            destroying = id
            node.destroy(force: true)
        }
    }

    private func query(_ id: SwarmOperationID, _ kind: SwarmEffect.QueryKind, _ target: Bytes32, _ limit: Int) {
        let seeds = closest[target] ?? []
        let operation: OperationID
        switch kind {
        case .lookup: operation = node.lookup(target, nodes: seeds)
        case .lookupAndUnannounce: operation = node.unannounce(target, signer: .keyPair(keyPair))
        case .announce(let clear):
            var options = AnnounceOptions()
            options.clears = clear
            options.nodes = seeds
            let relays = server.map { node.relayAddresses(of: $0) } ?? []
            // SWARM-2: at most three.
            operation = node.announce(
                target, signer: .keyPair(keyPair), relayAddresses: Array(relays.prefix(limit)), options: options)
        }
        queries[operation] = (id, target)
    }

    private func handle(_ event: HyperDHTEvent) {
        let now = node.now
        switch event {
        case .reply(let id, let reply):
            guard let query = queries[id] else { break }
            if case .peers(let records, _) = reply.content {
                machine.queryReplied(
                    query.operation, records.map { FoundPeer(publicKey: $0.publicKey, relayAddresses: $0.relayAddresses) }, now: now)
            }
            return
        case .finished(let id, let result):
            if let query = queries.removeValue(forKey: id) {
                if case .done(let nodes) = result, !nodes.isEmpty { closest[query.topic] = nodes }
                return machine.operationFinished(query.operation, now: now)
            }
            if let operation = unannounces.removeValue(forKey: id) { return machine.operationFinished(operation, now: now) }
        case .listening(let id, _) where id == server:
            if let operation = take(&listening) { machine.operationFinished(operation, now: now) }
            return
        case .serverFailed(let id, _) where id == server:
            if let operation = take(&listening) { machine.operationFinished(operation, succeeded: false, now: now) }
            return
        case .serverClosed(let id) where id == server:
            server = nil
            if let operation = take(&closing) { machine.operationFinished(operation, now: now) }
            return
        case .firewall(let question) where question.server == server:
            // SWARM-25, and SWARM-30: the relay is chosen anew for each handshake, since our NAT may have turned out to be random.
            let accept = machine.acceptsHandshake(from: question.remotePublicKey, now: now)
            return node.decide(question.id, accept: accept, relayThrough: accept ? machine.relay(forced: false).map { [$0] } : nil)
        case .connection(let id, let connection, let info) where id == server:
            if let existing = machine.connection(for: info.remotePublicKey), let known = connectionIDs[existing],
                let traffic = node.traffic(of: known)
            {
                machine.noteTraffic(existing, received: traffic.received > 0, sent: traffic.sent > 0)
            }
            let name = machine.incoming(from: info.remotePublicKey, now: now)
            connectionIDs[name] = connection
            swarmIDs[connection] = name
            breakSilence(connection)
        case .connected(let connection, _):
            if let name = swarmIDs[connection] {
                machine.connectionOpened(name, now: now)
                breakSilence(connection)
            }
        case .connectionClosed(let connection, let error):
            if let name = swarmIDs.removeValue(forKey: connection) {
                connectionIDs[name] = nil
                machine.connectionClosed(name, code: error?.rawValue, now: now)
            }
        case .networkUpdate(let health): if health.isOnline { machine.networkChanged(now: now) }
        case .suspended: if let operation = take(&suspending) { machine.operationFinished(operation, now: now) }
        case .resumed: if let operation = take(&resuming) { machine.operationFinished(operation, now: now) }
        case .closed: if let operation = take(&destroying) { machine.operationFinished(operation, now: now) }
        default: break
        }
        passedOn.append(event)
    }

    private func take(_ operation: inout SwarmOperationID?) -> SwarmOperationID? {
        defer { operation = nil }
        return operation
    }

    /// SWARM-31: a new connection carries nothing but keepalives until the application writes.
    private func breakSilence(_ connection: ConnectionID) {
        if Mutation.hyperswarm(31).isActive { node.write(connection, [0]) }
    }
}
