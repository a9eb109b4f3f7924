import NetworkSimulator
import SansIO
import Testing

/// Sends `count` datagrams, one a millisecond, and remembers what it gets.
private final class Talker: SimulatedHost {
    var transmits: [Transmit] = []
    var received: [(at: Instant, from: Endpoint, payload: [UInt8])] = []
    var nextWakeUp: Instant
    var remaining: Int
    let target: Endpoint?
    let payload: [UInt8]
    var timeToLive: UInt8 = 0
    var mayFragment = false

    init(to target: Endpoint? = nil, count: Int = 0, payload: [UInt8] = [1, 2, 3]) {
        self.target = target
        self.payload = payload
        remaining = count
        nextWakeUp = count > 0 ? .zero : .distantFuture
    }

    func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        received.append((now, source, payload))
    }

    func advance(to now: Instant) {
        guard let target, remaining > 0 else { return }
        remaining -= 1
        transmits.append(
            Transmit(socket: SocketID(1), destination: target, payload: payload, timeToLive: timeToLive, dontFragment: !mayFragment))
        nextWakeUp = remaining > 0 ? now + .milliseconds(1) : .distantFuture
    }

    func takeTransmits() -> [Transmit] {
        defer { transmits = [] }
        return transmits
    }
}

private let a = IPAddress.v4(0x0a00_0001)
private let b = IPAddress.v4(0x0a00_0002)

@Test func oneSeedIsOneRun() throws {
    func run(_ seed: UInt64) throws -> [Int64] {
        let simulation = Simulation(
            seed: seed,
            link: LinkProfile(
                delay: .milliseconds(20), jitter: .milliseconds(5), loss: .burst(enter: 0.05, leave: 0.3, loss: 0.8), reordering: 0.1,
                duplication: 0.1, corruption: 0.1))
        let sender = Talker(to: Endpoint(b, 2), count: 500)
        let receiver = Talker()
        simulation.bind(simulation.addHost(sender, address: a), SocketID(1), port: 1)
        simulation.bind(simulation.addHost(receiver, address: b), SocketID(1), port: 2)
        try simulation.run(until: .zero + .seconds(10))
        #expect(simulation.statistics.sent == 500)
        #expect(simulation.statistics.dropped[.loss] ?? 0 > 10)
        return receiver.received.flatMap { [$0.at.microseconds] + $0.payload.map(Int64.init) }
    }
    #expect(try run(3) == run(3))
    #expect(try run(3) != run(4))
}

@Test func bandwidthQueuesAndTooLargeDatagrams() throws {
    let simulation = Simulation(seed: 1, link: LinkProfile(delay: .zero, bandwidth: 1_000_000, queueBytes: 5000))
    let sender = Talker(to: Endpoint(b, 2), count: 100, payload: [UInt8](repeating: 0, count: 972))
    let receiver = Talker()
    let from = simulation.addHost(sender, address: a)
    let to = simulation.addHost(receiver, address: b)
    simulation.bind(from, SocketID(1), port: 1)
    simulation.bind(to, SocketID(1), port: 2)
    try simulation.run(until: .zero + .seconds(10))
    // 1000 bytes take 8 ms at 1 Mbit/s.
    let gaps = zip(receiver.received, receiver.received.dropFirst()).map { ($1.at - $0.at).microseconds }
    #expect(gaps.allSatisfy { $0 == 8000 })
    #expect(simulation.statistics.dropped[.queueFull] ?? 0 > 50)

    simulation.setLink(from: from, to: to, LinkProfile(mtu: 576))
    simulation.send(Transmit(socket: SocketID(1), destination: Endpoint(b, 2), payload: [UInt8](repeating: 7, count: 1172)), from: from)
    #expect(simulation.statistics.dropped[.tooLarge] == 1)
    let before = receiver.received.count
    simulation.send(
        Transmit(socket: SocketID(1), destination: Endpoint(b, 2), payload: [UInt8](repeating: 7, count: 1172), dontFragment: false),
        from: from)
    try simulation.run(until: .zero + .seconds(11))
    #expect(receiver.received.count == before + 1)
}

@Test func natBoxesMapAndFilter() throws {
    let simulation = Simulation(seed: 1)
    let outsideA = IPAddress.v4(0xc633_6401)
    let outsideB = IPAddress.v4(0xc633_6402)
    let lanA = simulation.addNAT(.consistent, outside: outsideA)
    let lanB = simulation.addNAT(.random, outside: outsideB)
    let hostA = Talker()
    let hostB = Talker()
    let server = Talker()
    let idA = simulation.addHost(hostA, address: a, on: lanA)
    let idB = simulation.addHost(hostB, address: a, on: lanB)
    let idS = simulation.addHost(server, address: b)
    for (id, port) in [(idA, 5000), (idB, 5000), (idS, 6000)] { simulation.bind(id, SocketID(1), port: UInt16(port)) }
    func send(_ id: HostID, _ to: Endpoint, ttl: UInt8 = 0) throws {
        simulation.send(Transmit(socket: SocketID(1), destination: to, payload: [9], timeToLive: ttl), from: id)
        try simulation.run(until: simulation.now + .milliseconds(10))
    }
    try send(idA, Endpoint(b, 6000))
    try send(idB, Endpoint(b, 6000))
    #expect(server.received.first?.from == Endpoint(outsideA, 5000))
    let seenB = try #require(server.received.last?.from)
    #expect(seenB.address == outsideB)
    // Nobody but the server may answer.
    try send(idB, Endpoint(outsideA, 5000))
    #expect(hostA.received.isEmpty)
    try send(idS, Endpoint(outsideA, 5000))
    #expect(hostA.received.count == 1)
    // A low time to live opens A's box without reaching B's, whose mapping for the server is of no use to A.
    try send(idA, seenB, ttl: 5)
    #expect(simulation.statistics.dropped[.timeToLive] == 1)
    try send(idA, seenB)
    #expect(simulation.statistics.dropped[.filtered] == 2)
    // Behind one box, both by the inside address; by the outside one only with hairpin.
    let second = Talker()
    let idC = simulation.addHost(second, address: b, on: lanA)
    simulation.bind(idC, SocketID(1), port: 7000)
    try send(idC, Endpoint(a, 5000))
    #expect(hostA.received.last?.from == Endpoint(b, 7000))
    try send(idC, Endpoint(outsideA, 5000))
    #expect(simulation.statistics.dropped[.noHairpin] == 1)
}

@Test func aHostThatNeverRestsIsALivelock() throws {
    final class Restless: SimulatedHost {
        var nextWakeUp = Instant.zero
        func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {}
        func advance(to now: Instant) {}
        func takeTransmits() -> [Transmit] { [] }
    }
    let simulation = Simulation(seed: 1)
    simulation.addHost(Restless(), address: a)
    #expect(throws: SimulationError.self) { try simulation.run(until: .zero + .seconds(1)) }
}

@Test func aSocketThatIsOpenedAgainIsHeardAtItsNewPortOnly() throws {
    let simulation = Simulation(seed: 1)
    let place = IPAddress.v4(0x0102_0304)
    let listener = Talker()
    let host = simulation.addHost(listener, address: place)
    for port: UInt16 in [1000, 2000] { simulation.bind(host, SocketID(1), port: port) }
    for (number, port) in [1000, 2000].enumerated() {
        let talker = Talker(to: Endpoint(place, UInt16(port)), count: 1, payload: [UInt8(number)])
        simulation.bind(simulation.addHost(talker, address: .v4(0x0506_0700 + UInt32(number))), SocketID(1))
    }
    try simulation.run(until: .zero + .seconds(1))
    #expect(listener.received.map(\.payload) == [[1]])
    #expect(simulation.statistics.dropped == [.noListener: 1])
}
