import CompactEncoding
import HyperCrypto
import NetworkSimulator
import SansIO

/// Many swarms on one topic for a long time, with churn: a third of them crashes and comes back under the same key, a sixth sleeps for a while.
public struct SwarmScale: Sendable {
    public var swarms = 200
    public var nodes = 30
    public var maxPeers = 64
    public var minutes = 60
    public var seed: UInt64 = 1

    public init() {}

    public struct Report: Hashable, Sendable {
        public var swarms = 0
        public var datagrams = 0
        /// Open connections of each swarm, fewest first.
        public var connections: [Int] = []
        /// Peers of a swarm to which it has more than one open connection; and those that have none to it. Both over all swarms.
        public var doubled = 0
        public var oneSided = 0
        /// Groups of swarms that reach each other through connections; 1 when nobody is left out.
        public var islands = 0
        /// Connections that nodes hold beyond those of their swarms: what leaks.
        public var leaked = 0
        public var dialling = 0
        /// Over every datagram's time, addresses and bytes: the same seed gives the same digest.
        public var digest = ""

        public var isSound: Bool { doubled == 0 && oneSided == 0 && islands == 1 && leaked == 0 }
    }

    public func run() throws -> Report {
        let world = try SwarmWorld(seed: seed, nodes: nodes, link: LinkProfile(delay: .milliseconds(25), jitter: .milliseconds(10)))
        let topic = Blake2b.hash256(Array("scale".utf8))
        var report = Report()
        var digest = UInt64(0xcbf2_9ce4_8422_2325)
        func mix(_ value: UInt64) { digest = (digest ^ value) &* 0x0000_0100_0000_01b3 }
        world.simulation.tap = { packet in
            report.datagrams += 1
            mix(UInt64(bitPattern: packet.time.microseconds))
            for place in [packet.source, packet.destination] {
                mix(UInt64(place.port))
                for octet in place.address.octets { mix(UInt64(octet)) }
            }
            for byte in packet.payload { mix(UInt64(byte)) }
        }
        func key(_ number: Int) -> [UInt8] { Blake2b.hash256([UInt8(number & 255), UInt8(number >> 8)]).bytes }
        func start(_ number: Int) throws -> SimulatedSwarm {
            let swarm = world.startSwarm(key(number), keepAlive: .seconds(30)) { $0.maxPeers = maxPeers }
            try world.run(for: .milliseconds(300))
            try world.tell(swarm) { machine, now in try machine.join(topic.bytes, now: now) }
            return swarm
        }
        let end = Interval.seconds(Int64(minutes) * 60)
        let begin = world.simulation.now
        var alive: [SimulatedSwarm] = []
        for number in 0..<swarms { alive.append(try start(number)) }
        try world.run(for: .seconds(min(300, Int64(minutes) * 10)))
        for number in stride(from: 0, to: swarms, by: 3) { world.crash(alive[number]) }
        try world.run(for: .seconds(60))
        for number in stride(from: 0, to: swarms, by: 3) { alive[number] = try start(number) }
        try world.run(for: .seconds(min(300, Int64(minutes) * 10)))
        let sleepers = stride(from: 1, to: swarms, by: 6).map { alive[$0] }
        for swarm in sleepers { world.tell(swarm) { machine, now in machine.suspend(now: now) } }
        try world.run(for: .seconds(90))
        for swarm in sleepers {
            world.tell(swarm) { machine, now in machine.resume(now: now) }
            try world.run(for: .milliseconds(300))
        }
        // At least two minutes after the last change, so that everybody has been found again.
        let finish = max(begin + end, world.simulation.now + .seconds(120))
        try world.simulation.run(until: finish)
        judge(alive, &report)
        report.digest = String(digest, radix: 16)
        return report
    }

    private func judge(_ swarms: [SimulatedSwarm], _ report: inout Report) {
        report.swarms = swarms.count
        let byKey = Dictionary(uniqueKeysWithValues: swarms.enumerated().map { ($0.element.publicKey, $0.offset) })
        var group = Array(swarms.indices)
        func root(_ index: Int) -> Int {
            var index = index
            while group[index] != index { index = group[index] }
            return index
        }
        for (index, swarm) in swarms.enumerated() {
            report.connections.append(swarm.connections.count)
            for (key, open) in swarm.connections {
                if open.count > 1 { report.doubled += 1 }
                guard let other = byKey[key] else { continue }
                if swarms[other].connections[swarm.publicKey] == nil { report.oneSided += 1 }
                group[root(index)] = root(other)
            }
            let machine = swarm.swarm?.machine
            let held = swarm.connections.values.reduce(0) { $0 + $1.count } + (machine?.connecting ?? 0)
            report.leaked += max(0, swarm.node.connectionCount - held)
            report.dialling += machine?.connecting ?? 0
        }
        report.islands = Set(swarms.indices.map(root)).count
        report.connections.sort()
    }
}
