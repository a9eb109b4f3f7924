import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// What a node does with its own requests: DHT-33 to DHT-36, DHT-39, DHT-48, DHT-55.
enum DHTRPCRequestChecks {
    private typealias Bench = DHTRPCBench
    private static let a = Bench.tester(1)

    static let checks: [Check] = [
        Check("dht.retries", ["DHT-33", "DHT-34", "DHT-35"], .machine) { retries($0) },
        Check("dht.responses-taken", ["DHT-36", "DHT-39"], .machine) { responses($0) },
        Check("dht.sockets", ["DHT-48"], .machine) { sockets($0) },
        Check("dht.window", ["DHT-55"], .machine) { window($0) },
    ]

    private static func identicalSecondsApart(_ exam: Examination, _ what: String, _ arrivals: [DHTRPCBench.Arrival], _ count: Int) {
        exam.equal("\(what): datagrams", arrivals.count, count)
        exam.equal("\(what): different ones", Set(arrivals.map(\.payload)).count, 1)
        for (one, next) in zip(arrivals, arrivals.dropFirst()) {
            let gap = (next.at - one.at).milliseconds
            exam.require("\(what): about 1 s apart", (900...1300).contains(gap), "\(gap) ms")
        }
    }

    private static func retries(_ exam: Examination) {
        let starting = Bench.ephemeral(exam.seed, bootstrap: [a])
        starting.run(.seconds(20)) { starting.isReady }
        identicalSecondsApart(exam, "bootstrap query", starting.received(a), 6)
        exam.require("ready all the same", starting.isReady)

        let bench = Bench.persistent(exam.seed)
        let ping = bench.node.ping(a)
        bench.collect()
        bench.run(.milliseconds(3900))
        exam.equal("no failure before 4 s", bench.failure(of: ping), nil)
        bench.run(.seconds(3))
        identicalSecondsApart(exam, "ping", bench.received(a), 4)
        exam.equal("then a timeout", bench.failure(of: ping), .timeout)

        let b = Bench.tester(2)
        var once = RequestOptions()
        once.retries = 0
        let single = bench.node.ping(b, options: once)
        bench.collect()
        bench.run(.seconds(5))
        exam.equal("retry off: datagrams", bench.received(b).count, 1)
        exam.equal("retry off: timeout", bench.failure(of: single), .timeout)
    }

    private static func responses(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let b = Bench.tester(2)
        func begin() -> (RequestID, Request?) {
            let id = bench.node.ping(a)
            bench.collect()
            bench.run(.milliseconds(100))
            return (id, bench.received(a).last?.request)
        }
        /// The request stays unanswered, and is sent again.
        func stays(_ what: String, _ id: RequestID, _ payload: [UInt8], from source: Endpoint, port: UInt16 = Bench.serverPort) {
            let before = bench.received(a).count
            bench.send(payload, from: source, toPort: port)
            bench.run(.milliseconds(1100))
            exam.equal("\(what): not taken", bench.response(of: id) == nil, true)
            exam.require("\(what): sent again", bench.received(a).count > before)
        }
        let (first, request) = begin()
        guard let request else { return exam.report("request", expected: "a PING", actual: "nothing") }
        let good = Response(tid: request.tid, to: Bench.server)
        var other = good
        other.tid = request.tid &+ 1
        stays("wrong tid", first, other.encoded, from: a)
        // A deliberate difference from the reference: only the address asked may answer, on the socket that asked.
        stays("another address", first, good.encoded, from: b)
        bench.send(good.encoded, from: a, toPort: Bench.clientPort)
        bench.run(.milliseconds(100))
        exam.equal("another socket: not taken", bench.response(of: first) == nil, true)
        bench.send(good.encoded, from: a)
        bench.run(.milliseconds(100))
        exam.equal("the right one", bench.response(of: first)?.from, a)

        let (second, again) = begin()
        guard let again else { return exam.report("request", expected: "a PING", actual: "nothing") }
        var huge = Response(tid: again.tid, to: Bench.server, id: NodeID.of(a)).encoded
        huge[1] |= 0x04
        stays("closerNodes count 0xffffffff", second, huge + [0xfe, 0xff, 0xff, 0xff, 0xff], from: a)
        var cut = Response(tid: again.tid, to: Bench.server, id: NodeID.of(a)).encoded
        cut.removeLast()
        stays("a cut response", second, cut, from: a)
        bench.send(Response(tid: again.tid, to: Bench.server).encoded, from: a)
        bench.run(.milliseconds(100))
        exam.equal("then the right one", bench.response(of: second)?.from, a)
        // It is taken once.
        bench.send(Response(tid: again.tid, to: Bench.server, id: NodeID.of(a)).encoded, from: a)
        bench.run(.milliseconds(100))
        exam.equal("a replayed response leaves no trace", bench.found(NodeID.of(a)), [])
    }

    private static func sockets(_ exam: Examination) {
        let persistent = Bench.persistent(exam.seed)
        persistent.node.ping(a)
        persistent.collect()
        persistent.run(.milliseconds(50))
        exam.equal("persistent: from the server port", persistent.received(a).map(\.source.port), [Bench.serverPort])
        exam.equal("persistent: with its id", persistent.received(a).first?.request?.id, NodeID.of(Bench.server))
        let firewalled = Bench.ephemeral(exam.seed)
        firewalled.node.ping(a)
        firewalled.collect()
        firewalled.run(.milliseconds(50))
        exam.require("firewalled: from another port", firewalled.received(a).first.map { $0.source.port != Bench.serverPort } ?? false)
        exam.equal("firewalled: without id", firewalled.received(a).first?.request?.id, nil)
        let open = Bench.ephemeral(exam.seed) { $0.firewalled = false }
        open.node.ping(a)
        open.collect()
        open.run(.milliseconds(50))
        exam.equal("open: from the server port", open.received(a).map(\.source.port), [Bench.serverPort])
        var options = RequestOptions()
        options.timeToLive = 5
        open.node.ping(a, padding: 300, options: options)
        open.collect()
        exam.equal("TTL as asked for", open.sent.last?.transmit.timeToLive, 5)
        open.run(.milliseconds(50))
        exam.equal("padding", open.received(a).last?.request?.value, [UInt8](repeating: 0, count: 300))
    }

    private static func window(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let began = bench.now
        let testers = (100..<400).map(Bench.tester)
        let requests = testers.map { bench.node.ping($0) }
        bench.collect()
        bench.run(.seconds(60))
        func sent(before milliseconds: Int64) -> Int { bench.sent.filter { ($0.at - began).milliseconds < milliseconds }.count }
        exam.equal("before the first drain", sent(before: 740), 80)
        exam.equal("before the oldest slot expires", sent(before: 2990), 160)
        exam.require("all were sent", testers.allSatisfy { !bench.received($0).isEmpty })
        exam.require("all ended", requests.allSatisfy { bench.failure(of: $0) == .timeout })
        exam.equal("datagrams in all", bench.sent.count, 4 * testers.count)
        // What is forced does not wait.
        let more = testers.map { bench.node.ping($0) }
        var forced = RequestOptions()
        forced.isForced = true
        bench.node.ping(a, options: forced)
        bench.collect()
        bench.run(.milliseconds(50))
        exam.equal("forced: at once", bench.received(a).count, 1)
        // Cancelled ones are never heard of again.
        for request in more { bench.node.cancel(request) }
        let before = bench.sent.count
        bench.run(.seconds(10))
        exam.equal("after cancelling", bench.sent.count, before)
        exam.equal("unfinished requests", bench.node.statistics.requestsActive, 0)
    }
}
