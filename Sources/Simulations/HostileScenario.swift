import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO

/// Peers that mean no good, against one persistent node with a server on it: what they make it send and hold, and whether others are still served.
///
/// The node has its default limits and one record of its own, its server's route. Each attack starts with a fresh node, and sends what it has
/// within one virtual second. Answers to a handshake are many: it opens a stream, which sends its first packet again until it gives up.
public struct HostileScenario {
    /// What an attack came to.
    public struct Outcome {
        public var name = ""
        public var sources = 0
        public var datagrams = 0
        public var bytesIn = 0
        public var answers = 0
        public var bytesOut = 0
        /// Datagrams to somebody who had asked nothing.
        public var toOthers = 0
        /// Why the rest was dropped.
        public var drops: [(reason: String, count: Int)] = []
        public var tableNodes = 0
        public var records = 0
        /// Handshakes that were worked out.
        public var handshakes = 0
        /// Resident memory gained, in bytes.
        public var memory = 0
        /// Of ten honest questions during and right after the attack.
        public var othersServed = 0
        /// A bound that did not hold, in words.
        public var broken: String?
    }

    private let seed: UInt64
    private let factor: Int
    /// Bytes that are resident now.
    private let resident: () -> Int

    /// `factor` multiplies the number of datagrams; 10 is what the command sends.
    public init(seed: UInt64, factor: Int = 10, resident: @escaping () -> Int) {
        self.seed = seed
        self.factor = factor
        self.resident = resident
    }

    public func run() -> [Outcome] {
        [
            attack("FIND_NODE flood", sources: 1, 6_000) { _, _ in
                question(.findNode)
            } bound: {
                $0.answers <= 30_000 + 10
            },
            attack("FIND_NODE flood", sources: 4_000, 6_000) { _, _ in
                question(.findNode)
            } bound: {
                $0.answers <= $0.datagrams
            },
            attack("valid ids, a table of strangers", sources: 20_000, 6_000) { node, source in
                Request(tid: 1, to: HostileNode.address, id: NodeID.of(source), isInternal: true, command: 0).encoded
            } bound: {
                $0.tableNodes <= 20 * 24
            },
            attack("garbage", sources: 100, 6_000) { node, _ in
                node.garbage()
            } bound: {
                $0.answers <= $0.datagrams
            },
            attack("announces with bad signatures", sources: 100, 200) { node, source in
                node.announce(from: source, isSigned: false)
            } bound: {
                $0.records == 1 && $0.answers <= $0.datagrams
            },
            attack("announces of ever new keys", sources: 100, 200) { node, source in
                node.announce(from: source, isSigned: true)
            } bound: {
                $0.records <= 2 * 65_537
            },
            attack("values of 1000 bytes stored", sources: 100, 12_000) { node, source in
                node.immutable(from: source)
            } bound: {
                $0.records <= 2 * 32_768
            },
            attack("wrong tokens", sources: 100, 3_000) { node, source in
                node.immutable(from: source, token: .zero)
            } bound: {
                $0.records == 1
            },
            attack("delayed pings", sources: 1, 3_000) { _, _ in
                question(.delayedPing, value: [0x10, 0x27, 0, 0])
            } bound: {
                $0.answers <= 128
            },
            attack("delayed pings", sources: 4_000, 3_000) { _, _ in
                question(.delayedPing, value: [0x10, 0x27, 0, 0])
            } bound: {
                $0.answers <= 1024
            },
            attack("answers to nothing, every tid", sources: 100, 6_554) { node, source in
                node.answer(from: source)
            } bound: {
                $0.answers == 0 && $0.tableNodes == 0
            },
            attack("handshakes", sources: 1, 100) { node, _ in
                node.handshake()
            } bound: {
                $0.handshakes <= 64
            },
            attack("handshakes", sources: 1_000, 200) { node, _ in
                node.handshake()
            } bound: {
                $0.handshakes <= 1024
            },
            attack("handshakes to be passed on to a victim", sources: 1, 1_000) { node, _ in
                node.passedOn()
            } bound: {
                $0.toOthers <= 512
            },
            attack("handshakes to be passed on to a victim", sources: 1_000, 1_000) { node, _ in
                node.passedOn()
            } bound: {
                $0.toOthers <= 4096
            },
            attack("packets of streams that nobody has", sources: 100, 6_000) { node, _ in
                node.streamPacket()
            } bound: {
                $0.answers == 0
            },
        ]
    }

    private func attack(
        _ name: String, sources: Int, _ count: Int, datagram: (HostileNode, Endpoint) -> [UInt8], bound: (Outcome) -> Bool
    ) -> Outcome {
        let node = HostileNode(seed: seed)
        let before = resident()
        var outcome = Outcome()
        outcome.name = name
        outcome.sources = sources
        outcome.datagrams = count * factor
        let step = Interval(microseconds: max(1, 900_000 / Int64(outcome.datagrams)))
        for number in 0..<outcome.datagrams {
            let source = HostileNode.source(number % sources)
            let bytes = datagram(node, source)
            outcome.bytesIn += bytes.count
            node.receive(bytes, from: source, after: step)
            if number % max(1, outcome.datagrams / 5) == 0, outcome.othersServed < 5, node.servesHonest(number) {
                outcome.othersServed += 1
            }
        }
        outcome.memory = max(0, resident() - before)
        outcome.records = node.node.storedCount
        for number in 0..<5 where node.servesHonest(outcome.datagrams + number) { outcome.othersServed += 1 }
        node.pass(.seconds(12))
        outcome.answers = node.answers
        outcome.bytesOut = node.bytesOut
        outcome.handshakes = node.node.statistics.handshakesAnswered
        outcome.toOthers = node.toOthers
        outcome.tableNodes = node.node.tableNodes.count
        let drops =
            node.node.rpcStatistics.dropped.map { ($0.key.rawValue, $0.value) }
            + node.node.statistics.dropped.map { ($0.key.rawValue, $0.value) }
        outcome.drops = drops.sorted { $0.1 == $1.1 ? $0.0 < $1.0 : $0.1 > $1.1 }.map { (reason: $0.0, count: $0.1) }
        if outcome.othersServed < 10 { outcome.broken = "others were served \(outcome.othersServed) times of 10" }
        if !bound(outcome) { outcome.broken = "the bound does not hold" }
        return outcome
    }

    private func question(_ command: InternalCommand, value: [UInt8]? = nil) -> [UInt8] {
        Request(
            tid: 7, to: HostileNode.address, isInternal: true, command: command.rawValue, target: command == .findNode ? .zero : nil,
            value: value
        ).encoded
    }
}
