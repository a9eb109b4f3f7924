import SansIO

/// Many machines, one virtual clock, a network between them. The clock jumps to the next event; one seed gives one run, byte for byte.
///
///     let simulation = Simulation(seed: 7, link: LinkProfile(delay: .milliseconds(20), loss: .random(0.01)))
///     let a = simulation.addHost(machineA, address: IPAddress("10.0.0.1")!)
///     simulation.bind(a, SocketID(1), port: 49737)
///     ...
///     try simulation.run(until: .zero + .seconds(60)) { finished }
public final class Simulation {
    @exclusivity(unchecked) public private(set) var now = Instant.zero
    public let seed: UInt64
    public let entropy: SeededEntropy
    /// Links that were not set otherwise.
    @exclusivity(unchecked) public var defaultLink: LinkProfile
    /// Decides a link's profile when its first packet leaves; nil takes `defaultLink`. Must be a pure function of the hosts.
    @exclusivity(unchecked) public var chooseLink: ((HostID, HostID) -> LinkProfile?)?
    /// Routers that a datagram passes between two hosts of the internet: what a low time to live dies of.
    public var coreHops = 8
    /// Sees every datagram as it enters the network.
    @exclusivity(unchecked) public var tap: ((SimulatedPacket) -> Void)?
    @exclusivity(unchecked) public private(set) var statistics = Statistics()
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

    private final class Station {
        let machine: any SimulatedHost
        let addresses: [IPAddress]
        let segment: SegmentID
        /// Few: searched in order.
        @exclusivity(unchecked) var sockets: [(id: SocketID, port: UInt16)] = []
        @exclusivity(unchecked) var nextPort: UInt16 = 49152
        /// Never later than the machine's own `nextWakeUp` after a touch.
        @exclusivity(unchecked) var scheduledWake = Instant.distantFuture
        @exclusivity(unchecked) var lastWake = Instant.distantFuture
        @exclusivity(unchecked) var wakesAtNow = 0
        @exclusivity(unchecked) var isUp = true

        init(_ machine: any SimulatedHost, _ addresses: [IPAddress], _ segment: SegmentID) {
            self.machine = machine
            self.addresses = addresses
            self.segment = segment
        }

        func port(_ socket: SocketID) -> UInt16? {
            for entry in sockets where entry.id == socket { return entry.port }
            return nil
        }
    }

    /// A datagram under way.
    private struct Flight {
        var host: Int32
        var socket: SocketID
        var source: Endpoint
        var payload: [UInt8]
    }

    /// What a ticket of the event queue stands for: two bits, then a number.
    private enum Ticket {
        static let arrival: UInt32 = 0
        /// Stands for the host's next wake-up only while the host's `scheduledWake` still says this time.
        static let wake: UInt32 = 1
        static let action: UInt32 = 2
        static let bits: UInt32 = 30
    }

    private struct Place: Hashable {
        let segment: SegmentID
        let endpoint: Endpoint
    }

    /// A link that remembers its packets.
    private final class Wire {
        @exclusivity(unchecked) var link: Link
        init(_ link: Link) { self.link = link }
    }

    @exclusivity(unchecked) private var hosts: [Station] = []
    @exclusivity(unchecked) private var listeners: [UInt64: (HostID, SocketID)] = [:]
    private var listenersElsewhere: [Place: (HostID, SocketID)] = [:]
    private var natBoxes: [NATBox] = []
    private var natByInside: [SegmentID: Int] = [:]
    private var natByOutside: [IPAddress: [Int]] = [:]
    /// By both hosts' numbers.
    @exclusivity(unchecked) private var wires: [UInt64: Wire] = [:]
    @exclusivity(unchecked) private var queue = EventQueue()
    @exclusivity(unchecked) private var flights: [Flight] = []
    @exclusivity(unchecked) private var freeFlights: [UInt32] = []
    private var actions: [UInt32: (Simulation) -> Void] = [:]
    private var lastAction: UInt32 = 0
    @exclusivity(unchecked) private var touchesAtNow = 0
    @exclusivity(unchecked) private var failure: SimulationError?

    public init(seed: UInt64, link: LinkProfile = LinkProfile()) {
        self.seed = seed
        entropy = SeededEntropy(seed: seed)
        defaultLink = link
    }

    // MARK: Building

    /// Hosts may share an address as long as their ports differ.
    @discardableResult
    public func addHost(_ machine: any SimulatedHost, addresses: [IPAddress], on segment: SegmentID = .internet) -> HostID {
        hosts.append(Station(machine, addresses, segment))
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

    /// Opens a socket for a host, in place of one of that id; port 0 takes any free one. Returns its local address, or nil if the port is taken.
    @discardableResult
    public func bind(_ id: HostID, _ socket: SocketID, port: UInt16 = 0) -> Endpoint? {
        let host = hosts[id.number]
        var chosen = port
        for _ in 0..<16_384 where port == 0 {
            chosen = host.nextPort
            host.nextPort = chosen == .max ? 49152 : chosen + 1
            if isFree(host, chosen) { break }
        }
        guard isFree(host, chosen), let address = host.addresses.first else { return nil }
        close(id, socket)
        host.sockets.append((socket, chosen))
        for address in host.addresses { setListener(Place(segment: host.segment, endpoint: Endpoint(address, chosen)), (id, socket)) }
        return Endpoint(address, chosen)
    }

    private func isFree(_ host: Station, _ port: UInt16) -> Bool {
        host.addresses.allSatisfy { listener(Place(segment: host.segment, endpoint: Endpoint($0, port))) == nil }
    }

    public func close(_ id: HostID, _ socket: SocketID) {
        let host = hosts[id.number]
        guard let port = host.port(socket) else { return }
        host.sockets.removeAll { $0.id == socket }
        for address in host.addresses { setListener(Place(segment: host.segment, endpoint: Endpoint(address, port)), nil) }
    }

    /// One word for an IPv4 place on one of the first 65 536 segments.
    private func key(_ place: Place) -> UInt64? {
        guard case .v4(let address) = place.endpoint.address, place.segment.number <= 0xffff else { return nil }
        return UInt64(place.segment.number) << 48 | UInt64(address) << 16 | UInt64(place.endpoint.port)
    }

    private func listener(_ place: Place) -> (HostID, SocketID)? {
        if let key = key(place) { listeners[key] } else { listenersElsewhere[place] }
    }

    private func setListener(_ place: Place, _ listener: (HostID, SocketID)?) {
        if let key = key(place) { listeners[key] = listener } else { listenersElsewhere[place] = listener }
    }

    /// A host that is down neither receives, wakes nor sends: a crash, or a network that went away.
    public func setUp(_ id: HostID, _ isUp: Bool) {
        hosts[id.number].isUp = isUp
        if isUp { touch(id) }
    }

    /// Sets one direction's profile, now and for packets to come; what is under way arrives as it was sent.
    public func setLink(from: HostID, to: HostID, _ profile: LinkProfile) {
        let pair = Simulation.pair(from, to)
        if let wire = wires[pair] { wire.link.profile = profile } else { wires[pair] = Wire(Link(profile)) }
    }

    private static func pair(_ from: HostID, _ to: HostID) -> UInt64 {
        UInt64(UInt32(truncatingIfNeeded: from.number)) << 32 | UInt64(UInt32(truncatingIfNeeded: to.number))
    }

    public func localEndpoint(_ id: HostID, _ socket: SocketID) -> Endpoint? {
        guard let port = hosts[id.number].port(socket), let address = hosts[id.number].addresses.first else { return nil }
        return Endpoint(address, port)
    }

    /// Mappings that the box of this segment holds.
    public func mappingCount(behind segment: SegmentID) -> Int { natByInside[segment].map { natBoxes[$0].mappingCount } ?? 0 }

    // MARK: Running

    /// Runs an action at a time. An action that gives a machine a command calls `touch` afterwards.
    public func schedule(at time: Instant, _ action: @escaping (Simulation) -> Void) {
        lastAction = (lastAction + 1) & (1 << Ticket.bits - 1)
        actions[lastAction] = action
        queue.push(Ticket.action << Ticket.bits | lastAction, at: max(time, now))
    }

    /// Takes a host's effects after a command, and learns its next wake-up.
    public func touch(_ id: HostID) {
        let host = hosts[id.number]
        guard host.isUp else { return }
        touchesAtNow += 1
        if touchesAtNow > livelockLimit, failure == nil { failure = SimulationError(kind: .livelock, host: id, at: now, seed: seed) }
        let machine = host.machine
        for request in machine.takeSocketRequests() {
            switch request {
            case .open(let socket, let port):
                if let local = bind(id, socket, port: port) { machine.socketOpened(socket, local: local, now: now) }
            case .close(let socket): close(id, socket)
            }
        }
        for transmit in machine.takeTransmits() { send(transmit, from: id) }
        let wake = machine.nextWakeUp
        if wake < host.scheduledWake, wake != .distantFuture {
            host.scheduledWake = max(wake, now)
            queue.push(Ticket.wake << Ticket.bits | UInt32(truncatingIfNeeded: id.number), at: host.scheduledWake)
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
            guard let next = queue.pop(upTo: limit) else {
                if limit != .distantFuture { moveClock(to: limit) }
                return finished()
            }
            moveClock(to: next.at)
            handle(next)
        }
    }

    private func moveClock(to time: Instant) {
        if time > now {
            now = time
            touchesAtNow = 0
        }
    }

    private func handle(_ event: EventQueue.Entry) {
        let number = event.ticket & (1 << Ticket.bits - 1)
        switch event.ticket >> Ticket.bits {
        case Ticket.action: actions.removeValue(forKey: number)?(self)
        case Ticket.wake: wake(HostID(number: Int(number)), event.at)
        default: arrive(number)
        }
    }

    private func wake(_ id: HostID, _ time: Instant) {
        let host = hosts[id.number]
        guard host.scheduledWake == time else { return }
        host.scheduledWake = .distantFuture
        host.wakesAtNow = host.lastWake == now ? host.wakesAtNow + 1 : 1
        host.lastWake = now
        if host.wakesAtNow > wakeLimit, failure == nil {
            failure = SimulationError(kind: .livelock, host: id, at: now, seed: seed)
        }
        guard host.isUp else { return }
        // The wake-up may have moved since it was queued.
        if host.machine.nextWakeUp <= now { host.machine.advance(to: now) }
        touch(id)
    }

    private func arrive(_ number: UInt32) {
        let flight = flights[Int(number)]
        flights[Int(number)].payload = []
        freeFlights.append(number)
        let id = HostID(number: Int(flight.host))
        let host = hosts[id.number]
        guard host.isUp, host.port(flight.socket) != nil else { return drop(.noListener) }
        statistics.delivered += 1
        statistics.bytesDelivered += flight.payload.count
        if host.scheduledWake <= now, host.machine.nextWakeUp <= now { host.machine.advance(to: now) }
        host.machine.receive(flight.payload, from: flight.source, on: flight.socket, now: now)
        touch(id)
    }

    private func take(_ flight: Flight) -> UInt32 {
        if let number = freeFlights.popLast() {
            flights[Int(number)] = flight
            return number
        }
        flights.append(flight)
        return UInt32(truncatingIfNeeded: flights.count - 1)
    }

    // MARK: The network

    private func drop(_ reason: DropReason) { statistics.dropped[reason, default: 0] += 1 }

    /// Puts a datagram of a host on the network, as its own socket would.
    public func send(_ transmit: Transmit, from id: HostID) {
        statistics.sent += 1
        let host = hosts[id.number]
        let family = transmit.destination.address.isIPv4
        guard let port = host.port(transmit.socket), let address = host.addresses.first(where: { $0.isIPv4 == family }) else {
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
        let pair = Simulation.pair(id, target)
        let outcome: Link.Outcome
        if let wire = wires.isEmpty ? nil : wires[pair] {
            outcome = pass(&packet, &wire.link, pair)
        } else {
            var link = Link(chooseLink?(id, target) ?? defaultLink)
            outcome = pass(&packet, &link, pair)
            // A large network has millions of pairs: only those that remember something are kept.
            if link.profile.hasMemory { wires[pair] = Wire(link) }
        }
        switch outcome {
        case .arrive(let at, let payload, let copyAt):
            let flight = Flight(
                host: Int32(truncatingIfNeeded: target.number), socket: socket, source: packet.deliveredSource, payload: payload)
            queue.push(take(flight), at: max(at, now))
            if let copyAt { queue.push(take(flight), at: max(copyAt, now)) }
        case .drop(let reason): packet.fate = .dropped(reason)
        }
        finish(packet)
    }

    private func pass(_ packet: inout SimulatedPacket, _ link: inout Link, _ pair: UInt64) -> Link.Outcome {
        link.send(packet.payload, packet.destination, mayFragment: !packet.dontFragment, now: now, entropy: entropy, context: pair)
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
            if let (host, socket) = listener(Place(segment: segment, endpoint: destination)) {
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
