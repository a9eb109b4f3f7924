import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// What a node answers to requests: DHT-1 to DHT-17, DHT-20 to DHT-29, DHT-56.
enum DHTRPCAnswerChecks {
    private typealias Bench = DHTRPCBench
    private static let a = Bench.tester(1)
    private static let target = NodeID.of(Endpoint(.v4(0x0102_0304), 5))

    static let checks: [Check] = [
        Check("dht.ping", ["DHT-1", "DHT-2", "DHT-5", "DHT-6", "DHT-7", "DHT-25"], .machine) { ping($0) },
        Check("dht.id", ["DHT-3", "DHT-4"], .machine) { ids($0) },
        Check("dht.silence", ["DHT-8", "DHT-9", "DHT-10"], .machine) { silence($0) },
        Check("dht.ping-nat", ["DHT-11", "DHT-12", "DHT-13", "DHT-56"], .machine) { pingNAT($0) },
        Check("dht.find-node", ["DHT-14", "DHT-15", "DHT-16"], .machine) { findNode($0) },
        Check("dht.down-hint-values", ["DHT-17", "DHT-20"], .machine) { downHintValues($0) },
        Check("dht.delayed-ping", ["DHT-21", "DHT-22"], .machine) { delayedPing($0) },
        Check("dht.unknown-command", ["DHT-23", "DHT-24"], .machine) { unknownCommand($0) },
        Check("dht.tokens", ["DHT-26", "DHT-27", "DHT-28", "DHT-29"], .machine) { tokens($0) },
    ]

    private static func isEmpty(_ exam: Examination, _ what: String, _ response: Response?, _ request: Request, to: Endpoint) {
        exam.require("\(what): answered", response != nil, "not by exactly one response")
        guard let response else { return }
        exam.equal("\(what): tid", response.tid, request.tid)
        exam.equal("\(what): to", response.to, to)
        exam.equal("\(what): token", response.token, nil)
        exam.equal("\(what): closerNodes", response.closerNodes, [])
        exam.equal("\(what): error", response.error, 0)
        exam.equal("\(what): value", response.value, nil)
    }

    private static func ping(_ exam: Examination) {
        for bench in [Bench.persistent(exam.seed), Bench.ephemeral(exam.seed)] {
            for tid: UInt16 in [0, 0xffff, 0x1234] {
                let request = Bench.internalRequest(.ping, tid: tid)
                isEmpty(exam, "PING", bench.ask(request, from: a), request, to: a)
                let padded = Bench.internalRequest(.ping, tid: tid, value: [UInt8](repeating: 0, count: 500))
                isEmpty(exam, "PING with 500 bytes", bench.ask(padded, from: a), padded, to: a)
            }
            let request = Bench.internalRequest(.ping)
            for bits: UInt8 in [0x20, 0x40, 0x80, 0xe0] {
                var odd = request.encoded
                odd[1] |= bits
                isEmpty(exam, "flags \(odd[1])", bench.exchange(odd, from: a).first?.response, request, to: a)
            }
            let trailing = request.encoded + (0..<10).map { 0xf0 + $0 }
            isEmpty(exam, "trailing bytes", bench.exchange(trailing, from: a).first?.response, request, to: a)
            for long: [UInt8] in [[0xfd, 0, 0], [0xfe, 0, 0, 0, 0], [0xff, 0, 0, 0, 0, 0, 0, 0, 0]] {
                let bytes = request.encoded.dropLast() + long
                isEmpty(exam, "command \(Hex.encode(long))", bench.exchange(Array(bytes), from: a).first?.response, request, to: a)
            }
        }
    }

    private static func ids(_ exam: Examination) {
        let persistent = Bench.persistent(exam.seed)
        let ping = Bench.internalRequest(.ping)
        exam.equal("id at the server port", persistent.ask(ping, from: a)?.id, NodeID.of(Bench.server))
        exam.equal("42 bytes", persistent.exchange(ping.encoded, from: a).first?.payload.count, 42)
        let client = persistent.exchange(ping.encoded, from: a, toPort: Bench.clientPort)
        exam.equal("no id at the client port", client.map { $0.payload.count }, [10])
        exam.equal("answered from the port asked", client.first?.source.port, Bench.clientPort)
        let ephemeral = Bench.ephemeral(exam.seed)
        let answer = ephemeral.exchange(ping.encoded, from: a).first?.payload
        exam.equal("ten bytes", answer?.count, 10)
        exam.equal("flags", answer?.dropFirst().first, 0)
    }

    private static func silence(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let ping = Bench.internalRequest(.ping).encoded
        for first: UInt8 in [0x02, 0x04, 0x23, 0x00, 0xf3, 0x13] {
            exam.equal("first byte \(first)", bench.exchange([first] + ping.dropFirst(), from: a).count, 0)
        }
        for tiny: [UInt8] in [[], [0], [3], [0x13], [0xff]] { exam.equal("\(tiny)", bench.exchange(tiny, from: a).count, 0) }
        let find = Bench.internalRequest(.findNode, target: target).encoded
        for length in 0..<find.count {
            exam.equal("prefix of \(length) bytes", bench.exchange(Array(find[..<length]), from: a).count, 0)
        }
        exam.equal("the whole", bench.exchange(find, from: a).count, 1)
        exam.equal("from port 0", bench.exchange(ping, from: Endpoint(a.address, 0)).count, 0)
    }

    private static func pingNAT(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let other = Endpoint(a.address, 45_678)
        let value: [UInt8] = [UInt8(45_678 & 0xff), UInt8(45_678 >> 8)]
        for (what, extra) in [("2 bytes", [UInt8]()), ("3 bytes", [9]), ("20 bytes", [UInt8](repeating: 1, count: 18))] {
            for port in [Bench.serverPort, Bench.clientPort] {
                let before = bench.received(other).count
                let request = Bench.internalRequest(.pingNAT, value: value + extra)
                exam.equal("\(what): to the sender's own port", bench.exchange(request.encoded, from: a, toPort: port).count, 0)
                let arrived = Array(bench.received(other).dropFirst(before))
                exam.equal("\(what): to the port named", arrived.count, 1)
                exam.equal("\(what): from the port asked", arrived.first?.source.port, port)
                isEmpty(exam, what, arrived.first?.response, request, to: other)
            }
        }
        let bad: [[UInt8]?] = [nil, [], [7], [0, 0], [0, 0, 1]]
        for value in bad {
            let request = Bench.internalRequest(.pingNAT, value: value)
            exam.equal("value \(value.map { Hex.encode($0) } ?? "none")", bench.exchange(request.encoded, from: a).count, 0)
        }
        let ping = Bench.internalRequest(.ping, value: [])
        isEmpty(exam, "PING with an empty value", bench.ask(ping, from: a), ping, to: a)
    }

    private static func findNode(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let request = Bench.internalRequest(.findNode, target: target)
        let empty = bench.exchange(request.encoded, from: a).first?.payload
        exam.equal("empty table: flags", empty.map { $0[1] }, 0x01)
        exam.equal("without target", bench.exchange(Bench.internalRequest(.findNode).encoded, from: a).count, 0)
        let nodes = (10..<45).map(Bench.tester)
        for node in nodes { bench.introduce(node) }
        let answer = bench.ask(request, from: a)
        exam.equal("number of closer nodes", answer?.closerNodes.count, min(20, bench.node.tableCount))
        exam.require("they are testers", answer?.closerNodes.allSatisfy(nodes.contains) ?? false)
        exam.equal("each once", answer.map { Set($0.closerNodes).count }, answer?.closerNodes.count)
        exam.equal("token", answer?.token, nil)
        exam.equal("value", answer?.value, nil)
        exam.equal("error", answer?.error, 0)
        // Of more than fit, the nearest by XOR.
        let nearest = bench.node.tableNodes.map(\.endpoint).sorted { NodeID.of($0) ^ target < NodeID.of($1) ^ target }
        exam.equal("the nearest of many", answer?.closerNodes, Array(nearest.prefix(20)))
        // All that fit: the reference's order, from what the tester knows: all ids, the node's id.
        let small = Bench.persistent(exam.seed)
        for node in nodes.prefix(15) { small.introduce(node) }
        let all = small.ask(request, from: a)?.closerNodes
        exam.equal("order of few", all, closest(small.node.tableNodes.map(\.endpoint), NodeID.of(Bench.server), 20))
    }

    /// Rows d, d-1, ..., 0, d+1, ..., each in byte order of ids.
    private static func closest(_ nodes: [Endpoint], _ own: Bytes32, _ count: Int) -> [Endpoint] {
        let start = (target ^ own).leadingZeroBitCount
        let rows = Array(stride(from: start, through: 0, by: -1)) + Array((start + 1)..<257)
        return Array(
            rows.flatMap { row in
                nodes.filter { (NodeID.of($0) ^ own).leadingZeroBitCount == row }.sorted { NodeID.of($0) < NodeID.of($1) }
            }.prefix(count))
    }

    private static func downHintValues(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let unknown = Bench.tester(50)
        var writer = Writer()
        writer.address(unknown)
        let request = Bench.internalRequest(.downHint, value: writer.bytes)
        let before = bench.sent.count
        isEmpty(exam, "DOWN_HINT", bench.ask(request, from: a), request, to: a)
        bench.run(.seconds(2))
        exam.equal("datagrams besides the answer", bench.sent.count - before, 1)
        for value: [UInt8]? in [nil, [], [1, 2, 3, 4, 5]] {
            let bad = Bench.internalRequest(.downHint, value: value)
            exam.equal("value \(value.map { Hex.encode($0) } ?? "none")", bench.exchange(bad.encoded, from: a).count, 0)
        }
        let long = Bench.internalRequest(.downHint, value: writer.bytes + [1, 2])
        isEmpty(exam, "8 bytes", bench.ask(long, from: a), long, to: a)
    }

    private static func delayedPing(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        func value(_ delay: UInt32) -> [UInt8] {
            var writer = Writer()
            writer.uint32(delay)
            return writer.bytes
        }
        for delay: UInt32 in [0, 500, 10_000] {
            let request = Bench.internalRequest(.delayedPing, tid: UInt16(delay), value: value(delay))
            let asked = bench.now
            let before = bench.received(a).count
            bench.send(request.encoded, from: a)
            bench.run(.milliseconds(Int64(delay) + 1000))
            let arrived = Array(bench.received(a).dropFirst(before))
            exam.equal("\(delay) ms: answers", arrived.count, 1)
            isEmpty(exam, "\(delay) ms", arrived.first?.response, request, to: a)
            let waited = arrived.first.map { ($0.at - asked).milliseconds } ?? -1
            exam.require("\(delay) ms: waited", (Int64(delay)...Int64(delay) + 1000).contains(waited), "\(waited) ms")
        }
        let before = bench.received(a).count
        for bad in [value(10_001), value(.max), [1, 2, 3], []] {
            bench.send(Bench.internalRequest(.delayedPing, value: bad).encoded, from: a)
        }
        bench.run(.seconds(13))
        exam.equal("answers to bad delays", bench.received(a).count - before, 0)
        exam.equal("a delay above the maximum is not asked for", bench.node.delayedPing(a, delayMilliseconds: 10_001), nil)
    }

    private static func unknownCommand(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        bench.introduce(Bench.tester(2))
        for command: UInt64 in [5, 250, 1 << 40] {
            var request = Request(tid: 9, to: Bench.server, isInternal: true, command: command, target: target)
            let answer = bench.ask(request, from: a)
            exam.equal("command \(command): error", answer?.error, 1)
            exam.equal("command \(command): closer nodes", answer?.closerNodes, [Bench.tester(2)])
            exam.equal("command \(command): token", answer?.token, nil)
            request.target = nil
            let plain = bench.ask(request, from: a)
            exam.equal("command \(command) without target: error", plain?.error, 1)
            exam.equal("command \(command) without target: closer nodes", plain?.closerNodes, [])
        }
        // An ephemeral node does the same for the application's commands.
        let ephemeral = Bench.ephemeral(exam.seed)
        let answer = ephemeral.ask(Request(tid: 9, to: Bench.server, isInternal: false, command: 3, target: target), from: a)
        exam.equal("application command: error", answer?.error, 1)
        exam.equal("application command: token", answer?.token, nil)
    }

    private static func tokens(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let random = Bytes32([UInt8](repeating: 0xab, count: 32))
        func ask(_ token: Bytes32?, from tester: Endpoint, isInternal: Bool = false) -> Response? {
            bench.ask(Request(tid: 5, to: Bench.server, token: token, isInternal: isInternal, command: 2, target: target), from: tester)
        }
        let refused = ask(random, from: a)
        exam.equal("random token: error", refused?.error, 2)
        exam.require("random token: a fresh one comes", refused?.token != nil)
        exam.equal("random token on PING: error", ask(random, from: a, isInternal: true)?.error, 2)
        let token = refused?.token
        exam.equal("that token", ask(token, from: a)?.error, 0)
        let issued = bench.now
        bench.run(.seconds(6))
        exam.equal("within 7 s, from another port", ask(token, from: Endpoint(a.address, 999))?.error, 0)
        exam.equal("from another host", ask(token, from: Bench.tester(2))?.error, 2)
        bench.run(.seconds(16)) { bench.now - issued > .milliseconds(15_100) }
        let late = ask(token, from: a)
        exam.equal("after 15 s", late?.error, 2)
        exam.equal("the fresh one then", ask(late?.token, from: a)?.error, 0)
        exam.equal("different hosts, different tokens", ask(nil, from: a)?.token == ask(nil, from: Bench.tester(2))?.token, false)
    }
}
