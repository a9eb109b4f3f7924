import CDatagram
import CompactEncoding
import DHTRPC
import HyperDHT
import HyperswarmCore
import Logging
import SansIO
import UDX

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Drives one node machine (with or without a swarm on it) over real sockets.
///
/// Unchecked: everything mutable belongs to the loop's thread; other threads come in through `loop.submit` and `loop.perform`.
final class NodeDriver: LoopDriver, DatagramReceiver, @unchecked Sendable {
    let loop: EventLoop
    let node: HyperDHTNode
    /// Set before the loop first turns; the swarm then stands between the node and this driver.
    let swarm: SwarmNode?
    private var sockets: SocketSet?
    private(set) var isDirty = true
    /// Nothing drives the machine any more: whatever were begun now would never end.
    private var isOver = false
    private let options: DatagramOptions
    private let bindHost: IPAddress
    let loggers: Loggers
    /// Set where a key log is written.
    private let secrets: SecretRecorder?

    // Who waits for what.
    let bound = Promise<Result<Void, StreamFailure>>()
    let ready = Promise<Bool>()
    let ended = Promise<Bool>()
    var suspensions: [Promise<Bool>] = []
    var resumptions: [Promise<Bool>] = []
    private var operations: [OperationID: PendingOperation] = [:]
    private var servers: [ServerID: HyperDHTServer] = [:]
    var connections: [ConnectionID: PeerConnection] = [:]
    private var observers: [Observer] = []
    /// What the swarm's owner wants to know.
    var swarmEvent: ((SwarmEvent) -> Void)?
    /// The node is gone, and with it the swarm, whoever took it down.
    var swarmEnded: (() -> Void)?
    private var nextSocket: UInt32 = 1
    private var flushToken: UInt64 = 0
    private var flushes: [UInt64: (connection: ConnectionID, promise: Promise<Bool>)] = [:]

    /// Lives as long as somebody can still take from it.
    private struct Observer { weak var mailbox: Mailbox<NodeChange>? }

    struct PendingOperation {
        var replies: [QueryReply] = []
        let sink: (@Sendable (QueryReply) -> Void)?
        let promise: Promise<(replies: [QueryReply], result: OperationResult)>
    }

    init(
        node: HyperDHTNode, swarm: SwarmNode?, loop: EventLoop, bindHost: IPAddress, options: DatagramOptions, loggers: Loggers,
        secrets: SecretRecorder?
    ) {
        self.secrets = secrets
        self.node = node
        self.swarm = swarm
        self.loop = loop
        self.bindHost = bindHost
        self.options = options
        self.loggers = loggers
    }

    /// Starts the machine; on the loop's thread.
    func start() {
        sockets = SocketSet(loop: loop, receiver: self)
        sockets?.failed = { [unowned self] socket, failure in
            self.loggers.socket.debug(
                "send failed", metadata: ["to": "\(failure.destination)", "errno": "\(failure.code)", "socket": "\(socket)"])
        }
        node.advance(to: loop.now)
        node.start()
        loop.add(self)
    }

    // MARK: Commands

    /// Runs a command on the loop with the machine's time set.
    func command<Result: Sendable>(_ body: @escaping @Sendable (HyperDHTNode) throws -> Result) async throws -> Result {
        try await loop.perform {
            guard !self.isOver else { throw EventLoopEnded() }
            self.isDirty = true
            self.node.advance(to: self.loop.now)
            return try body(self.node)
        }
    }

    /// As `command`, without waiting.
    func post(_ body: @escaping @Sendable (HyperDHTNode) -> Void) {
        loop.submit {
            guard !self.isOver else { return }
            self.isDirty = true
            self.node.advance(to: self.loop.now)
            body(self.node)
        }
    }

    /// Starts an operation and waits for its end.
    func operate(
        each: (@Sendable (QueryReply) -> Void)? = nil, _ begin: @escaping @Sendable (HyperDHTNode) -> OperationID
    ) async throws -> (replies: [QueryReply], result: OperationResult) {
        let promise = Promise<(replies: [QueryReply], result: OperationResult)>()
        let started = Promise<OperationID>()
        // Nobody waits for the start: the end is all that is awaited.
        let accepted = loop.submit {
            guard !self.isOver else { return promise.fulfil(([], .failed(.nodeDestroyed))) }
            self.isDirty = true
            self.node.advance(to: self.loop.now)
            let id = begin(self.node)
            self.operations[id] = PendingOperation(sink: each, promise: promise)
            started.fulfil(id)
        }
        guard accepted else { throw EventLoopEnded() }
        do {
            let outcome = try await promise.value()
            if case .failed(let error) = outcome.result { throw StreamFailure(error) }
            return outcome
        } catch is CancellationError {
            // The task that asked does not want the answer any more.
            loop.submit {
                guard let id = started.current else { return }
                self.isDirty = true
                self.operations[id] = nil
                self.node.cancel(id)
            }
            throw CancellationError()
        }
    }

    /// Waits until all that was written to a connection is acknowledged; false if it closes before.
    func flush(_ id: ConnectionID) async throws -> Bool {
        let promise = Promise<Bool>()
        try await command { node in
            self.flushToken += 1
            if node.flush(id, token: self.flushToken) { self.flushes[self.flushToken] = (id, promise) } else { promise.fulfil(false) }
        }
        return try await promise.value()
    }

    func register(_ server: HyperDHTServer) { servers[server.id] = server }

    func observe(_ observer: Mailbox<NodeChange>) {
        observers.removeAll { $0.mailbox == nil }
        observers.append(Observer(mailbox: observer))
    }

    var socketCounters: DatagramCounters { sockets?.counters ?? DatagramCounters() }
    func local(_ socket: SocketID?) -> Endpoint? { socket.flatMap { sockets?.local($0) } }

    // MARK: The loop's turn

    func receive(_ bytes: [UInt8], _ range: Range<Int>, from source: Endpoint, on socket: SocketID) {
        isDirty = true
        if node.receiveStreamPacket(bytes, range: range, from: source, on: socket, now: loop.now) { return }
        if let swarm {
            swarm.receive(Array(bytes[range]), from: source, on: socket, now: loop.now)
        } else {
            node.receive(Array(bytes[range]), from: source, on: socket, now: loop.now)
        }
    }

    func burst(begins: Bool) { if begins { node.beginBurst() } else { node.endBurst() } }

    func turn(now: Instant) -> Instant {
        defer { secrets?.write(node, sockets) }
        isDirty = false
        if let swarm { swarm.advance(to: now) } else { node.advance(to: now) }
        // Events can make the machine send; each round takes all of one kind in the order that the contract names.
        for _ in 0..<1000 {
            var isIdle = true
            for request in node.takeSocketRequests() {
                isIdle = false
                switch request {
                case .open(let id): openPuncherSocket(id)
                case .close(let id): sockets?.close(id)
                }
            }
            var transmits = node.takeTransmits()
            if !transmits.isEmpty {
                isIdle = false
                sockets?.send(&transmits)
            }
            let (events, swarmEvents) = swarm?.takeEvents() ?? (node.takeEvents(), [])
            for event in events { handle(event) }
            for event in swarmEvents { swarmEvent?(event) }
            if !events.isEmpty || !swarmEvents.isEmpty { isIdle = false }
            if isIdle { break }
        }
        return swarm?.nextWakeUp ?? node.nextWakeUp
    }

    private func openPuncherSocket(_ id: SocketID) {
        do { try sockets?.open(id, Endpoint(bindHost, 0), options: options) } catch {
            loggers.socket.warning("a socket for hole punching could not be opened", metadata: ["error": "\(error)"])
        }
    }

    private func bind(_ request: BindRequest) {
        func open(_ ports: [UInt16], anyPort: Bool) -> (SocketID, UInt16)? {
            let id = SocketID(nextSocket)
            nextSocket += 1
            var last: SystemError?
            for port in ports + (anyPort ? [0] : []) {
                do {
                    if let local = try sockets?.open(id, Endpoint(request.host, port), options: options) { return (id, local.port) }
                } catch { last = error }
            }
            if let last { loggers.socket.debug("bind failed", metadata: ["error": "\(last)"]) }
            return nil
        }
        guard let server = open(request.serverPorts, anyPort: request.anyServerPort) else { return node.bindFailed() }
        guard let client = open(request.clientPorts, anyPort: true) else {
            sockets?.close(server.0)
            return node.bindFailed()
        }
        node.bound(NodeSockets(server: server.0, serverPort: server.1, client: client.0, clientPort: client.1))
    }

    /// Looks a name up on a thread of its own: the system's resolver blocks.
    private func resolve(_ name: String) {
        do {
            try DetachedThread.start {
                let address = Resolver.address(of: name)
                self.post { $0.resolved(name, to: address) }
            }
        } catch {
            loggers.rpc.warning("no thread for a name's look-up", metadata: ["name": "\(name)", "error": "\(error)"])
            node.resolved(name, to: nil)
        }
    }

    private func handle(_ event: HyperDHTEvent) {
        switch event {
        case .bind(let request): bind(request)
        case .closeSockets(let ids): for id in ids { sockets?.close(id) }
        case .resolve(let name): resolve(name)
        case .bound(let sockets):
            loggers.rpc.debug("bound", metadata: ["server": "\(sockets.serverPort)", "client": "\(sockets.clientPort)"])
            bound.fulfil(.success(()))
        case .bindFailed:
            bound.fulfil(.failure(StreamFailure(code: "BIND_FAILED", message: "the UDP sockets could not be bound: is the port taken?")))
        case .ready:
            ready.fulfil(true)
        case .persistent(let id): tell(.persistent(id))
        case .ephemeral: tell(.ephemeral)
        case .wakeUp: tell(.wakeUp)
        case .suspended:
            for promise in suspensions { promise.fulfil(true) }
            suspensions = []
        case .resumed:
            // Who waits for a suspension waits in vain: it was called off.
            for promise in resumptions + suspensions { promise.fulfil(true) }
            resumptions = []
            suspensions = []
        case .networkUpdate(let health): tell(.network(isOnline: health.isOnline, isDegraded: health.isDegraded))
        case .natUpdate(let host, let port): tell(.address(host, port))
        case .closed: finish()
        case .reply(let id, let reply):
            if operations[id] != nil {
                operations[id]?.replies.append(reply)
                operations[id]?.sink?(reply)
            }
        case .finished(let id, let result):
            if let operation = operations.removeValue(forKey: id) { operation.promise.fulfil((operation.replies, result)) }
        case .listening(let id, _): servers[id]?.didListen()
        case .serverFailed(let id, let error): servers[id]?.didClose(StreamFailure(error))
        case .serverClosed(let id): servers.removeValue(forKey: id)?.didClose(nil)
        case .firewall(let question): ask(question)
        case .firewallDecided(let id, let key, _, let accepted):
            if !accepted { loggers.dht.debug("handshake refused", metadata: ["peer": "\(key)"]) }
            servers[id]?.didJudge(key, accepted)
        case .signature(let question): node.sign(question.id, nil)
        case .plugin(let question): node.discard(question.id)
        case .connection(let server, let id, let info):
            let connection = PeerConnection(id: id, driver: self, info: info)
            connections[id] = connection
            connection.didOpen(info)
            logOpened(connection, info)
            servers[server]?.didConnect(connection)
        case .connected(let id, let info):
            // A swarm's dials become connections when they are open.
            if connections[id] == nil, swarm != nil { connections[id] = PeerConnection(id: id, driver: self, info: info) }
            if let connection = connections[id] {
                connection.didOpen(info)
                logOpened(connection, info)
            }
        case .pathChanged(let id, let endpoint, let isRelayed):
            connections[id]?.didMove(endpoint, isRelayed)
            loggers.dht.debug("path changed", metadata: ["address": "\(endpoint)", "relayed": "\(isRelayed)"])
        case .data(let id, let bytes): connections[id]?.inbox.push(bytes)
        case .message(let id, let bytes): connections[id]?.unordered.yield(bytes)
        case .ended(let id): connections[id]?.inbox.finish(isRemoteEnd: true)
        case .drained(let id): connections[id]?.outbox.drained()
        case .flushed(_, let token): flushes.removeValue(forKey: token)?.promise.fulfil(true)
        case .connectionClosed(let id, let error):
            for (token, flush) in flushes where flush.connection == id {
                flushes[token] = nil
                flush.promise.fulfil(false)
            }
            if let connection = connections.removeValue(forKey: id) {
                loggers.dht.debug(
                    "connection closed", metadata: ["peer": "\(connection.remotePublicKey)", "reason": "\(error?.rawValue ?? "end")"])
                connection.didClose(error.map { StreamFailure($0) })
            }
        }
    }

    private func ask(_ question: FirewallQuestion) {
        guard let server = servers[question.server], let firewall = server.firewall else { return node.decide(question.id, accept: false) }
        let key = question.remotePublicKey
        let address = question.clientAddress
        Task {
            let refuses = await firewall(key, address)
            server.didJudge(key, !refuses)
            self.post { $0.decide(question.id, accept: !refuses) }
        }
    }

    private func logOpened(_ connection: PeerConnection, _ info: ConnectionInfo) {
        loggers.dht.debug(
            "connection open",
            metadata: [
                "peer": "\(connection.remotePublicKey)", "initiator": "\(info.isInitiator)", "address": "\(info.remoteAddress)",
                "relayed": "\(info.isRelayed)",
            ])
    }

    private func tell(_ change: NodeChange) {
        loggers.dht.debug("node changed", metadata: ["change": "\(change)"])
        for observer in observers { observer.mailbox?.yield(change) }
    }

    private func finish() {
        bound.fulfil(.failure(StreamFailure(.nodeDestroyed)))
        ready.fulfil(false)
        for connection in connections.values { connection.didClose(StreamFailure(.nodeDestroyed)) }
        connections = [:]
        for server in servers.values { server.didClose(nil) }
        servers = [:]
        for operation in operations.values { operation.promise.fulfil(([], .failed(.nodeDestroyed))) }
        operations = [:]
        for flush in flushes.values { flush.promise.fulfil(false) }
        flushes = [:]
        for promise in suspensions + resumptions { promise.fulfil(false) }
        suspensions = []
        resumptions = []
        ended.fulfil(true)
    }

    /// The node is closed and its loop goes on with others.
    func leave() {
        loopEnded()
        loop.remove(self)
    }

    func loopEnded() {
        isOver = true
        finish()
        sockets?.closeAll()
        for observer in observers { observer.mailbox?.finish() }
        observers = []
        swarmEnded?()
    }
}

/// What happens to a node by itself.
public enum NodeChange: Hashable, Sendable {
    /// The node is persistent: others keep it in their tables under this id.
    case persistent(Bytes32)
    case ephemeral
    /// The machine slept.
    case wakeUp
    case network(isOnline: Bool, isDegraded: Bool)
    /// Our address as others see it; port 0 when it differs for each of them.
    case address(IPAddress?, UInt16)
}
