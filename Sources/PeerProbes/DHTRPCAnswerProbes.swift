import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import SansIO
import StrictJSON

/// dht-rpc from the outside: what a node answers to one datagram.
enum DHTRPCAnswerProbes {
    private static func probe(_ slug: String, _ requirement: String, _ run: @escaping @Sendable (DHTProbing) throws -> Void) -> Probe {
        .dht("dht-rpc", slug, [requirement], run)
    }

    static let probes: [Probe] = forms + addresses + finding + unknown + tokens + identities

    private static let forms: [Probe] = [
        probe("ping", "DHT-1") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let request = dht.request(node, .ping)
            let response = try dht.expectResponse("PING", dht.ask(node, request, from: tester))
            dht.isPlainOK(response, "PING")
            dht.exam.equal("to", response.to, tester.endpoint)
            dht.expectSilence("a second response", tester, 300)
        },
        probe("tids", "DHT-2") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for tid: UInt16 in [0, 0xffff, 0x0102] {
                let request = Request(tid: tid, to: node.address, isInternal: true, command: 0)
                try tester.send(request.encoded, to: node.address)
                let arrival = tester.receive(within: DHTProbing.prompt)
                dht.exam.bytes("tid", arrival.map { Array($0.payload.prefix(4).suffix(2)) }, littleEndian(tid, 2))
            }
        },
        probe("id", "DHT-3") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let response = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping), from: tester))
            dht.exam.bytes("id", response.id?.bytes, NodeID.of(node.address).bytes)
        },
        probe("ephemeral", "DHT-4") { dht in
            let node = try dht.start(["bootstrap": [], "ephemeral": true, "port": 0])
            let tester = try dht.context.tester()
            for port in [node.address.port, node.clientPort].compactMap({ $0 }) {
                let address = Endpoint(.loopback, port)
                let request = Request(tid: 0x1234, to: address, isInternal: true, command: 0)
                try tester.send(request.encoded, to: address)
                let arrival = tester.receive(within: DHTProbing.prompt)
                let expected = [0x13, 0, 0x34, 0x12, 127, 0, 0, 1] + littleEndian(tester.endpoint.port, 2)
                dht.exam.bytes("response", arrival?.payload, expected)
            }
        },
        probe("ping-with-value", "DHT-5") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let request = dht.request(node, .ping, value: [UInt8](repeating: 7, count: 500))
            dht.isPlainOK(try dht.expectResponse("PING", dht.ask(node, request, from: tester)), "PING")
        },
        probe("unknown-flags", "DHT-6") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for flags: UInt8 in [0xe4, 0x24, 0x84] {
                var bytes = dht.request(node, .ping).encoded
                bytes[1] = flags
                try tester.send(bytes, to: node.address)
                let tid = UInt16(bytes[2]) | UInt16(bytes[3]) << 8
                dht.isPlainOK(try dht.expectResponse("flags \(flags)", dht.response(tester, tid: tid)?.0), "flags \(flags)")
            }
        },
        probe("trailing-bytes", "DHT-7") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let request = dht.request(node, .ping)
            try tester.send(request.encoded + [UInt8](repeating: 0xaa, count: 10), to: node.address)
            dht.isPlainOK(try dht.expectResponse("PING", dht.response(tester, tid: request.tid)?.0), "PING")
        },
        probe("first-bytes", "DHT-8") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for first: UInt8 in [0x02, 0x04, 0x13, 0x23, 0x00, 0x83] {
                var bytes = dht.request(node, .ping).encoded
                bytes[0] = first
                try tester.send(bytes, to: node.address)
            }
            dht.expectSilence("first bytes", tester, 600)
            try dht.expectAlive(node)
        },
        probe("tiny-datagrams", "DHT-9") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for bytes: [UInt8] in [[], [0], [3], [0x13]] { try tester.send(bytes, to: node.address) }
            dht.expectSilence("tiny datagrams", tester, 600)
            try dht.expectAlive(node)
        },
        probe("prefixes", "DHT-10") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let whole = dht.request(node, .findNode, target: .zero).encoded
            for length in 0..<whole.count { try tester.send(Array(whole.prefix(length)), to: node.address) }
            dht.expectSilence("prefixes", tester, 600)
            try dht.expectAlive(node)
        },
        probe("long-integers", "DHT-25") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for long: [UInt8] in [[0xfd, 0, 0], [0xfe, 0, 0, 0, 0], [0xff, 0, 0, 0, 0, 0, 0, 0, 0]] {
                let request = dht.request(node, .ping)
                try tester.send(Array(request.encoded.prefix(10)) + long, to: node.address)
                dht.isPlainOK(try dht.expectResponse("PING", dht.response(tester, tid: request.tid)?.0), "PING")
            }
        },
        probe("empty-values", "DHT-56") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            dht.isPlainOK(try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, value: []), from: tester)), "PING")
            try tester.send(dht.request(node, .pingNAT, value: []).encoded, to: node.address)
            dht.expectSilence("PING_NAT", tester)
        },
    ]

    private static let addresses: [Probe] = [
        probe("ping-nat", "DHT-11") { dht in
            let node = try dht.bootstrapper()
            let (tester, other) = (try dht.context.tester(), try dht.context.tester())
            let request = dht.request(node, .pingNAT, value: littleEndian(other.endpoint.port, 2))
            try tester.send(request.encoded, to: node.address)
            guard let (response, arrival) = dht.response(other, tid: request.tid) else {
                return dht.exam.report("PING_NAT", expected: "a response on the second port", actual: "silence")
            }
            dht.isPlainOK(response, "PING_NAT")
            dht.exam.equal("to", response.to, other.endpoint)
            dht.exam.equal("source", arrival.source, node.address)
            dht.expectSilence("the asking port", tester, 300)
        },
        probe("ping-nat-bad", "DHT-12") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for value: [UInt8]? in [[0, 0], [7], nil] {
                try tester.send(dht.request(node, .pingNAT, value: value).encoded, to: node.address)
            }
            dht.expectSilence("bad values", tester, 500)
            try dht.expectAlive(node)
        },
        probe("ping-nat-long", "DHT-13") { dht in
            let node = try dht.bootstrapper()
            let (tester, other) = (try dht.context.tester(), try dht.context.tester())
            let request = dht.request(node, .pingNAT, value: littleEndian(other.endpoint.port, 2) + [9])
            try tester.send(request.encoded, to: node.address)
            _ = try dht.expectResponse("PING_NAT", dht.response(other, tid: request.tid)?.0)
        },
        probe("delayed-ping", "DHT-21") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let start = Instant.now
            let request = dht.request(node, .delayedPing, value: littleEndian(500, 4))
            dht.isPlainOK(try dht.expectResponse("DELAYED_PING", dht.ask(node, request, from: tester, within: 3000)), "DELAYED_PING")
            let took = (Instant.now - start).milliseconds
            dht.exam.require("delay", (490...1500).contains(took), "\(took) ms")
        },
        probe("delayed-ping-bad", "DHT-22") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for value: [UInt8]? in [littleEndian(10_001, 4), [1, 0, 0], nil] {
                try tester.send(dht.request(node, .delayedPing, value: value).encoded, to: node.address)
            }
            dht.expectSilence("bad values", tester, 12_000)
        },
    ]

    private static let finding: [Probe] = [
        probe("find-node", "DHT-14") { dht in
            let known = try (1...30).map { _ in try dht.context.tester() }
            let node = try dht.bootstrapper(knows: known)
            let tester = try dht.context.tester()
            let target = Blake2b.hash256(Array("target".utf8))
            let response = try dht.expectResponse("FIND_NODE", dht.ask(node, dht.request(node, .findNode, target: target), from: tester))
            dht.exam.require("closerNodes", (1...20).contains(response.closerNodes.count), "\(response.closerNodes.count)")
            dht.exam.require(
                "closerNodes", response.closerNodes.allSatisfy { known.map(\.endpoint).contains($0) }, "a node that nobody named")
            dht.exam.require("token", response.token == nil, "present")
            dht.exam.require("value", response.value == nil, "present")
        },
        probe("empty-table", "DHT-15") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let request = dht.request(node, .findNode, target: .zero)
            try tester.send(request.encoded, to: node.address)
            let payload = tester.receive(within: DHTProbing.prompt)?.payload ?? []
            dht.exam.require("response", payload.count > 1, "silence")
            dht.exam.require("flag 0x04", payload.count > 1 && payload[1] & 4 == 0, "set")
        },
        probe("find-node-without-target", "DHT-16") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            try tester.send(dht.request(node, .findNode).encoded, to: node.address)
            dht.expectSilence("FIND_NODE", tester)
            try dht.expectAlive(node)
        },
        probe("down-hint-unknown", "DHT-17") { dht in
            let node = try dht.bootstrapper()
            let (tester, other) = (try dht.context.tester(), try dht.context.tester())
            let request = dht.request(node, .downHint, value: [127, 0, 0, 1] + littleEndian(other.endpoint.port, 2))
            dht.isPlainOK(try dht.expectResponse("DOWN_HINT", dht.ask(node, request, from: tester)), "DOWN_HINT")
            dht.exam.require("other traffic", other.receive(within: 900) == nil, "a datagram at the address that was named")
        },
        probe("down-hint-bad", "DHT-20") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for value: [UInt8]? in [[127, 0, 0, 1, 7], nil] {
                try tester.send(dht.request(node, .downHint, value: value).encoded, to: node.address)
            }
            dht.expectSilence("bad values", tester, 500)
            try dht.expectAlive(node)
        },
        probe("down-hint-alive", "DHT-18") { dht in
            let node = try dht.bootstrapper()
            let (tester, known) = (try dht.context.tester(), try dht.context.tester())
            let id = DHTProbing.id(known)
            _ = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, id: id), from: known))
            // Into a later tick than it was last heard in; whatever is asked meanwhile is answered.
            var rounds = 0
            while rounds < 3, try !dht.serve([known], 5600).isEmpty { rounds += 1 }
            let request = dht.request(node, .downHint, value: [127, 0, 0, 1] + littleEndian(known.endpoint.port, 2))
            dht.isPlainOK(try dht.expectResponse("DOWN_HINT", dht.ask(node, request, from: tester)), "DOWN_HINT")
            let asked = try dht.serve([known], 1500)
            dht.exam.equal("PINGs", asked.count { $0.request.isInternal && $0.request.command == 0 }, 1)
            dht.exam.require("kept", try dht.lists(node, id, known.endpoint), "the node is gone")
        },
        probe("down-hint-dead", "DHT-19") { dht in
            let node = try dht.bootstrapper()
            let (tester, known) = (try dht.context.tester(), try dht.context.tester())
            let id = DHTProbing.id(known)
            _ = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, id: id), from: known))
            dht.exam.require("known before", try dht.lists(node, id, known.endpoint), "not in FIND_NODE")
            try dht.serve([known], 6000)
            let request = dht.request(node, .downHint, value: [127, 0, 0, 1] + littleEndian(known.endpoint.port, 2))
            _ = try dht.expectResponse("DOWN_HINT", dht.ask(node, request, from: tester))
            let asked = try dht.serve([known], 6500, answer: { _ in nil })
            dht.exam.require("PING attempts", asked.contains { $0.request.isInternal && $0.request.command == 0 }, "none")
            dht.exam.require("removed", try !dht.lists(node, id, known.endpoint), "still in FIND_NODE")
        },
    ]

    private static let unknown: [Probe] = [
        probe("unknown-command", "DHT-23") { dht in
            let known = try dht.context.tester()
            let node = try dht.bootstrapper(knows: [known])
            let tester = try dht.context.tester()
            for command: UInt64 in [5, 250] {
                let request = Request(tid: dht.tid(), to: node.address, isInternal: true, command: command, target: .zero)
                let response = try dht.expectResponse("command \(command)", dht.ask(node, request, from: tester))
                dht.exam.equal("command \(command) error", response.error, 1)
                dht.exam.equal("command \(command) closerNodes", response.closerNodes, [known.endpoint])
                dht.exam.require("command \(command) token", response.token == nil, "present")
            }
        },
        probe("unknown-command-without-target", "DHT-24") { dht in
            let node = try dht.bootstrapper(knows: [try dht.context.tester()])
            let tester = try dht.context.tester()
            let request = Request(tid: dht.tid(), to: node.address, isInternal: true, command: 5)
            let response = try dht.expectResponse("command 5", dht.ask(node, request, from: tester))
            dht.exam.equal("error", response.error, 1)
            dht.exam.equal("closerNodes", response.closerNodes, [])
        },
    ]

    private static let tokens: [Probe] = [
        probe("bad-token", "DHT-26") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            for command in [InternalCommand.ping, .findNode] {
                let wrong = Blake2b.hash256(Array("wrong".utf8))
                let first = try dht.expectResponse(
                    "\(command.name)", dht.ask(node, dht.request(node, command, target: .zero, token: wrong), from: tester))
                dht.exam.equal("\(command.name) error", first.error, 2)
                dht.exam.require("\(command.name) token", first.token != nil, "none")
                let again = try dht.expectResponse(
                    "\(command.name) again", dht.ask(node, dht.request(node, command, target: .zero, token: first.token), from: tester))
                dht.exam.equal("\(command.name) with that token", again.error, 0)
            }
        },
        probe("token-from-another-port", "DHT-27") { dht in
            let node = try dht.bootstrapper()
            let (tester, other) = (try dht.context.tester(), try dht.context.tester())
            let token = try token(dht, node, tester)
            let response = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, token: token), from: other))
            dht.exam.equal("error", response.error, 0)
        },
        probe("old-token", "DHT-28") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let token = try token(dht, node, tester)
            try dht.serve([tester], 16_000)
            let response = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, token: token), from: tester))
            dht.exam.equal("error", response.error, 2)
        },
        probe("token-from-another-host", "DHT-29") { dht in
            // Loopback only reaches the second host from a node that is bound to all, or on systems where all of 127/8 is one host.
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let other = try dht.context.tester(.v4(0x7f00_0002))
            let token = try token(dht, node, tester)
            let response = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, token: token), from: other))
            dht.exam.equal("error", response.error, 2)
        },
    ]

    private static func token(_ dht: DHTProbing, _ node: DHTProbing.Node, _ tester: UDPTester) throws -> Bytes32 {
        let response = try dht.expectResponse(
            "a token", dht.ask(node, dht.request(node, .ping, token: Blake2b.hash256(Array("wrong".utf8))), from: tester))
        guard let token = response.token else {
            dht.exam.report("token", expected: "a token", actual: "nothing")
            throw DHTProbing.Unanswered()
        }
        return token
    }

    private static let identities: [Probe] = [
        probe("wrong-id", "DHT-30") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let request = dht.request(node, .ping, id: Blake2b.hash256(Array("somebody".utf8)))
            dht.isPlainOK(try dht.expectResponse("PING", dht.ask(node, request, from: tester)), "PING")
            dht.exam.require("not in the table", try !dht.lists(node, DHTProbing.id(tester), tester.endpoint), "in FIND_NODE")
        },
        probe("right-id", "DHT-31") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            let id = DHTProbing.id(tester)
            _ = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping, id: id), from: tester))
            dht.exam.require("in the table", try dht.lists(node, id, tester.endpoint), "not in FIND_NODE")
        },
        probe("no-id", "DHT-32") { dht in
            let node = try dht.bootstrapper()
            let tester = try dht.context.tester()
            _ = try dht.expectResponse("PING", dht.ask(node, dht.request(node, .ping), from: tester))
            dht.exam.require("not in the table", try !dht.lists(node, DHTProbing.id(tester), tester.endpoint), "in FIND_NODE")
        },
    ]
}
