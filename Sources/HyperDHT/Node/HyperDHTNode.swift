import BlindRelay
import CompactEncoding
import DHTRPC
import HyperCrypto
import SansIO
import UDX

/// A HyperDHT node without input or output: dht-rpc, record storage, routing, servers, connects, hole punching and encrypted streams in one
/// machine. hyperdht.md.
///
/// The driver calls `start`, opens what the events `bind` ask for and answers with `bound`, hands in datagrams (`receive`) and time
/// (`advance`), and after each call takes, in this order: sockets to open (`takeSocketRequests`), datagrams (`takeTransmits`), events
/// (`takeEvents`). Commands count from the last instant given: advance first. Ids of sockets from 65 536 on are the node's own.
public final class HyperDHTNode {
    public let config: HyperDHTConfig
    public let defaultKeyPair: KeyPair
    @exclusivity(unchecked) public private(set) var now: Instant
    let entropy: any Entropy
    let rpc: DHTRPCNode
    let udx: UDXInstance
    private let start0: Instant

    // Effects.
    @exclusivity(unchecked) var events: [HyperDHTEvent] = []
    @exclusivity(unchecked) private var transmits: [Transmit] = []
    @exclusivity(unchecked) private var opening: [PuncherSocketRequest] = []
    /// Sockets to close once the datagrams before them are out.
    @exclusivity(unchecked) private var closing: [SocketID] = []
    @exclusivity(unchecked) private var closable: [SocketID] = []

    // What others store and route here.
    @exclusivity(unchecked) var routes: RouteTable
    /// Until the node has been persistent once, it stores nothing.
    @exclusivity(unchecked) var store: RecordStore?
    /// When a generation of routes or records turns.
    @exclusivity(unchecked) var storeDue: Instant
    @exclusivity(unchecked) var plugins: [String: UInt64] = [:]
    @exclusivity(unchecked) var relayGate: SourceGate
    @exclusivity(unchecked) public var statistics = HyperDHTStatistics()
    /// Whether keys of encrypted streams are kept for `takeStreamSecrets`.
    @exclusivity(unchecked) public var reportsSecrets = false
    @exclusivity(unchecked) var streamSecrets: [StreamSecrets] = []

    // Work in progress.
    @exclusivity(unchecked) var timers = NodeTimers<TimerPurpose>()
    @exclusivity(unchecked) var requests: [RequestID: RequestPurpose] = [:]
    @exclusivity(unchecked) var queries: [QueryID: QueryPurpose] = [:]
    @exclusivity(unchecked) var operations: [OperationID: Operation] = [:]
    @exclusivity(unchecked) var servers: [ServerID: Server] = [:]
    @exclusivity(unchecked) var connections: [ConnectionID: Connection] = [:]
    @exclusivity(unchecked) var streamOwners: [StreamID: StreamOwner] = [:]
    @exclusivity(unchecked) var pools: [ConnectionPoolID: [Bytes32: ConnectionID]] = [:]
    @exclusivity(unchecked) var sockets = SocketPool()
    @exclusivity(unchecked) var probes: [SocketID: PunchOwner] = [:]
    let budget = RandomPunchBudget()
    @exclusivity(unchecked) var relayCache: TwoGenerationCache<Bytes32, [Endpoint]>
    @exclusivity(unchecked) var routesBySocket: [Bytes32: (socket: SocketID, address: Endpoint)] = [:]
    @exclusivity(unchecked) var firewallQuestions: [QuestionID: (server: ServerID, handshake: UInt64)] = [:]
    @exclusivity(unchecked) var signatureQuestions: [QuestionID: SignaturePurpose] = [:]
    @exclusivity(unchecked) var pluginQuestions: [QuestionID: IncomingRequest] = [:]
    /// Connections whose secret streams may have output, in order.
    @exclusivity(unchecked) var pending: [Connection] = []
    let relayServer: BlindRelayServer
    @exclusivity(unchecked) var relaySessions: [BlindRelayServer.SessionID: Connection] = [:]
    /// Handshakes whose connections run through a relay: they outlive their slots.
    @exclusivity(unchecked) var relayedHandshakes: [RelayOwner: ServerHandshake] = [:]
    /// Our streams of links that others have through us.
    @exclusivity(unchecked) var relayStreams: Set<StreamID> = []
    @exclusivity(unchecked) private var lastNumber: UInt64 = 0
    @exclusivity(unchecked) private var nextSocket: UInt32 = 65_536
    @exclusivity(unchecked) var life = Life.running

    enum Life {
        case running
        /// Servers take back their announces.
        case suspending
        case suspended
        case closing
        case destroyed
    }

    private static func drawKeyPair(_ entropy: any Entropy) -> KeyPair {
        let drawn = entropy.bytes(32, for: EntropyLabel(.keyPair))
        return KeyPair(seed: Bytes32(drawn) ?? Blake2b.hash256(drawn))
    }

    public init(config: HyperDHTConfig, entropy: any Entropy, at now: Instant) {
        self.config = config
        self.entropy = entropy
        self.now = now
        start0 = now
        rpc = DHTRPCNode(config: config.rpc, entropy: entropy, at: now)
        udx = UDXInstance(entropy: entropy, limits: config.streams)
        defaultKeyPair = config.defaultKeyPair ?? HyperDHTNode.drawKeyPair(entropy)
        routes = RouteTable(maxSize: config.limits.stores.maxSize, maxAge: config.limits.stores.maxAge, now: now)
        storeDue = routes.nextWakeUp
        relayCache = TwoGenerationCache(maxSize: config.limits.rememberedRelays, maxAge: .zero, now: now)
        relayGate = SourceGate(
            total: config.limits.relayedPerSecond, perHost: config.limits.relayedPerSecondAndHost, hosts: config.limits.countedHosts)
        relayServer = BlindRelayServer(limits: config.limits.relaying)
        budget.interval = config.randomPunchInterval
        if config.defersRandomPunch { budget.end(now) }
    }

    /// A node that is let go without `destroy`: what its open connections and their handshakes hold of one another goes with it.
    deinit {
        for connection in connections.values {
            connection.handshake?.connection = nil
            connection.handshake = nil
        }
    }

    func takeNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    // MARK: State

    /// The node id; on the wire only while persistent.
    public var nodeID: Bytes32 { rpc.id }
    public var isPersistent: Bool { rpc.isPersistent }
    public var isFirewalled: Bool { rpc.isFirewalled }
    public var isReady: Bool { rpc.isBootstrapped }
    public var isSuspended: Bool { life == .suspended || life == .suspending }
    public var isDestroyed: Bool { life == .destroyed }
    public var isOnline: Bool { rpc.isOnline }
    public var boundSockets: NodeSockets? { rpc.sockets }
    public var rpcStatistics: DHTRPC.NodeStatistics { rpc.statistics }
    public var tableNodes: [TableNode] { rpc.tableNodes }
    /// Connections that are open or being made.
    public var connectionCount: Int { connections.count }
    /// Records and routes held for others.
    public var storedCount: Int { (store?.count ?? 0) + routes.count }
    public var puncherSocketCount: Int { sockets.count }

    /// Our address, if others reach us at the port that is bound here. hyperdht.md section 8.
    public var publicAddress: Endpoint? {
        guard !rpc.isFirewalled, let host = rpc.publicHost, rpc.publicPort != 0, rpc.publicPort == rpc.sockets?.serverPort else {
            return nil
        }
        return Endpoint(host, rpc.publicPort)
    }

    /// Addresses of this host with the server port: what peers on the same LAN may try.
    var localAddresses: [Endpoint] {
        guard let port = rpc.sockets?.serverPort else { return [] }
        if config.rpc.bindHost == .loopback || config.localAddresses.isEmpty { return [Endpoint(.loopback, port)] }
        return config.localAddresses.map { Endpoint($0, port) }
    }

    var unixMilliseconds: UInt64 { config.unixMilliseconds &+ UInt64(clamping: (now - start0).milliseconds) }

    var environment: PunchEnvironment {
        PunchEnvironment(now: now, isFirewalled: rpc.isFirewalled, recentNodes: rpc.latestNodes(40), entropy: entropy)
    }

    // MARK: Life

    /// Asks the driver to bind the sockets.
    public func start() {
        rpc.start()
        settle()
    }

    /// The driver bound both sockets.
    public func bound(_ sockets: NodeSockets) {
        rpc.bound(sockets)
        settle()
    }

    /// Answers `HyperDHTEvent.bind`: no socket could be opened.
    public func bindFailed() {
        rpc.bindFailed()
        settle()
    }

    /// A name's IPv4 address; nil if there is none.
    public func resolved(_ name: String, to address: IPAddress?) {
        rpc.resolved(name, to: address)
        settle()
    }

    /// Puts a node into the routing table without contacting it.
    public func addNode(_ endpoint: Endpoint) {
        rpc.addNode(endpoint)
        settle()
    }

    // MARK: The five calls

    /// A datagram came in.
    public func receive(_ datagram: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        advanceTimers(now)
        let source = Endpoint(source.address.unmapped, source.port)
        if datagram.count >= 20, datagram[0] == 0xff, receiveStreamPacket(datagram, 0..<datagram.count, source, socket) { return settle() }
        if sockets.contains(socket) {
            guard source.port != 0 else { return settle() }
            if datagram.count == 1 {
                receiveProbe(on: socket, from: source)
            } else if datagram.count > 1 {
                rpc.receive(datagram, from: source, on: socket, at: self.now)
            }
        } else {
            if datagram.count == 1 { statistics.drop(.probeOnOrdinarySocket) }
            rpc.receive(datagram, from: source, on: socket, at: self.now)
        }
        settle()
    }

    /// What is received from now on came in one buffer: see `UDXInstance.beginBurst`.
    public func beginBurst() { udx.beginBurst() }
    /// The buffer is through.
    public func endBurst() { udx.endBurst() }

    /// One datagram of a batch, if it is a packet of a stream: what follows from it waits for `advance`, which ends the batch, so that a stream's bytes come
    /// joined. False: nothing was done; hand it to `receive`.
    public func receiveStreamPacket(_ bytes: [UInt8], range: Range<Int>, from source: Endpoint, on socket: SocketID, now: Instant) -> Bool {
        guard range.count >= 20, bytes.indices.contains(range.lowerBound), bytes[range.lowerBound] == 0xff else { return false }
        if now > self.now { advanceTimers(now) }
        return receiveStreamPacket(bytes, range, Endpoint(source.address.unmapped, source.port), socket)
    }

    /// True if the packet was for a stream.
    private func receiveStreamPacket(_ datagram: [UInt8], _ range: Range<Int>, _ source: Endpoint, _ socket: SocketID) -> Bool {
        switch udx.receive(datagram, range: range, from: source, on: socket, at: now) {
        case .consumed: return true
        case .notForStream: return false
        case .askOwner(let stream):
            let verdict = decideStreamPacket(stream, source, socket)
            _ = udx.receive(datagram, range: range, from: source, on: socket, at: now, verdict: verdict)
            return true
        }
    }

    /// The time is now `now`.
    public func advance(to now: Instant) {
        advanceTimers(now)
        udx.advance(to: self.now)
        settle()
    }

    private func advanceTimers(_ now: Instant) {
        if now > self.now { self.now = now }
        if rpc.nextWakeUp <= self.now || rpc.now < self.now { rpc.advance(to: self.now) }
        if udx.nextWakeUp <= self.now { udx.advance(to: self.now) }
        if storeDue <= self.now {
            store?.advance(to: self.now)
            routes.advance(to: self.now)
            storeDue = min(routes.nextWakeUp, store?.nextWakeUp ?? .distantFuture)
        }
        if relayServer.nextWakeUp <= self.now { relayServer.advance(to: self.now) }
        for socket in sockets.expired(self.now) { closePuncherSocket(socket) }
        while let purpose = timers.popDue(self.now) { fire(purpose) }
    }

    /// When `advance` must be called at the latest.
    public var nextWakeUp: Instant {
        var due = min(rpc.nextWakeUp, udx.nextWakeUp, timers.nextWakeUp)
        due = min(due, storeDue, relayServer.nextWakeUp)
        if sockets.count > 0 { due = min(due, sockets.nextWakeUp) }
        if !closable.isEmpty { due = min(due, now) }
        return due
    }

    /// Puncher sockets to open before, and to close after, the datagrams of this turn; ask again when no datagram is left.
    public func takeSocketRequests() -> [PuncherSocketRequest] {
        if opening.isEmpty, closable.isEmpty { return [] }
        let result = opening + closable.map { .close($0) }
        opening = []
        closable = []
        return result
    }

    /// Datagrams to send, in order.
    public func takeTransmits() -> [Transmit] {
        var result = transmits
        transmits = []
        udx.takeTransmits(into: &result)
        if !closing.isEmpty {
            closable += closing
            closing = []
        }
        return result
    }

    /// What happened, in order.
    public func takeEvents() -> [HyperDHTEvent] {
        let result = events
        events = []
        return result
    }

    // MARK: Effects

    /// Behind what dht-rpc has sent so far.
    func transmit(_ transmit: Transmit) {
        takeRPCTransmits()
        transmits.append(transmit)
    }

    func openPuncherSocket() -> SocketID {
        let socket = SocketID(nextSocket)
        nextSocket = nextSocket == .max ? 65_536 : nextSocket + 1
        sockets.add(socket)
        opening.append(.open(socket))
        return socket
    }

    func closePuncherSocket(_ socket: SocketID) {
        probes[socket] = nil
        if !routesBySocket.isEmpty { routesBySocket = routesBySocket.filter { $0.value.socket != socket } }
        closing.append(socket)
    }

    /// Drains the machines below until nothing is left to pass on.
    func settle() {
        var rounds = 0
        while rounds < 10_000 {
            rounds += 1
            let below = rpc.takeEvents()
            for event in below { handle(event) }
            takeRPCTransmits()
            let streams = udx.hasEffects ? udx.takeEvents() : []
            for event in streams { handle(event) }
            let connections = pending
            if !connections.isEmpty {
                pending = []
                for connection in connections { pump(connection) }
            }
            if below.isEmpty, streams.isEmpty, connections.isEmpty { break }
        }
        if udx.hasEffects { udx.takeTransmits(into: &transmits) }
    }

    private func takeRPCTransmits() {
        let sent = rpc.takeTransmits()
        if sent.isEmpty { return }
        if transmits.isEmpty { transmits = sent } else { transmits += sent }
    }
}
