import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// Queries: DHT-37, DHT-38, DHT-40 to DHT-44.
enum DHTRPCQueryChecks {
    private typealias Bench = DHTRPCBench
    private static let a = Bench.tester(1)
    private static let target = NodeID.of(Endpoint(.v4(0x0102_0304), 5))
    private static let command: UInt64 = 3

    static let checks: [Check] = [
        Check("dht.query-errors", ["DHT-37"], .machine) { errors($0) },
        Check("dht.query-many", ["DHT-38"], .machine) { many($0) },
        Check("dht.query-own-address", ["DHT-40"], .machine) { ownAddress($0) },
        Check("dht.commit", ["DHT-41", "DHT-42"], .machine) { commit($0) },
        Check("dht.down-hints-sent", ["DHT-43", "DHT-44"], .machine) { downHints($0) },
    ]

    private static func finish(_ bench: DHTRPCBench, _ query: QueryID) -> QueryOutcome? {
        bench.collect()
        bench.run(.seconds(60)) { bench.outcome(of: query) != nil }
        return bench.outcome(of: query)
    }

    private static func requests(_ bench: DHTRPCBench, _ tester: Endpoint, _ command: UInt64, isInternal: Bool = false) -> [Request] {
        bench.received(tester).compactMap(\.request).filter { $0.command == command && $0.isInternal == isInternal }
    }

    private static func errors(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed, bootstrap: [a])
        let b = Bench.tester(2)
        bench.citizen(a, closer: [b], error: 1)
        bench.citizen(b)
        bench.run(.seconds(60)) { bench.isReady }
        let outcome = finish(bench, bench.node.query(target: target, command: command))
        exam.equal("A is asked", requests(bench, a, command).count, 1)
        exam.equal("B is visited", requests(bench, b, command).map(\.target), [target])
        exam.equal("closest", outcome?.closestReplies.map(\.from), [b])
        exam.equal("successes", outcome?.successes, 1)
        exam.equal("errors", outcome?.errors, 1)
    }

    private static func many(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed, bootstrap: [a])
        let others = (100..<130).map(Bench.tester).sorted { NodeID.of($0) ^ target < NodeID.of($1) ^ target }
        bench.citizen(a, closer: others)
        let all = (others + [a]).sorted { NodeID.of($0) ^ target < NodeID.of($1) ^ target }
        for other in others { bench.citizen(other, closer: all) }
        bench.run(.seconds(60)) { bench.isReady }
        let outcome = finish(bench, bench.node.query(target: target, command: command))
        let closest = outcome?.closestReplies.map(\.from) ?? []
        exam.equal("closest replies", closest.count, 20)
        exam.equal(
            "the closest there are", closest, Array(all.prefix(20)))
        exam.require("none is asked twice", others.allSatisfy { requests(bench, $0, command).count <= 1 })
        // Nodes nowhere: port 0, multicast, "this network" are not asked.
        let bad = [Endpoint(.v4(0), 5000), Endpoint(.v4(0xe000_0001), 5000), Endpoint(.v4(0xffff_ffff), 5000), Endpoint(a.address, 0)]
        bench.citizen(a, closer: bad)
        _ = finish(bench, bench.node.query(target: NodeID.of(bad[0]), command: 4))
        exam.require("no datagram to nowhere", !bench.sent.contains { bad.contains($0.transmit.destination) })
        // A thousand lying addresses are bounded.
        var limited = QueryOptions()
        limited.retries = 0
        let small = Bench.persistent(exam.seed, bootstrap: [a]) {
            $0.limits.closerNodes = 30
            $0.sendsDownHints = false
        }
        small.citizen(a, closer: (1000..<1200).map(Bench.tester).sorted { NodeID.of($0) ^ target < NodeID.of($1) ^ target })
        small.run(.seconds(60)) { small.isReady }
        let before = small.sent.count
        _ = finish(small, small.node.query(target: target, command: command, options: limited))
        exam.require("addresses looked at", small.sent.count - before <= 31, "\(small.sent.count - before) datagrams")
    }

    private static func ownAddress(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed, bootstrap: [a])
        let b = Bench.tester(2)
        bench.citizen(a, closer: [Bench.server, b])
        bench.citizen(b, closer: [Bench.server])
        bench.run(.seconds(60)) { bench.isReady }
        let before = bench.sent.count
        let outcome = finish(bench, bench.node.findNode(target))
        exam.equal("answers", outcome?.successes, 2)
        exam.require("nothing to itself", !bench.sent.dropFirst(before).contains { $0.transmit.destination == Bench.server })
    }

    private static func token(_ tester: Endpoint) -> Bytes32 { NodeID.of(Endpoint(tester.address, 1)) }

    private static func commit(_ exam: Examination) {
        for (withToken, count) in [(true, 25), (false, 25), (true, 3)] {
            let bench = Bench.persistent(exam.seed, bootstrap: [a])
            let others = (100..<100 + count).map(Bench.tester).sorted { NodeID.of($0) ^ target < NodeID.of($1) ^ target }
            bench.citizen(a, closer: others, token: withToken ? token(a) : nil)
            for other in others { bench.citizen(other, closer: others, token: withToken ? token(other) : nil) }
            bench.run(.seconds(60)) { bench.isReady }
            var options = QueryOptions()
            options.commit = .same
            options.value = [1, 2, 3]
            let outcome = finish(bench, bench.node.query(target: target, command: command, options: options))
            let closest = outcome?.closestReplies.map(\.from) ?? []
            let all = others + [a]
            exam.equal("closest replies", closest.count, min(20, count + 1))
            for tester in all {
                let commits = requests(bench, tester, command).filter { $0.token != nil }
                exam.equal("commits to \(tester)", commits.map(\.token), withToken && closest.contains(tester) ? [token(tester)] : [])
                for commit in commits {
                    exam.equal("target", commit.target, target)
                    exam.equal("value", commit.value, [1, 2, 3])
                }
                exam.require("at most two requests", requests(bench, tester, command).count <= (withToken ? 2 : 1))
            }
            exam.equal("failure", outcome?.failure, withToken ? nil : .noToken)
        }
        // Nobody there: nothing to commit to.
        let alone = Bench.persistent(exam.seed)
        var options = QueryOptions()
        options.commit = .same
        exam.equal(
            "nobody there", finish(alone, alone.node.query(target: target, command: command, options: options))?.failure, .tooFewNodes)
    }

    private static func downHints(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed, bootstrap: [a])
        let b = Bench.tester(2)
        let dead = Bench.tester(4)
        bench.citizen(a)
        bench.run(.seconds(60)) { bench.isReady }
        bench.citizen(a, closer: [dead, b])
        bench.citizen(b, closer: [dead])
        let query = bench.node.findNode(target)
        bench.run(.seconds(5))
        exam.equal("no hint before the timeout", requests(bench, a, InternalCommand.downHint.rawValue, isInternal: true).count, 0)
        _ = finish(bench, query)
        bench.run(.seconds(1))
        var writer = Writer()
        writer.address(dead)
        for referrer in [a, b] {
            let hints = requests(bench, referrer, InternalCommand.downHint.rawValue, isInternal: true)
            exam.equal("hints to \(referrer)", hints.map(\.value), [writer.bytes])
        }
        exam.equal("attempts at the dead address", bench.received(dead).count, 6)

        let many = Bench.persistent(exam.seed, bootstrap: [a]) { $0.concurrency = 100 }
        many.citizen(a)
        many.run(.seconds(60)) { many.isReady }
        many.citizen(a, closer: (200..<280).map(Bench.tester).sorted { NodeID.of($0) ^ target < NodeID.of($1) ^ target })
        // Without retransmissions they all die together.
        var options = QueryOptions()
        options.retries = 0
        let began = many.now
        _ = finish(many, many.node.findNode(target, options: options))
        many.run(.seconds(4))
        let hints = many.received(a).filter { $0.request?.command == InternalCommand.downHint.rawValue }
        // 80 die within one tick of the node, or two if a tick falls between.
        let ticks = Set(hints.map { ($0.at - began).microseconds / 5_000_000 }).count
        exam.require("hints in a tick", hints.count >= 50 && hints.count <= 50 * max(1, ticks), "\(hints.count) in \(ticks) ticks")

        let quiet = Bench.persistent(exam.seed, bootstrap: [a]) { $0.sendsDownHints = false }
        quiet.citizen(a)
        quiet.run(.seconds(60)) { quiet.isReady }
        quiet.citizen(a, closer: [dead])
        _ = finish(quiet, quiet.node.findNode(target))
        quiet.run(.seconds(1))
        exam.equal("hints switched off", requests(quiet, a, InternalCommand.downHint.rawValue, isInternal: true).count, 0)
    }
}
