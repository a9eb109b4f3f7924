import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO

/// Peers that mean no good, against one persistent node with a server on it: what they make it send and hold, and whether others are still served.
///
/// The node has its default limits and one record of its own, its server's route. Each attack starts with a fresh node, and sends what it has
/// within about one virtual second. Answers to a handshake are many: it opens a stream, which sends its first packet again until it gives up.
public struct HostileScenario {
    /// What an attack came to.
    public struct Outcome {
        public var name = ""
        public var sources = 0
        public var datagrams = 0
        public var bytesIn = 0
        /// Datagrams to the sources of the attack.
        public var answers = 0
        /// Datagrams to somebody who had said nothing.
        public var toOthers = 0
        /// Bytes of both.
        public var bytesOut = 0
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
        /// Bounds that did not hold, in words.
        public var broken: [String] = []
    }

    private let seed: UInt64
    private let factor: Int
    /// Bytes that are resident now.
    private let resident: () -> Int

    /// `factor` multiplies the number of datagrams; 10 is what the command sends, and the least is 1.
    public init(seed: UInt64, factor: Int = 10, resident: @escaping () -> Int) {
        self.seed = seed
        self.factor = max(1, factor)
        self.resident = resident
    }

    public func run() -> [Outcome] { attacks.flatMap { attack in attack.waves.map { run(attack, $0) } } }

    /// One kind of datagram, sent in waves that each meet a fresh node.
    private struct Attack {
        let name: String
        let datagram: (HostileNode, Endpoint) -> [UInt8]
        let waves: [Wave]

        init(_ name: String, _ waves: Wave..., datagram: @escaping (HostileNode, Endpoint) -> [UInt8]) {
            (self.name, self.waves, self.datagram) = (name, waves, datagram)
        }
    }

    /// So many datagrams (times the factor) in one virtual second, and what they may bring about at most.
    private struct Wave {
        let sources: Int
        let datagrams: Int
        let bounds: [Bound]

        static func from(_ sources: Int, _ datagrams: Int, _ bounds: Bound...) -> Wave {
            Wave(sources: sources, datagrams: datagrams, bounds: bounds)
        }
    }

    /// The largest value of a figure.
    private struct Bound {
        let name: String
        let value: (Outcome) -> Int
        let most: (Outcome) -> Int

        func violation(by outcome: Outcome) -> String? {
            value(outcome) <= most(outcome) ? nil : "\(name) \(value(outcome)), at most \(most(outcome))"
        }

        static func answers(_ most: Int) -> Bound { Bound(name: "answers", value: \.answers, most: { _ in most }) }
        /// Nothing is made more of by sending it here.
        static var answerEach: Bound { Bound(name: "datagrams sent", value: { $0.answers + $0.toOthers }, most: \.datagrams) }
        static func tableNodes(_ most: Int) -> Bound { Bound(name: "nodes in the table", value: \.tableNodes, most: { _ in most }) }
        static func records(_ most: Int) -> Bound { Bound(name: "records", value: \.records, most: { _ in most }) }
        static func handshakes(_ most: Int) -> Bound { Bound(name: "handshakes", value: \.handshakes, most: { _ in most }) }
        static func toOthers(_ most: Int) -> Bound { Bound(name: "datagrams to others", value: \.toOthers, most: { _ in most }) }
        static var memory: Bound { Bound(name: "bytes of memory", value: \.memory, most: { _ in HostileScenario.mostMemory }) }
    }

    /// What any of these attacks may make the process hold: two generations of full stores, and the tables beside them.
    static let mostMemory = 256 << 20

    /// The route to its own server is the one record that the node has to begin with.
    private var attacks: [Attack] {
        [
            Attack("FIND_NODE flood", .from(1, 6_000, .answers(30_010)), .from(4_000, 6_000, .answerEach)) { _, _ in
                question(.findNode)
            },
            Attack("valid ids, a table of strangers", .from(20_000, 6_000, .tableNodes(20 * 24))) { _, source in
                Request(tid: 1, to: HostileNode.address, id: NodeID.of(source), isInternal: true, command: 0).encoded
            },
            Attack("garbage", .from(100, 6_000, .answerEach, .records(1))) { node, _ in node.garbage() },
            Attack("announces with bad signatures", .from(100, 200, .answerEach, .records(1))) { node, source in
                node.announce(from: source, isSigned: false)
            },
            Attack("announces of ever new keys", .from(100, 200, .answerEach, .records(2 * 65_537))) { node, source in
                node.announce(from: source, isSigned: true)
            },
            Attack("values of 1000 bytes stored", .from(100, 12_000, .answerEach, .records(2 * 32_768))) { node, source in
                node.immutable(from: source)
            },
            Attack("wrong tokens", .from(100, 3_000, .answerEach, .records(1))) { node, source in
                node.immutable(from: source, token: .zero)
            },
            Attack("delayed pings", .from(1, 3_000, .answers(128)), .from(4_000, 3_000, .answers(1024))) { _, _ in
                question(.delayedPing, value: [0x10, 0x27, 0, 0])
            },
            Attack("answers to nothing, every tid", .from(100, 6_554, .answers(0), .tableNodes(0))) { node, source in
                node.answer(from: source)
            },
            Attack("handshakes", .from(1, 100, .handshakes(64)), .from(1_000, 200, .handshakes(1024))) { node, _ in
                node.handshake()
            },
            Attack(
                "handshakes to be passed on to a victim", .from(1, 1_000, .toOthers(512)), .from(1_000, 1_000, .toOthers(4096))
            ) { node, _ in
                node.passedOn()
            },
            Attack("packets of streams that nobody has", .from(100, 6_000, .answers(0))) { node, _ in node.streamPacket() },
        ]
    }

    private func run(_ attack: Attack, _ wave: Wave) -> Outcome {
        let node = HostileNode(seed: seed)
        let before = resident()
        var outcome = Outcome()
        outcome.name = attack.name
        outcome.sources = wave.sources
        outcome.datagrams = wave.datagrams * factor
        let step = Interval(microseconds: max(1, 900_000 / Int64(outcome.datagrams)))
        for number in 0..<outcome.datagrams {
            let source = HostileNode.source(number % wave.sources)
            let bytes = attack.datagram(node, source)
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
        outcome.broken = (wave.bounds + [.memory]).compactMap { $0.violation(by: outcome) }
        if outcome.othersServed < 10 { outcome.broken.append("others were served \(outcome.othersServed) times of 10") }
        return outcome
    }

    private func question(_ command: InternalCommand, value: [UInt8]? = nil) -> [UInt8] {
        Request(
            tid: 7, to: HostileNode.address, isInternal: true, command: command.rawValue, target: command == .findNode ? .zero : nil,
            value: value
        ).encoded
    }
}
