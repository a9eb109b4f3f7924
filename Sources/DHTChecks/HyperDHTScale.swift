import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import NetworkSimulator
import SansIO

/// A large network in the simulator: do announces and lookups work, what do they cost, and do they survive when nodes vanish.
public enum HyperDHTScale {
    public struct Report: Sendable {
        public var nodes = 0
        /// Nodes that became persistent.
        public var persistent = 0
        public var announces = 0
        public var lookups = 0
        /// Lookups that returned the record.
        public var found = 0
        /// Lookups whose twenty closest repliers hold at least nineteen of the true ones.
        public var accurate = 0
        /// Requests that one lookup sent, on average and at most.
        public var packetsPerLookup = 0.0
        public var mostPackets = 0
        public var millisecondsPerLookup = 0.0
        /// After a fifth of the nodes vanished.
        public var foundAfterLoss = 0
        public var lookupsAfterLoss = 0
        /// Everything that was sent, and a digest of what the lookups saw: the same for the same seed.
        public var datagrams = 0
        public var digest = ""
    }

    /// - Parameters:
    ///   - nodes: they join spread over `joining`, one after the other, and want to be persistent.
    ///   - announces: so many topics are announced, each by a node of its own, and looked up by another.
    ///   - loss: whether a fifth of the nodes vanishes at the end.
    public static func run(
        nodes count: Int, announces: Int, seed: UInt64, joining: Interval = .seconds(600), loss: Bool = true
    ) throws -> Report {
        let network = Network(count: count, seed: seed)
        try network.join(over: joining)
        var report = Report()
        report.nodes = count
        report.persistent = network.persistent.count
        var digest: [UInt8] = []
        let truth = network.persistent.map { (NodeID.of($0), $0) }
        report.announces = announces
        var topics: [Bytes32] = []
        for number in 0..<announces {
            let topic = Blake2b.hash256(Array("topic \(number)".utf8))
            topics.append(topic)
            try network.announce(topic, by: network.draw())
        }
        for topic in topics {
            guard let lookup = try network.lookup(topic, by: network.draw()) else { continue }
            report.lookups += 1
            if lookup.found > 0 { report.found += 1 }
            // A node does not ask itself.
            let closest = truth.filter { $0.1 != lookup.by }.map { ($0.0 ^ topic, $0.1) }.min(count: 20)
            if lookup.closest.filter({ closest.contains($0) }).count >= min(19, closest.count) { report.accurate += 1 }
            report.packetsPerLookup += Double(lookup.packets) / Double(max(1, announces))
            report.mostPackets = max(report.mostPackets, lookup.packets)
            report.millisecondsPerLookup += Double(lookup.milliseconds) / Double(max(1, announces))
            digest = Blake2b.digest(32, [digest, Array("\(lookup)".utf8)], key: [])
        }
        if loss {
            network.removeFifth()
            for topic in topics.prefix(max(1, announces / 10)) {
                guard let lookup = try network.lookup(topic, by: network.draw()) else { continue }
                report.lookupsAfterLoss += 1
                if lookup.found > 0 { report.foundAfterLoss += 1 }
            }
        }
        report.datagrams = network.simulation.statistics.sent
        report.digest = Hex.encode(digest)
        return report
    }

    struct Lookup {
        var by: Endpoint
        var found: Int
        var closest: [Endpoint]
        var packets: Int
        var milliseconds: Int64
    }

    /// A node that keeps of its events only what an operation ends with.
    private final class Host: SimulatedHost {
        let node: HyperDHTNode
        let address: Endpoint
        var id: HostID?
        var isUp = true
        var results: [OperationID: OperationResult] = [:]
        var records: [OperationID: Int] = [:]
        private var requests: [SocketRequest] = []

        init(_ config: HyperDHTConfig, _ entropy: any Entropy, _ address: Endpoint, _ now: Instant) {
            node = HyperDHTNode(config: config, entropy: entropy, at: now)
            self.address = address
            node.start()
            drain()
        }

        private func drain() {
            for event in node.takeEvents() {
                switch event {
                case .bind: requests += [.open(SocketID(1), port: address.port), .open(SocketID(2), port: 0)]
                case .finished(let id, let result): results[id] = result
                case .reply(let id, let reply):
                    if case .peers(let peers, _) = reply.content { records[id, default: 0] += peers.count }
                default: break
                }
            }
        }

        func socketOpened(_ socket: SocketID, local: Endpoint, now: Instant) {
            guard socket == SocketID(2) else { return }
            node.advance(to: now)
            node.bound(NodeSockets(server: SocketID(1), serverPort: address.port, client: SocketID(2), clientPort: local.port))
            drain()
        }

        func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
            node.receive(payload, from: source, on: socket, now: now)
            drain()
        }

        func advance(to now: Instant) {
            node.advance(to: now)
            drain()
        }

        var nextWakeUp: Instant { node.nextWakeUp }
        func takeTransmits() -> [Transmit] { node.takeTransmits() }
        func takeSocketRequests() -> [SocketRequest] {
            drain()
            defer { requests = [] }
            return requests
        }
    }

    private final class Network {
        let simulation: Simulation
        private var hosts: [Host] = []
        private let count: Int
        private let seed: UInt64
        private let entropy: SeededEntropy

        init(count: Int, seed: UInt64) {
            self.count = count
            self.seed = seed
            entropy = SeededEntropy(seed: seed)
            simulation = Simulation(seed: seed)
            // Round trips of 10 to 200 ms, the same for a pair both ways.
            simulation.chooseLink = { a, b in
                let pair = UInt64(min(a.number, b.number)) << 32 | UInt64(max(a.number, b.number))
                let mixed = (pair &* 0x9e37_79b9_7f4a_7c15) >> 40
                return LinkProfile(delay: .microseconds(5000 + Int64(mixed % 95_000)))
            }
        }

        private static func endpoint(_ number: Int) -> Endpoint { Endpoint(.v4(0x2d00_0001 + UInt32(number)), 49737) }

        private func add(_ number: Int) {
            let address = Network.endpoint(number)
            var config = number == 0 ? HyperDHTConfig.bootstrapper(address) : HyperDHTConfig()
            if number > 0 {
                config.rpc.bootstrap = [BootstrapEntry(Network.endpoint(0))]
                config.rpc.persistence = .atStart
            }
            let host = Host(config, SeededEntropy(seed: seed &* 1_000_003 &+ UInt64(number)), address, simulation.now)
            host.id = simulation.addHost(host, address: address.address)
            hosts.append(host)
            if let id = host.id { simulation.touch(id) }
        }

        func join(over time: Interval) throws {
            add(0)
            let step = time.microseconds / Int64(max(1, count))
            for number in 1..<max(2, count) {
                simulation.schedule(at: simulation.now + .microseconds(step * Int64(number))) { [unowned self] _ in add(number) }
            }
            try simulation.run(until: simulation.now + time + .seconds(30))
        }

        /// Addresses of persistent nodes that are up.
        var persistent: [Endpoint] { hosts.filter { $0.isUp && $0.node.isPersistent }.map(\.address) }

        func draw() -> Int {
            while true {
                let number = Int(entropy.uniform(below: UInt64(hosts.count), for: EntropyLabel(.test)))
                if hosts[number].isUp { return number }
            }
        }

        private func finish(_ number: Int, _ begin: (HyperDHTNode) -> OperationID) throws -> (OperationID, OperationResult?) {
            let host = hosts[number]
            host.node.advance(to: simulation.now)
            let id = begin(host.node)
            if let own = host.id { simulation.touch(own) }
            try simulation.run(until: simulation.now + .seconds(60)) { host.results[id] != nil }
            return (id, host.results.removeValue(forKey: id))
        }

        func announce(_ topic: Bytes32, by number: Int) throws {
            guard let key = KeyPair(seed: Blake2b.hash256(topic.bytes).bytes) else { return }
            _ = try finish(number) { $0.announce(topic, signer: .keyPair(key)) }
        }

        func lookup(_ topic: Bytes32, by number: Int) throws -> Lookup? {
            let host = hosts[number]
            let before = host.node.rpcStatistics.requestsTotal
            let began = simulation.now
            let (id, result) = try finish(number) { $0.lookup(topic) }
            guard case .done(let closest)? = result else { return nil }
            return Lookup(
                by: host.address, found: host.records.removeValue(forKey: id) ?? 0, closest: closest,
                packets: host.node.rpcStatistics.requestsTotal - before, milliseconds: (simulation.now - began).milliseconds)
        }

        func removeFifth() {
            for number in stride(from: 1, to: hosts.count, by: 5) {
                hosts[number].isUp = false
                if let id = hosts[number].id { simulation.setUp(id, false) }
            }
        }
    }

    static let checks: [Check] = [
        Check("hyperdht.many-nodes", ["HDHT-7", "HDHT-16", "HDHT-19"], .simulation) { exam in
            let report = try run(nodes: 64, announces: 10, seed: exam.seed, joining: .seconds(30))
            exam.require("persistent", report.persistent >= 63, "\(report.persistent)")
            exam.equal("lookups that ended", report.lookups, 10)
            exam.equal("lookups that found the record", report.found, 10)
            exam.equal("lookups with the true closest nodes", report.accurate, 10)
            exam.equal("found after a fifth vanished", report.foundAfterLoss, report.lookupsAfterLoss)
        },
        Check("hyperdht.same-seed", ["HDHT-7"], .simulation) { exam in
            let first = try run(nodes: 24, announces: 3, seed: exam.seed, joining: .seconds(10))
            let second = try run(nodes: 24, announces: 3, seed: exam.seed, joining: .seconds(10))
            exam.equal("what the lookups saw", first.digest, second.digest)
            exam.equal("datagrams", first.datagrams, second.datagrams)
        },
    ]
}

extension Array where Element == (Bytes32, Endpoint) {
    /// The endpoints of the `count` smallest distances.
    fileprivate func min(count: Int) -> [Endpoint] {
        var best: [(Bytes32, Endpoint)] = []
        for element in self {
            if best.count == count, let last = best.last, !(element.0 < last.0) { continue }
            let at = best.firstIndex { element.0 < $0.0 } ?? best.count
            best.insert(element, at: at)
            if best.count > count { best.removeLast() }
        }
        return best.map(\.1)
    }
}
