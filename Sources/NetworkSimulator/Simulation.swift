import SansIO

/// Many machines, one virtual clock, a network between them. The clock jumps to the next event; one seed gives one run, byte for byte.
///
///     let simulation = Simulation(seed: 7, link: LinkProfile(delay: .milliseconds(20), loss: .random(0.01)))
///     let a = simulation.addHost(machineA, address: IPAddress("10.0.0.1")!)
///     simulation.bind(a, SocketID(1), port: 49737)
///     ...
///     try simulation.run(until: .zero + .seconds(60)) { finished }
public final class Simulation {
    public private(set) var now = Instant.zero
    public let seed: UInt64
    public let entropy: SeededEntropy
    /// Links that were not set otherwise.
    public var defaultLink: LinkProfile
    /// Decides a link's profile when its first packet leaves; nil takes `defaultLink`. Must be a pure function of the hosts.
    public var chooseLink: ((HostID, HostID) -> LinkProfile?)?
    /// Routers that a datagram passes between two hosts of the internet: what a low time to live dies of.
    public var coreHops = 8
    /// Sees every datagram as it enters the network.
    public var tap: ((SimulatedPacket) -> Void)?
    public private(set) var statistics = Statistics()
    /// Touches of hosts at one instant before the run is called a livelock.
    public var livelockLimit = 1_000_000
    /// Wake-ups of one host at one instant before the run is called a livelock.
    public var wakeLimit = 10_000

    public struct Statistics: Hashable, Sendable {
        public var sent = 0
        public var delivered = 0
        public var bytesDelivered = 0
        public var dropped: [DropReason: Int] = [:]
        /// Drops in a fixed order, for reports.
        public var droppedSorted: [(reason: DropReason, count: Int)] { dropped.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    private struct Host {
        let machine: any SimulatedHost
        let addresses: [IPAddress]
        let segment: SegmentID
        var sockets: [SocketID: UInt16] = [:]
        var nextPort: UInt16 = 49152
        var scheduledWake = Instant.distantFuture
        var lastWake = Instant.distantFuture
        var wakesAtNow = 0
        var isUp = true
    }

    private enum Event {
        case arrival(HostID, SocketID, Endpoint, [UInt8])
        /// Stands for the host's next wake-up only while the host's `scheduledWake` still says this time.
        case wake(HostID, Instant)
        case action((Simulation) -> Void)
    }

    private struct Place: Hashable {
        let segment: SegmentID
        let endpoint: Endpoint
    }

    private struct Pair: Hashable {
        let from: Int
        let to: Int
    }

    private var hosts: [Host] = []
    private var listeners: [Place: (HostID, SocketID)] = [:]
    private var natBoxes: [NATBox] = []
    private var natByInside: [SegmentID: Int] = [:]
    private var natByOutside: [IPAddress: [Int]] = [:]
    private var links: [Pair: Link] = [:]
    private var queue = EventQueue<Event>()
    private var touchesAtNow = 0
    private var failure: SimulationError?

    public init(seed: UInt64, link: LinkProfile = LinkProfile()) {
        self.seed = seed
        entropy = SeededEntropy(seed: seed)
        defaultLink = link
    }

    // MARK: Building

    /// Hosts may share an address as long as their ports differ.
    @discardableResult
    public func addHost(_ machine: any SimulatedHost, addresses: [IPAddress], on segment: SegmentID = .internet) -> HostID {
        hosts.append(Host(machine: machine, addresses: addresses, segment: segment))
        return HostID(number: hosts.count - 1)
    }

    @discardableResult
    public func addHost(_ machine: any SimulatedHost, address: IPAddress, on segment: SegmentID = .internet) -> HostID {
        addHost(machine, addresses: [address], on: segment)
    }

    /// A NAT box with one outside address on `parent`; returns the segment behind it. Boxes can stand behind boxes.
    public func addNAT(_ behaviour: NATBehaviour, outside: IPAddress, on parent: SegmentID = .internet) -> SegmentID {
        let inside = SegmentID(number: natBoxes.count + 1)
        natBoxes.append(NATBox(behaviour, outside: outside, parent: parent, inside: inside))
        natByInside[inside] = natBoxes.count - 1
        natByOutside[outside, default: []].append(natBoxes.count - 1)
        return inside
    }

    /// Opens a socket for a host; port 0 takes any free one. Returns its local address, or nil if the port is taken.
    @discardableResult
    public func bind(_ id: HostID, _ socket: SocketID, port: UInt16 = 0) -> Endpoint? {
        var chosen = port
        for _ in 0..<16_384 where port == 0 {
            chosen = hosts[id.number].nextPort
            hosts[id.number].nextPort = chosen == .max ? 49152 : chosen + 1
            if isFree(id, chosen) { break }
        }
        guard isFree(id, chosen), let address = hosts[id.number].addresses.first else { return nil }
        hosts[id.number].sockets[socket] = chosen
        for address in hosts[id.number].addresses {
            listeners[Place(segment: hosts[id.number].segment, endpoint: Endpoint(address, chosen))] = (id, socket)
        }
        return Endpoint(address, chosen)
    }

    private func isFree(_ id: HostID, _ port: UInt16) -> Bool {
        let host = hosts[id.number]
        return host.addresses.allSatisfy { listeners[Place(segment: host.segment, endpoint: Endpoint($0, port))] == nil }
    }

    public func close(_ id: HostID, _ socket: SocketID) {
        guard let port = hosts[id.number].sockets.removeValue(forKey: socket) else { return }
        for address in hosts[id.number].addresses {
            listeners[Place(segment: hosts[id.number].segment, endpoint: Endpoint(address, port))] = nil
        }
    }

    /// A host that is down neither receives, wakes nor sends: a crash, or a network that went away.
    public func setUp(_ id: HostID, _ isUp: Bool) {
        hosts[id.number].isUp = isUp
        if isUp { touch(id) }
    }

    /// Sets one direction's profile, now and for packets to come; what is under way arrives as it was sent.
    public func setLink(from: HostID, to: HostID, _ profile: LinkProfile) {
        let pair = Pair(from: from.number, to: to.number)
        if links[pair] == nil { links[pair] = Link(profile) } else { links[pair]?.profile = profile }
    }

    public func localEndpoint(_ id: HostID, _ socket: SocketID) -> Endpoint? {
        guard let port = hosts[id.number].sockets[socket], let address = hosts[id.number].addresses.first else { return nil }
        return Endpoint(address, port)
    }

    /// Mappings that the box of this segment holds.
    public func mappingCount(behind segment: SegmentID) -> Int { natByInside[segment].map { natBoxes[$0].mappingCount } ?? 0 }

    // MARK: Running

    /// Runs an action at a time. An action that gives a machine a command calls `touch` afterwards.
    public func schedule(at time: Instant, _ action: @escaping (Simulation) -> Void) { queue.push(.action(action), at: max(time, now)) }

    /// Takes a host's effects after a command, and learns its next wake-up.
    public func touch(_ id: HostID) {
        guard hosts[id.number].isUp else { return }
        touchesAtNow += 1
        if touchesAtNow > livelockLimit, failure == nil { failure = SimulationError(kind: .livelock, host: id, at: now, seed: seed) }
        let machine = hosts[id.number].machine
        for request in machine.takeSocketRequests() {
            switch request {
            case .open(let socket, let port):
                if let local = bind(id, socket, port: port) { machine.socketOpened(socket, local: local, now: now) }
            case .close(let socket): close(id, socket)
            }
        }
        for transmit in machine.takeTransmits() { send(transmit, from: id) }
        let wake = machine.nextWakeUp
        if wake < hosts[id.number].scheduledWake, wake != .distantFuture {
            hosts[id.number].scheduledWake = max(wake, now)
            queue.push(.wake(id, max(wake, now)), at: max(wake, now))
        }
    }

    /// Runs until `finished` says so (checked after every event) or the clock would pass `limit`; then the clock stands at `limit`.
    /// Returns whether `finished` was reached. Throws when the hosts go on at one instant for ever.
    @discardableResult
    public func run(until limit: Instant, _ finished: () -> Bool = { false }) throws(SimulationError) -> Bool {
        if now == .zero, touchesAtNow == 0 { for number in hosts.indices { touch(HostID(number: number)) } }
        while true {
            if finished() { return true }
            if let failure { throw failure }
            guard queue.nextTime <= limit, let next = queue.pop() else {
                if limit != .distantFuture { moveClock(to: limit) }
                return finished()
            }
            moveClock(to: next.at)
            handle(next.element)
        }
    }

    private func moveClock(to time: Instant) {
        if time > now {
            now = time
            touchesAtNow = 0
        }
    }

    private func handle(_ event: Event) {
        switch event {
        case .action(let action): action(self)
        case .wake(let id, let time):
            guard hosts[id.number].scheduledWake == time else { return }
            hosts[id.number].scheduledWake = .distantFuture
            hosts[id.number].wakesAtNow = hosts[id.number].lastWake == now ? hosts[id.number].wakesAtNow + 1 : 1
            hosts[id.number].lastWake = now
            if hosts[id.number].wakesAtNow > wakeLimit, failure == nil {
                failure = SimulationError(kind: .livelock, host: id, at: now, seed: seed)
            }
            guard hosts[id.number].isUp else { return }
            let machine = hosts[id.number].machine
            // The wake-up may have moved since it was queued.
            if machine.nextWakeUp <= now { machine.advance(to: now) }
            touch(id)
        case .arrival(let id, let socket, let source, let payload):
            guard hosts[id.number].isUp, hosts[id.number].sockets[socket] != nil else { return drop(.noListener) }
            statistics.delivered += 1
            statistics.bytesDelivered += payload.count
            let machine = hosts[id.number].machine
            if machine.nextWakeUp <= now { machine.advance(to: now) }
            machine.receive(payload, from: source, on: socket, now: now)
            touch(id)
        }
    }

    // MARK: The network

    private func drop(_ reason: DropReason) { statistics.dropped[reason, default: 0] += 1 }

    /// Puts a datagram of a host on the network, as its own socket would.
    public func send(_ transmit: Transmit, from id: HostID) {
        statistics.sent += 1
        let host = hosts[id.number]
        let family = transmit.destination.address.isIPv4
        guard let port = host.sockets[transmit.socket], let address = host.addresses.first(where: { $0.isIPv4 == family }) else {
            return drop(.noRoute)
        }
        var packet = SimulatedPacket(
            time: now, source: Endpoint(address, port), destination: transmit.destination, payload: transmit.payload,
            timeToLive: transmit.timeToLive == 0 ? 64 : transmit.timeToLive, dontFragment: transmit.dontFragment)
        let route = self.route(&packet, from: host.segment)
        guard case .deliver(let target, let socket) = route else {
            if case .drop(let reason) = route { packet.fate = .dropped(reason) }
            return finish(packet)
        }
        let pair = Pair(from: id.number, to: target.number)
        let context = UInt64(UInt32(truncatingIfNeeded: id.number)) << 32 | UInt64(UInt32(truncatingIfNeeded: target.number))
        var link = links[pair] ?? Link(chooseLink?(id, target) ?? defaultLink)
        let outcome = link.send(
            packet.payload, packet.destination, mayFragment: !packet.dontFragment, now: now, entropy: entropy, context: context)
        // A large network has millions of pairs: only those that remember something are kept.
        if link.profile.hasMemory || links[pair] != nil { links[pair] = link }
        switch outcome {
        case .arrive(let arrivals):
            for arrival in arrivals { queue.push(.arrival(target, socket, packet.deliveredSource, arrival.payload), at: arrival.at) }
        case .drop(let reason): packet.fate = .dropped(reason)
        }
        finish(packet)
    }

    private func finish(_ packet: SimulatedPacket) {
        if case .dropped(let reason) = packet.fate { drop(reason) }
        tap?(packet)
    }

    private enum Route {
        case deliver(HostID, SocketID)
        case drop(DropReason)
    }

    /// Climbs out of NAT boxes until the destination is on the segment, then down into the boxes that the destination names.
    private func route(_ packet: inout SimulatedPacket, from start: SegmentID) -> Route {
        guard packet.destination.port != 0 else { return .drop(.invalidDestination) }
        var segment = start
        var source = packet.source
        var destination = packet.destination
        for _ in 0..<32 {
            if let (host, socket) = listeners[Place(segment: segment, endpoint: destination)] {
                if segment == .internet, source.address != destination.address, hops(packet) { return .drop(.timeToLive) }
                packet.deliveredSource = source
                return .deliver(host, socket)
            }
            if let box = (natByOutside[destination.address] ?? []).first(where: { natBoxes[$0].parent == segment }) {
                if source.address == destination.address, !natBoxes[box].behaviour.hairpin { return .drop(.noHairpin) }
                if segment == .internet, source.address != destination.address, hops(packet) { return .drop(.timeToLive) }
                switch natBoxes[box].translateIncoming(to: destination.port, from: source, now: now) {
                case .drop(let reason): return .drop(reason)
                case .deliver(let inside):
                    destination = inside
                    segment = natBoxes[box].inside
                    continue
                }
            }
            guard let box = natByInside[segment] else { return .drop(.noListener) }
            guard packet.timeToLive > 1 else { return .drop(.timeToLive) }
            packet.timeToLive -= 1
            guard let translated = natBoxes[box].translateOutgoing(source, to: destination, now: now, entropy: entropy) else {
                return .drop(.noMapping)
            }
            source = translated
            packet.publicSource = translated
            segment = natBoxes[box].parent
        }
        return .drop(.noRoute)
    }

    /// Whether the datagram dies among the routers of the internet.
    private func hops(_ packet: SimulatedPacket) -> Bool { Int(packet.timeToLive) <= coreHops }
}
