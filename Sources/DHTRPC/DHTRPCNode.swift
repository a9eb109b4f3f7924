import CompactEncoding
import HyperCrypto
import SansIO

/// A dht-rpc node without input or output. dht-rpc.md.
///
/// The driver hands it datagrams (`receive`) and the time (`advance`), and takes datagrams (`takeTransmits`) and events (`takeEvents`).
/// Commands count from the last instant that the node was given: advance it first.
///
/// Differences from the reference, none of which a well-behaved peer notices: transaction ids are random; a response is accepted only
/// from the endpoint that its request went to, on the socket it left from (PING_NAT: also on the server socket); a live node that answers
/// a check in the tick in which it was last seen stays in the table; tables are bounded (`NodeLimits`).
public final class DHTRPCNode {
    public let config: NodeConfig
    let entropy: any Entropy

    // Time.
    @exclusivity(unchecked) public internal(set) var now: Instant
    @exclusivity(unchecked) var timers = TimerQueue()
    /// When the first timer is due that still counts; nil: to be found out.
    @exclusivity(unchecked) var timersDue: Instant? = .distantFuture
    @exclusivity(unchecked) var nextTick = Instant.distantFuture
    @exclusivity(unchecked) var lastTick = Instant.zero
    @exclusivity(unchecked) var nextDrain = Instant.distantFuture

    // Effects.
    @exclusivity(unchecked) var transmits: [Transmit] = []
    @exclusivity(unchecked) var events: [NodeEvent] = []

    // Life.
    enum Life { case new, binding, running, suspended, destroyed }
    @exclusivity(unchecked) var life = Life.new
    @exclusivity(unchecked) var isResuming = false
    @exclusivity(unchecked) public internal(set) var sockets: NodeSockets?
    @exclusivity(unchecked) public internal(set) var isBootstrapped = false
    @exclusivity(unchecked) var bootstrapRound = 0
    @exclusivity(unchecked) var quickProbePending = false
    @exclusivity(unchecked) var quickProbeAnswered = false

    // Identity.
    @exclusivity(unchecked) public internal(set) var isEphemeral = true
    /// Whether the server port is believed out of reach: requests then leave through the client socket.
    @exclusivity(unchecked) public internal(set) var isFirewalled: Bool
    @exclusivity(unchecked) var table: RoutingTable
    @exclusivity(unchecked) public internal(set) var natSampler = NATSampler()
    /// Sources of id-less responses that were used as samples.
    @exclusivity(unchecked) var nonPersistentSamples: [Endpoint] = []
    @exclusivity(unchecked) var networkCheck: NetworkCheck?
    @exclusivity(unchecked) var lastCheckedHost: IPAddress?
    @exclusivity(unchecked) var tokens: RoundTripTokens
    let isAdaptive: Bool

    // Ticks.
    @exclusivity(unchecked) var tick: Int32
    @exclusivity(unchecked) var refreshTicks: Int32
    @exclusivity(unchecked) var stableTicks = Ticks.stable
    @exclusivity(unchecked) var checks = 0
    @exclusivity(unchecked) var swaps = 0
    @exclusivity(unchecked) var downHintsSent = 0
    @exclusivity(unchecked) var health = NetworkHealthMonitor()

    // Requests.
    @exclusivity(unchecked) var nextTransaction: UInt16 = 0
    @exclusivity(unchecked) var nextNumber: UInt64 = 1
    /// By transaction id.
    @exclusivity(unchecked) var requests: [UInt16: OutgoingRequest] = [:]
    /// Requests that wait for the congestion window, first come, first served; those that ended meanwhile are skipped.
    @exclusivity(unchecked) var waiting: [OutgoingRequest] = []
    @exclusivity(unchecked) var waitingStart = 0
    /// Requests made before the sockets were bound.
    @exclusivity(unchecked) var window = CongestionWindow()
    @exclusivity(unchecked) var delayedPings: [UInt64: DelayedPing] = [:]
    @exclusivity(unchecked) var delayedPingsByHost: [IPAddress: Int] = [:]
    @exclusivity(unchecked) var gate = RequestGate()

    // Queries.
    @exclusivity(unchecked) var queries: [QueryID: Query] = [:]
    @exclusivity(unchecked) var bootstrapResolver = BootstrapResolver()

    @exclusivity(unchecked) public internal(set) var statistics = NodeStatistics()

    /// `entropy` is drawn for table id, ticks, token secrets, transaction ids and refresh targets.
    public init(config: NodeConfig, entropy: any Entropy, at now: Instant) {
        self.config = config
        self.entropy = entropy
        self.now = now
        isFirewalled = config.firewalled
        isAdaptive = config.persistence == .adaptive
        table = RoutingTable(id: config.draws.tableID ?? Bytes32(entropy.bytes(32, for: EntropyLabel(.tableID))) ?? .zero)
        tick = config.draws.tick ?? 51 + Int32(entropy.uniform(below: 50, for: EntropyLabel(.tick)))
        refreshTicks = config.draws.refreshTicks ?? 31 + Int32(entropy.uniform(below: 30, for: EntropyLabel(.refreshTick)))
        if case .sequential(let first) = config.transactionIDs { nextTransaction = first }
        if let secrets = config.draws.tokenSecrets, secrets.count == 2 {
            tokens = RoundTripTokens(secrets: secrets[0], secrets[1])
        } else {
            tokens = RoundTripTokens()
        }
        if let address = config.publicAddress { natSampler.add(address) }
        for endpoint in config.nodes { addNode(endpoint) }
    }

    // MARK: State

    /// The routing-table id; on the wire it stands only while the node is persistent.
    public var id: Bytes32 { table.id }
    public var isPersistent: Bool { !isEphemeral }
    public var isSuspended: Bool { life == .suspended }
    public var isDestroyed: Bool { life == .destroyed }
    public var isOnline: Bool { health.health.isOnline }
    public var isDegraded: Bool { health.health.isDegraded }
    /// The public host as others see it, nil while unknown.
    public var publicHost: IPAddress? { natSampler.host }
    /// The public port; 0 while unknown or different for each destination.
    public var publicPort: UInt16 { natSampler.port }
    /// All nodes of the routing table, in row order.
    public var tableNodes: [TableNode] { table.nodes }
    public var tableCount: Int { table.count }
    /// Nodes from the one that was heard last on: what a program saves for its next start.
    public func latestNodes(_ limit: Int) -> [Endpoint] { table.latestFirst(limit).map(\.endpoint) }
    /// Up to `limit` table nodes for a target, as a reply would list them.
    public func closestNodes(to target: Bytes32, _ limit: Int = 20) -> [Endpoint] { table.closestEndpoints(to: target, limit) }

    /// The socket that requests leave from. DHT-48.
    public var outgoingSocket: SocketID? {
        guard let sockets else { return nil }
        let usesClient = Mutation.dhtRPC(48).isActive ? !isFirewalled : isFirewalled
        return usesClient ? sockets.client : sockets.server
    }

    /// The two secrets of round-trip tokens, the older first; nil before the first use.
    public var tokenSecrets: [Bytes32]? { tokens.known }

    // MARK: Effects

    public func takeTransmits() -> [Transmit] {
        let result = transmits
        transmits = []
        return result
    }

    public func takeEvents() -> [NodeEvent] {
        let result = events
        events = []
        return result
    }

    func send(_ payload: [UInt8], to destination: Endpoint, on socket: SocketID, timeToLive: UInt8 = 0) {
        statistics.bytesSent += payload.count
        transmits.append(Transmit(socket: socket, destination: destination, payload: payload, timeToLive: timeToLive))
    }

    // MARK: Time

    /// When `advance` must be called at the latest.
    public var nextWakeUp: Instant {
        var due = nextTick
        if hasWaiting, nextDrain < due { due = nextDrain }
        return min(due, timersDue ?? findTimersDue())
    }

    private func findTimersDue() -> Instant {
        var due = Instant.distantFuture
        while let first = timers.first {
            if isCurrent(first) {
                due = first.due
                break
            }
            timers.removeFirst()
        }
        timersDue = due
        return due
    }

    /// A timer was set.
    func noteTimer(_ due: Instant) { if let first = timersDue, due < first { timersDue = due } }

    private func isCurrent(_ timer: TimerQueue.Timer) -> Bool {
        if let request = timer.request { request.deadline == timer.due } else { delayedPings[timer.ticket] != nil }
    }

    /// Time is now `instant`: runs everything that is due.
    public func advance(to instant: Instant) {
        if instant > now { now = instant }
        guard life == .running else { return }
        catchUpDrains()
        while (timersDue ?? .zero) <= now, let first = timers.first, first.due <= now {
            timers.removeFirst()
            timersDue = nil
            if let request = first.request {
                if request.deadline == first.due { attemptEnded(request) }
            } else {
                delayedPingDue(first.ticket)
            }
        }
        if now >= nextTick { runTick() }
    }

    /// The window drains every 750 ms; an idle node is not woken for it, it catches up.
    private func catchUpDrains() {
        while nextDrain <= now {
            if config.draws.rotatesTokens { tokens.drained() }
            nextDrain = nextDrain + CongestionWindow.drainInterval
            if window.total > 0 { window.drain() }
            if hasWaiting { sendWaiting() }
        }
    }

    // MARK: Datagrams

    /// A datagram came in. UDX packets (first bytes ff 01) belong to the owner and should not come here.
    public func receive(_ datagram: [UInt8], from source: Endpoint, on socket: SocketID, at instant: Instant) {
        advance(to: instant)
        /// DHT-52: a suspended node is silent.
        guard life == .running || (Mutation.dhtRPC(52).isActive && life == .suspended), let sockets else {
            return statistics.drop(.suspended)
        }
        statistics.bytesReceived += datagram.count
        let source = Endpoint(source.address.unmapped, source.port)
        guard source.address.isIPv4 else { return statistics.drop(.notIPv4) }
        guard source.port != 0 else { return statistics.drop(.sourcePortZero) }
        if socket == sockets.server { networkCheck?.heardOnServerSocket(source.address) }
        /// DHT-9: datagrams of one byte or none get silence.
        guard datagram.count >= 2 else {
            if Mutation.dhtRPC(9).isActive { send([UInt8](repeating: 0, count: 10), to: source, on: socket) }
            return statistics.drop(.tooShort)
        }
        guard let type = MessageType(of: datagram) else { return statistics.drop(.unknownType) }
        switch type {
        case .request:
            guard let request = try? Request(decoding: datagram) else { return statistics.drop(.undecodable) }
            guard gate.admits(source.address, at: now, config.limits) else { return statistics.drop(.sourceTooBusy) }
            received(request, from: source, on: socket)
        case .response:
            guard let response = try? Response(decoding: datagram) else { return statistics.drop(.undecodable) }
            received(response, from: source, on: socket)
            // An answer makes room in the window: what waits for it need not wait for the next drain as well.
            if hasWaiting { sendWaiting() }
        }
    }

    /// A message is external when it arrived on another socket than the one that requests leave from now.
    func isExternal(_ socket: SocketID) -> Bool { socket != outgoingSocket }

    /// DHT-30: an id that is not the hash of its sender's address is dropped; the message is not.
    func validated(_ id: Bytes32?, _ source: Endpoint) -> Bytes32? {
        /// DHT-32: without an id there is no node.
        if Mutation.dhtRPC(32).isActive, id == nil { return NodeID.of(source) }
        guard let id else { return nil }
        if Mutation.dhtRPC(30).isActive { return NodeID.of(source) }
        // A node of the table was found to be right when it entered.
        if let place = table.find(id), table.endpoint(at: place) == source { return id }
        return NodeID.matches(id, source) ? id : nil
    }
}
