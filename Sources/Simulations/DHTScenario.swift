import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import NetworkSimulator
import SansIO

/// A large network of HyperDHT nodes: do announces and lookups work, what do they cost, and do they survive when nodes vanish.
///
/// The nodes are the stack's own machines and exchange its own datagrams. They join one after the other and want to be persistent. Round trips
/// last 10 to 200 ms, the same for a pair both ways.
public struct DHTScenario: Sendable {
    public var nodes: Int
    /// So many topics are announced, each by another node, and each is looked up by yet another one.
    public var announces: Int
    public var seed: UInt64
    /// The joins are spread over this time.
    public var joining = Interval.seconds(600)
    /// From one announce or lookup to the next.
    public var pace = Interval.milliseconds(20)
    /// Whether a fifth of the nodes vanishes at the end, at once, and everything is looked up again.
    public var loses = true

    public init(nodes: Int, announces: Int, seed: UInt64) {
        self.nodes = nodes
        self.announces = announces
        self.seed = seed
    }

    /// What a round of lookups came to.
    public struct Round: Hashable, Sendable {
        public var lookups = 0
        /// Those that ended without a failure.
        public var ended = 0
        /// Those that returned the record.
        public var found = 0
        /// Those whose twenty closest repliers hold at least nineteen of the true ones.
        public var accurate = 0
        /// Requests, and datagrams both ways, of the node while it looked up.
        public var requests = Figures()
        public var datagrams = Figures()
        /// Nodes in a row that were asked until the record was seen.
        public var hops = Figures()
        public var milliseconds = Figures()
    }

    /// The sum and the largest of some numbers.
    public struct Figures: Hashable, Sendable {
        public var count = 0
        public var sum = 0
        public var most = 0
        public var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

        mutating func add(_ value: Int) {
            count += 1
            sum += value
            most = max(most, value)
        }
    }

    public struct Report: Hashable, Sendable {
        public var nodes = 0
        /// Nodes that became persistent.
        public var persistent = 0
        public var announces = 0
        /// Announces that ended well.
        public var announced = 0
        public var lookups = Round()
        /// Right after a fifth of the nodes vanished.
        public var lookupsAfterLoss = Round()
        /// Datagrams up to the end of the joins, and in all.
        public var datagramsOfJoining = 0
        public var datagrams = 0
        public var virtualSeconds = 0.0
        /// Over what the lookups saw: the same for the same seed.
        public var digest = ""
    }

    public func run() throws -> Report {
        let network = DHTNetwork(self)
        var report = Report()
        report.nodes = nodes
        try network.join()
        report.datagramsOfJoining = network.simulation.statistics.sent
        report.persistent = network.persistent.count
        report.announces = announces
        let topics = (0..<announces).map { Blake2b.hash256(Array("topic \($0)".utf8)) }
        let announced = try network.perform(topics) { node, topic in
            node.announce(topic, signer: .keyPair(KeyPair(seed: Blake2b.hash256(topic.bytes))))
        }
        report.announced = announced.filter { $0.search.closest != nil }.count
        var digest: [UInt8] = []
        report.lookups = try look(network, topics, &digest)
        if loses {
            network.removeFifth()
            report.lookupsAfterLoss = try look(network, topics, &digest)
        }
        report.datagrams = network.simulation.statistics.sent
        report.virtualSeconds = Double(network.simulation.now.milliseconds) / 1000
        report.digest = Hex.encode(digest)
        return report
    }

    private func look(_ network: DHTNetwork, _ topics: [Bytes32], _ digest: inout [UInt8]) throws -> Round {
        var round = Round()
        let truth = network.persistent.map { (id: NodeID.of($0), endpoint: $0) }
        for (topic, result) in zip(topics, try network.perform(topics, { node, topic in node.lookup(topic) })) {
            let search = result.search
            round.lookups += 1
            digest = Blake2b.digest(32, [digest, Array("\(result.by) \(search)".utf8)], key: [])
            guard let closest = search.closest, let ended = search.ended else { continue }
            round.ended += 1
            if search.records > 0 {
                round.found += 1
                round.hops.add(search.hops)
            }
            let best = DHTScenario.closest(truth, to: topic, but: result.by)
            if closest.filter({ best.contains($0) }).count >= min(19, best.count) { round.accurate += 1 }
            round.requests.add(search.traffic.requests)
            round.datagrams.add(search.traffic.datagrams)
            round.milliseconds.add(Int((ended - search.began).milliseconds))
        }
        return round
    }

    /// The true twenty closest; a node does not ask itself.
    private static func closest(_ all: [(id: Bytes32, endpoint: Endpoint)], to target: Bytes32, but own: Endpoint) -> [Endpoint] {
        var best: [(distance: Bytes32, endpoint: Endpoint)] = []
        for one in all where one.endpoint != own {
            let distance = one.id ^ target
            if best.count == 20, let last = best.last, !(distance < last.distance) { continue }
            best.insert((distance, one.endpoint), at: best.firstIndex { distance < $0.distance } ?? best.count)
            if best.count > 20 { best.removeLast() }
        }
        return best.map(\.endpoint)
    }
}
