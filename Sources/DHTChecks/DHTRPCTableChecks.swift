import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// Who is remembered, asked again and dropped: DHT-18, DHT-19, DHT-30 to DHT-32, DHT-49 to DHT-51.
enum DHTRPCTableChecks {
    private typealias Bench = DHTRPCBench
    private static let a = Bench.tester(1)

    static let checks: [Check] = [
        Check("dht.down-hint", ["DHT-18", "DHT-19"], .machine) { downHint($0) },
        Check("dht.remembered", ["DHT-30", "DHT-31", "DHT-32"], .machine) { remembered($0) },
        Check("dht.full-row", ["DHT-49", "DHT-50"], .machine) { fullRow($0) },
        Check("dht.idle", ["DHT-51"], .machine) { idle($0) },
    ]

    /// A node that pings nobody on its own account for the next 35 s.
    private static func quiet(_ exam: Examination) -> DHTRPCBench { Bench.persistent(exam.seed) { $0.draws.tick = 56 } }

    private static func hint(_ down: Endpoint) -> Request {
        var writer = Writer()
        writer.address(down)
        return Bench.internalRequest(.downHint, value: writer.bytes)
    }

    private static func downHint(_ exam: Examination) {
        for laterTick in [true, false] {
            let bench = quiet(exam)
            let b = Bench.tester(2)
            bench.citizen(b)
            bench.introduce(b)
            if laterTick { bench.run(.seconds(6)) }
            let before = bench.received(b).count
            exam.require("OK", bench.ask(hint(b), from: a)?.error == 0)
            bench.run(.seconds(2))
            let pings = bench.received(b).dropFirst(before).compactMap(\.request)
            exam.equal("one PING", pings.map(\.command), [InternalCommand.ping.rawValue])
            exam.equal("a live node stays (later tick: \(laterTick))", bench.found(NodeID.of(b)), [b])
        }
        let bench = quiet(exam)
        let b = Bench.tester(2)
        bench.introduce(b)
        bench.run(.seconds(6))
        _ = bench.ask(hint(b), from: a)
        exam.equal("before the PINGs time out", bench.found(NodeID.of(b)), [b])
        bench.run(.seconds(5))
        exam.equal("PINGs to a silent node", bench.received(b).filter { $0.request != nil }.count, 4)
        exam.equal("a silent node is gone", bench.found(NodeID.of(b)), [])
        // Who gives a hint about itself sees the order: first the PING, then the answer.
        let own = quiet(exam)
        own.citizen(b)
        own.introduce(b)
        own.run(.seconds(6))
        let seen = own.received(b).count
        _ = own.ask(hint(b), from: b)
        exam.equal("a PING comes before the answer", own.received(b).dropFirst(seen).map { $0.request != nil }, [true, false])
        // A flood of hints makes at most ten checks at once.
        let many = (10..<60).map(Bench.tester)
        for tester in many { bench.introduce(tester) }
        bench.run(.seconds(6))
        let sent = bench.sent.count
        for tester in many { bench.send(hint(tester).encoded, from: a) }
        bench.run(.milliseconds(100))
        let pings = bench.sent.dropFirst(sent).filter { (try? Request(decoding: $0.transmit.payload)) != nil }
        exam.require("checks at once", pings.count <= 10, "\(pings.count)")
    }

    private static func remembered(_ exam: Examination) {
        let bench = quiet(exam)
        let liar = Bench.tester(2)
        let honest = Bench.tester(3)
        let anonymous = Bench.tester(4)
        let request = Request(
            tid: 1, to: Bench.server, id: Bytes32([UInt8](repeating: 3, count: 32)), isInternal: true, command: 0)
        exam.equal("a wrong id is answered", bench.ask(request, from: liar)?.error, 0)
        exam.equal("and not remembered", bench.found(NodeID.of(liar)), [])
        exam.equal(
            "another node's id is answered",
            bench.ask(Request(tid: 1, to: Bench.server, id: NodeID.of(honest), isInternal: true, command: 0), from: liar)?.error, 0)
        exam.equal("and not remembered", bench.found(NodeID.of(honest)), [])
        _ = bench.ask(Bench.internalRequest(.ping), from: anonymous)
        _ = bench.ask(Bench.internalRequest(.findNode, target: NodeID.of(anonymous)), from: anonymous)
        exam.equal("without id: not remembered", bench.found(NodeID.of(anonymous)), [])
        bench.introduce(honest)
        exam.equal("with its id: remembered", bench.found(NodeID.of(honest)), [honest])
        // The same through an application's request, and in a response to one of ours.
        let other = Bench.tester(5)
        _ = bench.ask(Request(tid: 1, to: Bench.server, id: NodeID.of(other), isInternal: false, command: 2, target: .zero), from: other)
        exam.require("remembered after an application request", bench.found(NodeID.of(other))?.contains(other) ?? false)
        let third = Bench.tester(6)
        bench.citizen(third)
        bench.node.ping(third)
        bench.run(.seconds(1))
        exam.require("remembered after a response", bench.found(NodeID.of(third))?.contains(third) ?? false)
        // A wrong token hides its sender.
        let fourth = Bench.tester(7)
        let bad = Request(tid: 1, to: Bench.server, id: NodeID.of(fourth), token: .zero, isInternal: true, command: 0)
        exam.equal("wrong token", bench.ask(bad, from: fourth)?.error, 2)
        exam.equal("not remembered after a wrong token", bench.found(NodeID.of(fourth))?.contains(fourth), false)
    }

    /// Testers whose ids differ from the node's in the first bit: they share row 0.
    private static func rowOfTesters(_ count: Int) -> [Endpoint] {
        let own = NodeID.of(Bench.server)
        return Array((100...).lazy.map(Bench.tester).filter { (NodeID.of($0) ^ own).leadingZeroBitCount == 0 }.prefix(count))
    }

    private static func fullRow(_ exam: Examination) {
        for isOldestAlive in [true, false] {
            let bench = quiet(exam)
            let testers = rowOfTesters(21)
            let newcomer = testers[20]
            for tester in testers { bench.citizen(tester) }
            bench.introduce(testers[0])
            bench.run(.seconds(6))
            for tester in testers[1..<20] { bench.introduce(tester) }
            if !isOldestAlive { bench.silence(testers[0]) }
            bench.run(.seconds(6))
            bench.introduce(newcomer)
            bench.run(.milliseconds(100))
            let asked = testers.filter { tester in bench.received(tester).contains { $0.request != nil } }
            exam.equal("asked (oldest alive: \(isOldestAlive))", asked, [testers[0]])
            bench.run(.seconds(5))
            let found = bench.found(NodeID.of(newcomer)) ?? []
            exam.equal("number of nodes", found.count, 20)
            exam.equal("newcomer (oldest alive: \(isOldestAlive))", found.contains(newcomer), !isOldestAlive)
            exam.equal("oldest (oldest alive: \(isOldestAlive))", found.contains(testers[0]), isOldestAlive)
        }
        fullRowInOneTick(exam)
    }

    /// In the tick in which all twenty were heard nobody is asked, and the newcomer is dropped.
    private static func fullRowInOneTick(_ exam: Examination) {
        let bench = quiet(exam)
        for tester in rowOfTesters(21) {
            bench.citizen(tester)
            bench.send(
                Request(tid: 1, to: Bench.server, id: NodeID.of(tester), isInternal: true, command: 0).encoded, from: tester)
        }
        bench.run(.milliseconds(300))
        exam.equal("nodes", bench.node.tableCount, 20)
        exam.require("nobody is asked", rowOfTesters(21).allSatisfy { bench.received($0).allSatisfy { $0.request == nil } })
    }

    private static func idle(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed) { $0.draws.tick = 63 }
        let testers = (10..<22).map(Bench.tester)
        for tester in testers {
            bench.citizen(tester)
            bench.introduce(tester)
        }
        let began = bench.now
        bench.run(.seconds(330))
        var times: [Instant] = []
        var searches: [Instant] = []
        for (at, transmit) in bench.sent where at > began {
            guard let request = try? Request(decoding: transmit.payload), request.isInternal else { continue }
            if request.command == InternalCommand.ping.rawValue, times.last != at { times.append(at) }
            if request.command == InternalCommand.findNode.rawValue { searches.append(at) }
        }
        exam.require("PINGs", times.count >= 7, "\(times.count) rounds in 330 s")
        for (one, next) in zip(times, times.dropFirst()) {
            let gap = (next - one).milliseconds
            exam.require("about 40 s between rounds", (39_000...41_000).contains(gap), "\(gap) ms")
        }
        let first = searches.first.map { ($0 - began).milliseconds } ?? .max
        exam.require("a search within five minutes", first <= 301_000, "\(first) ms")
        // The nodes that were not heard for the longest time come first: five a round, then two.
        let pinged = testers.filter { tester in bench.received(tester).contains { $0.request?.command == 0 } }
        exam.require("many nodes take their turn", pinged.count >= 10, "\(pinged.count) of 12")
        // A silent node leaves the table within a round or two.
        bench.silence(testers[3])
        bench.run(.seconds(400))
        exam.equal("a silent node is gone", bench.found(NodeID.of(testers[3]))?.contains(testers[3]), false)
        exam.require("the others are there", bench.node.tableCount == 11, "\(bench.node.tableCount)")
    }
}
