import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// What a hostile peer can't do. Each bound has a peer that behaves beside it and is served.
enum DHTRPCHostileChecks {
    private typealias Bench = DHTRPCBench
    private static let honest = Bench.tester(1)

    static let checks: [Check] = [
        Check("dht.hostile.garbage", ["DHT-8", "DHT-9", "DHT-10"], .machine) { garbage($0) },
        Check("dht.hostile.floods", ["DHT-21", "DHT-1"], .machine) { floods($0) },
        Check("dht.hostile.spoofed", ["DHT-36", "DHT-30"], .machine) { spoofed($0) },
        Check("dht.hostile.health", ["DHT-34"], .machine) { health($0) },
    ]

    private static func isServed(_ exam: Examination, _ what: String, _ bench: DHTRPCBench) {
        exam.equal("\(what): others are served", bench.ask(Bench.internalRequest(.ping), from: honest)?.error, 0)
    }

    /// Random and damaged datagrams: never a trap, at most one answer each, never more bytes out than a reply may have.
    private static func garbage(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        for n in 10..<30 { bench.introduce(Bench.tester(n)) }
        let entropy = SeededEntropy(seed: exam.seed)
        let good = [
            Bench.internalRequest(.findNode, target: NodeID.of(honest)).encoded,
            Response(tid: 3, to: Bench.server, id: NodeID.of(honest), closerNodes: [honest, Bench.tester(2)], error: 3, value: [1, 2])
                .encoded,
        ]
        let before = bench.sent.count
        var count = 0
        for round in 0..<1500 {
            var bytes: [UInt8]
            if round % 3 == 0 {
                let length = Int(entropy.uniform(below: 80, for: EntropyLabel(.test)))
                bytes = entropy.bytes(length, for: EntropyLabel(.test, 1))
                if let first = [0x03, 0x13].randomElement(entropy), !bytes.isEmpty { bytes[0] = first }
            } else {
                bytes = good[round % 2]
                let at = Int(entropy.uniform(below: UInt64(bytes.count), for: EntropyLabel(.test, 2)))
                bytes[at] ^= UInt8(1 << entropy.uniform(below: 8, for: EntropyLabel(.test, 3)))
            }
            bench.send(bytes, from: Bench.tester(3))
            count += 1
        }
        bench.run(.seconds(12))
        exam.require("answers", bench.sent.count - before <= count, "\(bench.sent.count - before) for \(count)")
        isServed(exam, "after garbage", bench)
    }

    private static func floods(_ exam: Examination) {
        var limits = NodeLimits()
        limits.delayedPings = 40
        limits.delayedPingsPerHost = 10
        limits.requestsPerSecond = 200
        limits.requestsPerSecondAndHost = 50
        limits.sourceCounts = 64
        let bench = Bench.persistent(exam.seed) { $0.limits = limits }
        var writer = Writer()
        writer.uint32(9000)
        let delayed = Bench.internalRequest(.delayedPing, value: writer.bytes).encoded
        let a = Bench.tester(5)
        for _ in 0..<100 { bench.send(delayed, from: a) }
        bench.run(.milliseconds(100))
        isServed(exam, "delayed pings of one host", bench)
        for n in 100..<120 { for _ in 0..<4 { bench.send(delayed, from: Bench.tester(n)) } }
        bench.run(.seconds(12))
        exam.equal("delayed answers to one host", bench.received(a).count, 10)
        let others = (100..<120).map { bench.received(Bench.tester($0)).count }.reduce(0, +)
        exam.equal("delayed answers to the others", others, 30)
        exam.equal("dropped for a reason", bench.node.statistics.dropped[.tooManyDelayedPings], 140)
        // More requests in one second than the node serves: the one who floods is cut off, the others are not.
        bench.run(.milliseconds(1000 - bench.now.milliseconds % 1000))
        let flood = Bench.internalRequest(.findNode, target: NodeID.of(a)).encoded
        let before = bench.received(a).count
        for _ in 0..<600 { bench.send(flood, from: a) }
        bench.run(.milliseconds(20))
        isServed(exam, "a flood", bench)
        exam.equal("answers to the flood", bench.received(a).count - before, 250)
        exam.equal("dropped for a reason", bench.node.statistics.dropped[.sourceTooBusy], 350)
        bench.run(.seconds(1))
        exam.equal("in the next second", bench.exchange(flood, from: a).count, 1)
        // From more sources than there are counts for, and more than all together may ask: others are served all the same.
        bench.run(.milliseconds(1000 - bench.now.milliseconds % 1000))
        for n in 5000..<5400 { bench.send(flood, from: Bench.tester(n)) }
        bench.run(.milliseconds(20))
        isServed(exam, "a flood from everywhere", bench)
        // Many senders with valid ids: the table has its rows of twenty and no more.
        for n in 1000..<3000 {
            bench.send(
                Request(tid: 1, to: Bench.server, id: NodeID.of(Bench.tester(n)), isInternal: true, command: 0).encoded,
                from: Bench.tester(n))
        }
        bench.run(.seconds(1))
        exam.require("the table is bounded", bench.node.tableCount <= 20 * 16, "\(bench.node.tableCount)")
    }

    /// Guessed tids: random ones, and an answer counts only from whom it was asked.
    private static func spoofed(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let requests = (0..<40).map { bench.node.ping(Bench.tester(100 + $0)) }
        bench.collect()
        bench.run(.milliseconds(50))
        let tids = (0..<40).compactMap { bench.received(Bench.tester(100 + $0)).first?.request?.tid }
        exam.equal("requests", tids.count, 40)
        let steps = zip(tids, tids.dropFirst()).filter { $1 == $0 &+ 1 }.count
        exam.require("tids can't be foretold", steps < 5, "\(steps) of 39 follow each other")
        let attacker = Bench.tester(2)
        for tid in UInt16(0)...UInt16.max where tid % 64 < 2 || tids.contains(tid) {
            bench.node.receive(
                Response(tid: tid, to: Bench.server, id: NodeID.of(attacker)).encoded, from: attacker,
                on: SocketID(UInt32(Bench.serverPort)), at: bench.now)
        }
        bench.collect()
        exam.require("none is answered by another", requests.allSatisfy { bench.response(of: $0) == nil })
        exam.equal("the attacker is not remembered", bench.node.tableCount, 0)
        exam.equal("dropped for a reason", bench.node.statistics.dropped[.wrongSource], 40)
        isServed(exam, "after spoofing", bench)
    }

    /// dht-rpc.md section 13.1: offline when nothing answers, degraded when most does not, back again.
    private static func health(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let good = (10..<16).map(Bench.tester)
        let dead = (20..<40).map(Bench.tester)
        for tester in good { bench.citizen(tester) }
        var once = RequestOptions()
        once.retries = 0
        func phase(_ testers: [Endpoint], _ ticks: Int) {
            for _ in 0..<ticks {
                for tester in testers { bench.node.ping(tester, options: once) }
                bench.run(.seconds(5))
            }
        }
        phase(good, 6)
        exam.equal("answers: online", bench.node.isOnline, true)
        exam.equal("answers: degraded", bench.node.isDegraded, false)
        phase(good + dead, 6)
        exam.equal("most are lost: online", bench.node.isOnline, true)
        exam.equal("most are lost: degraded", bench.node.isDegraded, true)
        phase(dead, 6)
        exam.equal("all are lost: online", bench.node.isOnline, false)
        exam.equal("all are lost: degraded", bench.node.isDegraded, false)
        phase(good, 6)
        exam.equal("back: online", bench.node.isOnline, true)
        exam.equal("back: degraded", bench.node.isDegraded, false)
        let updates = bench.events.filter { if case .networkUpdate = $0 { true } else { false } }.count
        exam.require("each change is told", updates >= 3, "\(updates)")
    }
}

extension Array where Element == UInt8 {
    fileprivate func randomElement(_ entropy: SeededEntropy) -> UInt8? {
        isEmpty ? nil : self[Int(entropy.uniform(below: UInt64(count), for: EntropyLabel(.test, 9)))]
    }
}
