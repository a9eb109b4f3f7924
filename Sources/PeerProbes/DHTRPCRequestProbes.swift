import CompactEncoding
import Conformance
import DHTRPC
import Foundation
import HyperCrypto
import LivePeers
import SansIO
import StrictJSON

/// dht-rpc from the outside: what a node asks by itself, its queries, its table, its life.
enum DHTRPCRequestProbes {
    private static func probe(
        _ slug: String, _ requirement: String, needs: [String] = [], _ run: @escaping @Sendable (DHTProbing) throws -> Void
    ) -> Probe {
        .dht("dht-rpc", slug, [requirement], needs: needs, run)
    }

    static let probes: [Probe] = requests + queries + persistence + table + life

    private static let topic = Blake2b.hash256(Array("hyperconform probe".utf8))

    private static func text(_ bytes: Bytes32) -> JSON { .string(Hex.encode(bytes.bytes)) }

    private static let requests: [Probe] = [
        probe("query-retries", "DHT-33") { dht in
            let tester = try dht.context.tester()
            _ = try dht.start(["bootstrap": [.endpoint(tester.endpoint)], "wait": false, "port": 0])
            let asked = try dht.serve([tester], 8500, answer: { _ in nil })
            guard let first = asked.first else { return dht.exam.report("requests", expected: "6", actual: "none") }
            let same = asked.filter { $0.request.tid == first.request.tid }
            dht.exam.equal("datagrams", same.count, 6)
            dht.exam.require("identical", same.allSatisfy { $0.arrival.payload == first.arrival.payload }, "they differ")
            for (one, next) in zip(same, same.dropFirst()) {
                let gap = (next.arrival.at - one.arrival.at).milliseconds
                dht.exam.require("gap", (750...1600).contains(gap), "\(gap) ms")
            }
        },
        probe("ping-retries", "DHT-34", needs: ["ping"]) { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let (reply, asked) = try dht.serve(
                [tester], during: "ping", JSONObject(["node": node.handle]).at(tester.endpoint), answer: { _ in nil })
            dht.exam.equal("datagrams", asked.count, 4)
            dht.exam.equal("different ones", Set(asked.map(\.arrival.payload)).count, 1)
            for (one, next) in zip(asked, asked.dropFirst()) {
                let gap = (next.arrival.at - one.arrival.at).milliseconds
                dht.exam.require("gap", (750...1600).contains(gap), "\(gap) ms")
            }
            dht.exam.equal("error", failure(reply), "REQUEST_TIMEOUT")
        },
        probe("request-without-retry", "DHT-35", needs: ["request"]) { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let arguments: JSONObject = ["node": node.handle, "number": 0, "internal": true, "retry": false]
            let (reply, asked) = try dht.serve([tester], during: "request", arguments.at(tester.endpoint), answer: { _ in nil })
            let later = try dht.serve([tester], 1500, answer: { _ in nil })
            dht.exam.equal("datagrams", asked.count + later.count, 1)
            dht.exam.equal("error", failure(reply), "REQUEST_TIMEOUT")
        },
        probe("wrong-tid", "DHT-36", needs: ["ping"]) { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let id = try dht.peer.send("ping", JSONObject(["node": node.handle]).at(tester.endpoint))
            let asked = try dht.serve([tester], 3500, until: { $0.count >= 2 }) { asked in
                var response = DHTProbing.plainAnswer(asked)
                response.tid &+= 1
                return response
            }
            dht.exam.require("retransmission", asked.count >= 2, "\(asked.count) datagrams")
            try dht.serve([tester], 5000, until: { [context = dht.context] _ in context.isAnswered(id) })
            dht.exam.require("ping", (try? dht.peer.reply(to: id, "ping", seconds: 3)) != nil, "failed though the right answer came")
        },
        probe("count-without-items", "DHT-39", needs: ["ping"]) { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            _ = try dht.peer.send("ping", JSONObject(["node": node.handle]).at(tester.endpoint))
            var count = 0
            let deadline = Instant.now + .milliseconds(3500)
            while count < 2, let (_, arrival) = UDPTester.next(of: [tester], until: deadline) {
                guard let request = try? Request(decoding: arrival.payload) else { continue }
                count += 1
                var bytes = Response(tid: request.tid, to: arrival.source).encoded
                bytes[1] = 4
                try tester.send(bytes + [0xfe, 0xff, 0xff, 0xff, 0xff], to: arrival.source)
            }
            dht.exam.require("retransmission", count >= 2, "\(count) datagrams")
            try dht.expectAlive(node)
        },
        probe("which-socket", "DHT-48", needs: ["ping"]) { dht in
            let tester = try dht.context.tester()
            func source(_ node: DHTProbing.Node) throws -> UInt16? {
                let (_, asked) = try dht.serve([tester], during: "ping", JSONObject(["node": node.handle]).at(tester.endpoint))
                return asked.first?.arrival.source.port
            }
            let persistent = try dht.bootstrapper()
            dht.exam.equal("persistent, source port", try source(persistent), persistent.address.port)
            let firewalled = try dht.start(["bootstrap": [], "port": 0, "ephemeral": true])
            let port = try source(firewalled)
            dht.exam.require("firewalled, source port", port != nil && port != firewalled.address.port, "the server port")
        },
        probe("request-window", "DHT-55", needs: ["request"]) { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for _ in 0..<300 {
                _ = try dht.peer.send("request", JSONObject(["node": node.handle, "number": 0, "internal": true]).at(tester.endpoint))
            }
            let asked = try dht.serve([tester], 12_000, until: { Set($0.map(\.request.tid)).count >= 300 }, answer: { _ in nil })
            guard let first = asked.first?.arrival.at else { return dht.exam.report("datagrams", expected: "80", actual: "none") }
            func sent(before milliseconds: Int64) -> Int { asked.count { ($0.arrival.at - first).milliseconds < milliseconds } }
            // The drain's own clock started with the node: up to 750 ms earlier than the first request.
            dht.exam.require("before the second drain", sent(before: 700) <= 160, "\(sent(before: 700)) datagrams")
            dht.exam.require("before the oldest slot expires", sent(before: 2200) <= 160, "\(sent(before: 2200)) datagrams")
            dht.exam.equal("all sent in the end", Set(asked.map(\.request.tid)).count, 300)
        },
    ]

    /// The code of a refusal.
    private static func failure(_ reply: Result<JSON, PeerFailure>) -> String? {
        if case .failure(let failure) = reply { failure.code } else { nil }
    }

    private static let queries: [Probe] = [
        probe("error-with-closer-nodes", "DHT-37", needs: ["query"]) { dht in
            let (first, second) = (try dht.context.tester(), try dht.context.tester())
            let node = try dht.bootstrapper(knows: [first])
            let (reply, asked) = try dht.serve(
                [first, second], during: "query", ["node": node.handle, "number": 3, "target": text(topic)]
            ) {
                guard $0.tester === first, !$0.request.isInternal else { return DHTProbing.plainAnswer($0) }
                var response = DHTProbing.plainAnswer($0, closerNodes: [second.endpoint], withToken: false)
                response.error = 1
                return response
            }
            dht.exam.require("the node named is visited", asked.contains { $0.tester === second && !$0.request.isInternal }, "no request")
            let closest = try reply.get()["closestNodes"]?.array?.compactMap(\.endpoint) ?? []
            dht.exam.equal("closest", closest, [second.endpoint])
        },
        probe("thirty-closer-nodes", "DHT-38", needs: ["query"]) { dht in
            let first = try dht.context.tester()
            let others = try (0..<30).map { _ in try dht.context.tester() }
            let node = try dht.bootstrapper(knows: [first])
            let (reply, asked) = try dht.serve(
                [first] + others, during: "query", ["node": node.handle, "number": 3, "target": text(topic)]
            ) {
                DHTProbing.plainAnswer($0, closerNodes: $0.tester === first && !$0.request.isInternal ? others.map(\.endpoint) : [])
            }
            dht.exam.require("nodes named are visited", asked.contains { $0.tester !== first && !$0.request.isInternal }, "no request")
            let closest = try reply.get()["closestNodes"]?.array?.count ?? 0
            dht.exam.require("closest", (1...20).contains(closest), "\(closest)")
            try dht.expectAlive(node)
        },
        probe("own-address", "DHT-40", needs: ["query"]) { dht in
            let tester = try dht.context.tester()
            let node = try dht.bootstrapper(knows: [tester])
            let (reply, _) = try dht.serve([tester], during: "query", ["node": node.handle, "number": 3, "target": text(topic)]) {
                DHTProbing.plainAnswer($0, closerNodes: [node.address])
            }
            let from = try reply.get()["replies"]?.array?.compactMap { $0["from"]?.endpoint } ?? []
            dht.exam.equal("who replied", from, [tester.endpoint])
        },
        probe("commit", "DHT-41", needs: ["announce"]) { dht in
            let testers = try (0..<25).map { _ in try dht.context.tester() }
            let node = try dht.bootstrapper(knows: testers)
            let (reply, asked) = try dht.serve(testers, during: "announce", ["node": node.handle, "topic": text(topic)]) {
                DHTProbing.plainAnswer($0, closerNodes: $0.request.isInternal ? [] : testers.map(\.endpoint))
            }
            let closest = try reply.get()["closestNodes"]?.array?.compactMap(\.endpoint) ?? []
            let nearest = testers.sorted {
                distance(DHTProbing.id($0), topic).lexicographicallyPrecedes(distance(DHTProbing.id($1), topic))
            }
            dht.exam.equal("closest", closest, nearest.prefix(20).map(\.endpoint))
            let commits = asked.filter { !$0.request.isInternal && $0.request.command == 4 }
            dht.exam.equal("commits", Set(commits.map(\.tester.endpoint)), Set(closest))
            dht.exam.equal("one each", Set(commits.map(\.request.tid)).count, closest.count)
            for commit in commits {
                dht.exam.bytes("token", commit.request.token?.bytes, DHTProbing.token(commit.tester).bytes)
            }
        },
        probe("commit-without-tokens", "DHT-42", needs: ["announce"]) { dht in
            let testers = try (0..<3).map { _ in try dht.context.tester() }
            let node = try dht.bootstrapper(knows: testers)
            let (reply, asked) = try dht.serve(testers, during: "announce", ["node": node.handle, "topic": text(topic)]) {
                DHTProbing.plainAnswer($0, withToken: false)
            }
            let failed: Bool = if case .failure = reply { true } else { false }
            dht.exam.require("the query", failed, "succeeded")
            dht.exam.equal("commits", asked.count { !$0.request.isInternal && $0.request.command == 4 }, 0)
        },
        probe("down-hints", "DHT-43", needs: ["findNode"]) { dht in
            let (first, second, dead) = (try dht.context.tester(), try dht.context.tester(), try dht.context.tester())
            let node = try dht.bootstrapper(knows: [first, second])
            let arguments: JSONObject = ["node": node.handle, "target": text(topic)]
            func answer(_ asked: DHTProbing.Asked) -> Response? {
                asked.tester === dead
                    ? nil : DHTProbing.plainAnswer(asked, closerNodes: asked.request.command == 2 ? [dead.endpoint] : [])
            }
            var (_, asked) = try dht.serve([first, second, dead], during: "findNode", arguments, answer: answer)
            asked += try dht.serve([first, second], 1500)
            let hints = asked.filter { $0.request.isInternal && $0.request.command == 3 }
            dht.exam.equal("who is told", Set(hints.map(\.tester.endpoint)), [first.endpoint, second.endpoint])
            for hint in hints { dht.exam.bytes("value", hint.request.value, [127, 0, 0, 1] + littleEndian(dead.endpoint.port, 2)) }
        },
    ]

    private static func distance(_ a: Bytes32, _ b: Bytes32) -> [UInt8] { zip(a.bytes, b.bytes).map { $0 ^ $1 } }

    /// A node that is to become persistent, and what its two testers were asked until it is ready and has pinged once.
    private static func climb(
        _ dht: DHTProbing, answer: (DHTProbing.Asked) throws -> Response?
    ) throws -> (node: DHTProbing.Node, asked: [DHTProbing.Asked], ping: DHTProbing.Asked?, info: JSON) {
        let (first, second) = (try dht.context.tester(), try dht.context.tester())
        let bootstrap: [JSON] = [.endpoint(first.endpoint), .endpoint(second.endpoint)]
        var (node, asked) = try dht.start(
            ["bootstrap": .array(bootstrap), "ephemeral": false, "port": 0], served: [first, second], answer: answer)
        asked += try dht.serve([first, second], 3000, until: { _ in false }, answer: answer)
        let (_, pinged) = try dht.serve(
            [first, second], during: "ping", JSONObject(["node": node.handle]).at(first.endpoint), answer: answer)
        return (node, asked, pinged.first { $0.request.isInternal && $0.request.command == 0 }, try dht.info(node))
    }

    private static let persistence: [Probe] = [
        probe("becomes-persistent", "DHT-45", needs: ["ping", "info"]) { dht in
            let (node, asked, ping, info) = try climb(dht) { asked in
                let response = DHTProbing.plainAnswer(asked)
                guard asked.request.isInternal, asked.request.command == 1, let value = asked.request.value, value.count >= 2 else {
                    return response
                }
                // To the port that was named, with the address there.
                let port = UInt16(value[0]) | UInt16(value[1]) << 8
                var moved = response
                moved.to = Endpoint(asked.arrival.source.address, port)
                try asked.tester.send(moved.encoded, to: moved.to)
                return nil
            }
            let probes = asked.filter { $0.request.isInternal && $0.request.command == 1 }
            dht.exam.require("PING_NAT", !probes.isEmpty, "none")
            for probe in probes { dht.exam.bytes("port", probe.request.value, littleEndian(node.address.port, 2)) }
            dht.exam.bytes("id afterwards", ping?.request.id?.bytes, NodeID.of(node.address).bytes)
            dht.exam.equal("source port", ping?.arrival.source.port, node.address.port)
            dht.exam.equal("ephemeral", info["ephemeral"]?.bool, false)
        },
        probe("stays-ephemeral-behind-a-firewall", "DHT-46", needs: ["ping", "info"]) { dht in
            // PING_NAT is answered, but to the client port only.
            let (node, asked, ping, info) = try climb(dht) { asked in DHTProbing.plainAnswer(asked) }
            dht.exam.require("PING_NAT", asked.contains { $0.request.isInternal && $0.request.command == 1 }, "none")
            dht.exam.require("no id", ping?.request.id == nil, "an id")
            dht.exam.require("client socket", ping != nil && ping?.arrival.source.port != node.address.port, "the server port")
            dht.exam.equal("ephemeral", info["ephemeral"]?.bool, true)
        },
        probe("stays-ephemeral-with-random-ports", "DHT-47", needs: ["ping", "info"]) { dht in
            let count = Counter()
            let (_, _, ping, info) = try climb(dht) { asked in
                var response = DHTProbing.plainAnswer(asked)
                response.to.port = 20_000 + count.next()
                return response
            }
            dht.exam.require("no id", ping?.request.id == nil, "an id")
            dht.exam.equal("ephemeral", info["ephemeral"]?.bool, true)
        },
    ]

    private final class Counter {
        private var value: UInt16 = 0
        func next() -> UInt16 {
            value += 1
            return value
        }
    }

    /// Twenty testers in one row of the node's table, and a 21st; all have been heard in an earlier tick but the last.
    private static func fullRow(_ dht: DHTProbing) throws -> (node: DHTProbing.Node, row: [UDPTester], last: UDPTester) {
        let node = try dht.bootstrapper()
        let id = NodeID.of(node.address)
        var row: [UDPTester] = []
        while row.count < 21 {
            let tester = try dht.context.tester()
            if (DHTProbing.id(tester).bytes[0] ^ id.bytes[0]) & 0x80 != 0 { row.append(tester) }
        }
        let last = row.removeLast()
        for tester in row {
            _ = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, id: DHTProbing.id(tester)), from: tester))
        }
        return (node, row, last)
    }

    private static let table: [Probe] = [
        probe("full-row-alive", "DHT-49") { dht in
            let (node, row, last) = try fullRow(dht)
            try dht.serve(row, 5800)
            try last.send(dht.request(node, .ping, id: DHTProbing.id(last)).encoded, to: node.address)
            let asked = try dht.serve(row, 2500).filter { $0.request.isInternal && $0.request.command == 0 }
            dht.exam.require("a PING to one of the row", !asked.isEmpty, "none")
            dht.exam.require("kept", try asked.allSatisfy { try dht.lists(node, DHTProbing.id($0.tester), $0.tester.endpoint) }, "evicted")
            dht.exam.require("the 21st", try !dht.lists(node, DHTProbing.id(last), last.endpoint), "took the place of a live node")
        },
        probe("full-row-dead", "DHT-50") { dht in
            let (node, row, last) = try fullRow(dht)
            try dht.serve(row, 5800)
            try last.send(dht.request(node, .ping, id: DHTProbing.id(last)).encoded, to: node.address)
            let asked = try dht.serve(row, 8000, answer: { _ in nil }).filter { $0.request.isInternal && $0.request.command == 0 }
            guard let silent = asked.first?.tester else { return dht.exam.report("a PING to the oldest", expected: "one", actual: "none") }
            dht.exam.require("the 21st", try dht.lists(node, DHTProbing.id(last), last.endpoint), "not in FIND_NODE")
            dht.exam.require("the silent one", try !dht.lists(node, DHTProbing.id(silent), silent.endpoint), "still in FIND_NODE")
        },
    ]

    private static let life: [Probe] = [
        probe("suspend", "DHT-52", needs: ["suspend", "resume"]) { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            _ = try dht.expectResponse("PING before", dht.ask(node, dht.request(node, .ping), from: tester))
            try dht.peer.request("suspend", ["node": node.handle])
            try tester.send(dht.request(node, .ping).encoded, to: node.address)
            dht.expectSilence("PING while suspended", tester, 600)
            try dht.peer.request("resume", ["node": node.handle])
            _ = try dht.expectResponse("PING afterwards", dht.ask(node, dht.request(node, .ping), from: tester))
        },
        probe("named-bootstrap", "DHT-53") { dht in dht.exam.notRun("the contract's bootstrap takes addresses only") },
        probe("taken-port", "DHT-54") { dht in
            // Two ports that follow each other, both held by testers.
            for _ in 0..<20 {
                let first = try dht.context.tester()
                guard first.endpoint.port < 65_000, let second = try? dht.context.tester(port: first.endpoint.port + 1) else { continue }
                let node = try dht.start(["bootstrap": [], "ephemeral": true, "port": .integer(first.endpoint.port)])
                dht.exam.require(
                    "port", ((second.endpoint.port + 1)...(first.endpoint.port + 4)).contains(node.address.port),
                    "\(node.address.port) for \(first.endpoint.port)")
                let tester = try dht.context.tester()
                _ = try dht.expectResponse("PING there", dht.ask(node, dht.request(node, .ping), from: tester))
                return
            }
            throw ProbeError("no two neighbouring ports are free")
        },
    ]
}
