import SansIO

/// What a puncher may know of its node when it is called.
struct PunchEnvironment {
    var now: Instant
    /// The node's present opinion of itself.
    var isFirewalled: Bool
    /// DHT nodes to be asked for samples, the latest first, as many as the table has (a few dozen are enough).
    var recentNodes: [Endpoint]
    var entropy: any Entropy
}

/// A remote address to punch at, and whether the remote has proved that it receives at this host.
struct PunchAddress: Hashable {
    var endpoint: Endpoint
    var isVerified: Bool
}

/// One side of a hole punch: its sockets, its view of both NATs, its bytes. hyperdht.md sections 11 and 14.
///
/// The initiator takes the first one-byte datagram as success; the other side answers each with one byte and never decides.
final class Puncher {
    enum Effect {
        case open(SocketID)
        case close(SocketID)
        case send(Transmit)
        /// A PING without retransmission to this node from this socket; its result comes back with `generation`.
        case sample(node: Endpoint, socket: SocketID, generation: Int)
        /// A call of `analyse` has its answer.
        case analysed(waiter: UInt64, isStable: Bool)
        /// The initiator has a path.
        case connected(SocketID, Endpoint)
        /// Destroyed without a path.
        case aborted
    }

    static let probe: [UInt8] = [0]
    static let lowTimeToLive: UInt8 = 5
    static let normalTimeToLive: UInt8 = 64
    static let birthdaySockets = 256
    static let randomProbes = 1750
    static let consistentRounds = 10
    static let maximumReopens = 3
    /// Addresses of a peer that are punched at; the reference takes any number.
    static let maximumAddresses = 8

    let isInitiator: Bool
    private(set) var nat: NATClassifier
    private(set) var remoteFirewall: Firewall
    private(set) var remoteAddresses: [PunchAddress] = []
    /// The remote says that it punches.
    private(set) var remoteIsPunching = false
    private(set) var isPunching = false
    private(set) var isConnected = false
    private(set) var isDestroyed = false
    var effects: [Effect] = []

    private let budget: RandomPunchBudget
    private let openSocket: () -> SocketID
    /// The current socket first, birthday sockets after it.
    private var sockets: [SocketID] = []
    private var generation = 0
    private var pendingSamples = 0
    private var asked: Set<Endpoint> = []
    private var samplingPass = 0
    private var isAnalysed = false
    private var waiters: [(id: UInt64, allowReopen: Bool)] = []
    private var reopens: Int?
    private var reopenResult: Bool?
    private var reopenWaiters: [UInt64] = []
    private var countsAsRandom = false
    private var punchResult: Bool?
    private var strategy = Strategy.none

    private enum Strategy {
        case none
        case consistent(round: Int, next: Instant)
        case randomProbes(left: Int, host: IPAddress, next: Instant)
        case birthday(left: Int, index: Int, lowRounds: Int, target: Endpoint, next: Instant)
    }

    /// `openSocket` names a new socket; the effect `.open` tells the driver.
    init(
        isInitiator: Bool, remoteFirewall: Firewall, budget: RandomPunchBudget, _ environment: PunchEnvironment,
        openSocket: @escaping () -> SocketID
    ) {
        self.isInitiator = isInitiator
        self.remoteFirewall = remoteFirewall
        self.budget = budget
        self.openSocket = openSocket
        nat = NATClassifier(isFirewalled: environment.isFirewalled)
        addSocket()
        sample(environment)
    }

    /// The socket whose mapping is told to the peer.
    var socket: SocketID? { sockets.first }

    func owns(_ socket: SocketID) -> Bool { sockets.contains(socket) }

    @discardableResult private func addSocket() -> SocketID {
        let socket = openSocket()
        sockets.append(socket)
        effects.append(.open(socket))
        return socket
    }

    private func send(_ socket: SocketID, _ to: Endpoint, low: Bool) {
        guard to.port != 0 else { return }
        effects.append(
            .send(
                Transmit(
                    socket: socket, destination: to, payload: Puncher.probe,
                    timeToLive: low ? Puncher.lowTimeToLive : Puncher.normalTimeToLive)))
    }

    /// Opens our own NAT towards an address with a byte that dies on the way. HDHT-59.
    func openSession(_ to: Endpoint) {
        guard let socket, !Mutation.hyperDHT(59).isActive else { return }
        send(socket, to, low: true)
    }

    /// The fast punch: one byte at once.
    func ping(_ to: Endpoint) {
        if let socket { send(socket, to, low: false) }
    }

    func freeze() { nat.freeze() }

    // MARK: Sampling

    /// Asks up to four of the latest nodes, without the five very latest if there are eight.
    private func sample(_ environment: PunchEnvironment) {
        guard let socket else { return }
        let skip = environment.recentNodes.count >= 8 ? 5 : 0
        for node in environment.recentNodes.dropFirst(skip) where nat.sampled + pendingSamples < NATClassifier.wanted {
            guard !nat.hasVisited(node), asked.insert(node).inserted else { continue }
            pendingSamples += 1
            effects.append(.sample(node: node, socket: socket, generation: generation))
        }
        if pendingSamples == 0 { samplesDone(environment) }
    }

    private func samplesDone(_ environment: PunchEnvironment) {
        guard nat.sampled < NATClassifier.wanted else { return }
        if samplingPass == 0 {
            samplingPass = 1
            sample(environment)
        } else {
            analysed(environment)
        }
    }

    /// A sample came back (`to` is our address as `from` saw it), or did not (nil).
    func sampled(_ to: Endpoint?, from: Endpoint, generation: Int, _ environment: PunchEnvironment) {
        guard generation == self.generation, !isDestroyed else { return }
        pendingSamples -= 1
        if let to { add(to, from: from, environment) }
        if pendingSamples == 0, !isDestroyed, generation == self.generation { samplesDone(environment) }
    }

    /// A sample from an exchange of its own: a holepunch round trip.
    func add(_ to: Endpoint, from: Endpoint, _ environment: PunchEnvironment) {
        nat.add(to, from: from, isFirewalled: environment.isFirewalled)
        if nat.isSettled { analysed(environment) }
    }

    private func analysed(_ environment: PunchEnvironment) {
        guard !isAnalysed else { return }
        isAnalysed = true
        let waiting = waiters
        waiters = []
        for waiter in waiting { resolve(waiter.id, waiter.allowReopen, environment) }
        if reopens != nil { continueReopening(environment) }
    }

    /// Waits for the classification. Unstable and allowed to reopen: new sockets, up to three. The answer is the effect `.analysed`.
    func analyse(waiter: UInt64, allowReopen: Bool, _ environment: PunchEnvironment) {
        if isAnalysed { resolve(waiter, allowReopen, environment) } else { waiters.append((waiter, allowReopen)) }
    }

    private var isUnstable: Bool { (remoteFirewall.isRandom && nat.firewall.isRandom) || nat.firewall == .unknown }

    private func resolve(_ waiter: UInt64, _ allowReopen: Bool, _ environment: PunchEnvironment) {
        guard isUnstable else { return effects.append(.analysed(waiter: waiter, isStable: true)) }
        guard allowReopen else { return effects.append(.analysed(waiter: waiter, isStable: false)) }
        if let reopenResult { return effects.append(.analysed(waiter: waiter, isStable: reopenResult)) }
        reopenWaiters.append(waiter)
        if reopens == nil {
            reopens = 0
            continueReopening(environment)
        }
    }

    private func continueReopening(_ environment: PunchEnvironment) {
        while let count = reopens, isAnalysed || isDestroyed {
            guard isUnstable, count < Puncher.maximumReopens, !isDestroyed, !isConnected, !isPunching else {
                reopens = nil
                let isStable = nat.firewall == .consistent || nat.firewall == .open
                reopenResult = isStable
                for waiter in reopenWaiters { effects.append(.analysed(waiter: waiter, isStable: isStable)) }
                reopenWaiters = []
                return
            }
            reopens = count + 1
            reset(environment)
        }
    }

    private func reset(_ environment: PunchEnvironment) {
        let old = sockets.popLast()
        addSocket()
        if let old { effects.append(.close(old)) }
        nat = NATClassifier(isFirewalled: environment.isFirewalled)
        generation += 1
        pendingSamples = 0
        samplingPass = 0
        asked = []
        isAnalysed = false
        // Who waited for the old socket's classification is answered by the new one's, which knows nothing yet.
        let waiting = waiters
        waiters = []
        for waiter in waiting { effects.append(.analysed(waiter: waiter.id, isStable: false)) }
        sample(environment)
    }

    // MARK: The remote

    /// `verified` is a host at which the remote has proved to receive.
    func updateRemote(punching: Bool, firewall: Firewall, addresses: [Endpoint]?, verified: IPAddress?) {
        var updated: [PunchAddress] = []
        for endpoint in (addresses ?? []).prefix(Puncher.maximumAddresses) {
            let before = remoteAddresses.contains { $0.isVerified && $0.endpoint.address == endpoint.address }
            updated.append(PunchAddress(endpoint: endpoint, isVerified: before || endpoint.address == verified))
        }
        remoteFirewall = firewall
        remoteAddresses = updated
        remoteIsPunching = punching
    }

    // MARK: Punching

    /// Starts punching; false if it is impossible. A second call gives the first one's answer.
    func punch(_ environment: PunchEnvironment) -> Bool {
        if let punchResult { return punchResult }
        let result = start(environment)
        punchResult = result
        return result
    }

    /// The strategy that was chosen, for statistics: true if one side is random.
    private(set) var isRandomStrategy = false

    private func start(_ environment: PunchEnvironment) -> Bool {
        guard !isDestroyed, !isConnected, !remoteAddresses.isEmpty, let socket else { return false }
        isPunching = true
        let verified = remoteAddresses.first { $0.isVerified || Mutation.hyperDHT(61, 1).isActive }
        let localIsConsistent = nat.firewall == .consistent || nat.firewall == .open
        let remoteIsConsistent = remoteFirewall == .consistent || remoteFirewall == .open
        if localIsConsistent, remoteIsConsistent {
            // The server has just sent its fast punch, so it waits first.
            strategy = .consistent(round: 1, next: isInitiator ? environment.now : environment.now + .milliseconds(1000))
            if isInitiator { advance(environment) }
            return true
        }
        guard let verified else { return false }
        if localIsConsistent, remoteFirewall.isRandom {
            countRandom()
            strategy = .randomProbes(left: Puncher.randomProbes, host: verified.endpoint.address, next: environment.now)
            advance(environment)
            return true
        }
        if nat.firewall.isRandom, remoteIsConsistent {
            countRandom()
            send255(verified.endpoint, socket)
            strategy = .birthday(
                left: Puncher.randomProbes, index: 0, lowRounds: 1, target: verified.endpoint, next: environment.now + .milliseconds(100))
            return true
        }
        return false
    }

    /// Opens sockets until there are 256; each new one sends a byte that opens its mapping.
    private func send255(_ target: Endpoint, _ first: SocketID) {
        let wanted = Mutation.hyperDHT(61).isActive ? Puncher.birthdaySockets * 2 : Puncher.birthdaySockets
        while sockets.count < wanted { send(addSocket(), target, low: true) }
    }

    private func countRandom() {
        isRandomStrategy = true
        guard !countsAsRandom else { return }
        countsAsRandom = true
        budget.start()
    }

    private func uncountRandom(_ now: Instant) {
        guard countsAsRandom else { return }
        countsAsRandom = false
        budget.end(now)
    }

    var nextWakeUp: Instant {
        switch strategy {
        case .none: .distantFuture
        case .consistent(_, let next), .randomProbes(_, _, let next), .birthday(_, _, _, _, let next): next
        }
    }

    func advance(_ environment: PunchEnvironment) {
        guard environment.now >= nextWakeUp, isPunching, let socket else { return }
        switch strategy {
        case .none: break
        case .consistent(let round, _):
            guard round <= Puncher.consistentRounds || (Mutation.hyperDHT(58, 1).isActive && round <= 2 * Puncher.consistentRounds) else {
                return destroy(environment.now)
            }
            /// HDHT-58. Every verified address each round, the others only in rounds 4 and 8.
            for address in remoteAddresses where address.isVerified || round & 3 == 0 || Mutation.hyperDHT(58).isActive {
                send(socket, address.endpoint, low: false)
            }
            strategy = .consistent(round: round + 1, next: environment.now + .milliseconds(1000))
        case .randomProbes(let left, let host, _):
            guard left > 0 else { return destroy(environment.now) }
            let port = 1000 + environment.entropy.uniform(below: 64_536, for: EntropyLabel(.punchPort))
            send(socket, Endpoint(host, UInt16(truncatingIfNeeded: port)), low: false)
            let gap = Mutation.hyperDHT(61, 3).isActive ? Interval.milliseconds(5) : .milliseconds(20)
            strategy = .randomProbes(left: left - 1, host: host, next: environment.now + gap)
        case .birthday(let left, let index, let lowRounds, let target, _):
            guard left > 0 else { return destroy(environment.now) }
            var at = index
            var low = lowRounds
            if at >= sockets.count {
                at = 0
                low = max(0, low - 1)
            }
            send(sockets[at], target, low: low > 0)
            strategy = .birthday(
                left: left - 1, index: at + 1, lowRounds: low, target: target, next: environment.now + .milliseconds(20))
        }
    }

    /// A one-byte datagram on one of the sockets. HDHT-53.
    func receiveProbe(on socket: SocketID, from: Endpoint, now: Instant) {
        guard !isDestroyed, sockets.contains(socket) else { return }
        guard isInitiator else {
            if !Mutation.hyperDHT(53).isActive { send(socket, from, low: false) }
            return
        }
        guard !isConnected else { return }
        isConnected = true
        isPunching = false
        strategy = .none
        for other in sockets where other != socket { effects.append(.close(other)) }
        sockets = [socket]
        uncountRandom(now)
        effects.append(.connected(socket, from))
    }

    private var isSilent = false

    /// From now on the owner does not want to hear of an abort.
    func silence() { isSilent = true }

    /// Closes the sockets. Without a path, the owner hears `.aborted`.
    func destroy(_ now: Instant) {
        guard !isDestroyed else { return }
        isDestroyed = true
        isPunching = false
        strategy = .none
        for socket in sockets { effects.append(.close(socket)) }
        sockets = []
        for waiter in waiters { effects.append(.analysed(waiter: waiter.id, isStable: false)) }
        for waiter in reopenWaiters { effects.append(.analysed(waiter: waiter, isStable: false)) }
        waiters = []
        reopenWaiters = []
        reopens = nil
        if !isConnected {
            uncountRandom(now)
            if !isSilent { effects.append(.aborted) }
        }
    }
}
