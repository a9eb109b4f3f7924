import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// Becoming persistent, suspending, binding: DHT-45 to DHT-48, DHT-52 to DHT-54.
enum DHTRPCLifeChecks {
    private typealias Bench = DHTRPCBench

    static let checks: [Check] = [
        Check("dht.becomes-persistent", ["DHT-45", "DHT-48"], .machine) { persistent($0) },
        Check("dht.stays-ephemeral", ["DHT-46", "DHT-47", "DHT-48"], .machine) { ephemeral($0) },
        Check("dht.adaptive", ["DHT-45", "DHT-4"], .machine) { adaptive($0) },
        Check("dht.suspend", ["DHT-52"], .machine) { suspend($0) },
        Check("dht.suggested-address", ["DHT-53"], .machine) { suggested($0) },
        Check("dht.port-range", ["DHT-54"], .machine) { ports($0) },
    ]

    private static func starting(
        _ exam: Examination, _ testers: [Endpoint], _ change: (inout NodeConfig) -> Void = { _ in },
        to: ((Endpoint, Endpoint) -> Endpoint)? = nil
    ) -> DHTRPCBench {
        var config = NodeConfig()
        config.port = .from(Bench.serverPort)
        config.persistence = .atStart
        config.bootstrap = testers.map { BootstrapEntry($0) }
        change(&config)
        let bench = DHTRPCBench(config, seed: exam.seed)
        for tester in testers {
            bench.script(tester) { [unowned bench] request, source in
                var seen = source
                // An honest tester sends the answer to PING_NAT to the port named, and says so.
                if bench.answersNATPings, request.isInternal, request.command == 1, let value = request.value, value.count == 2 {
                    seen = Endpoint(source.address, UInt16(value[0]) | UInt16(value[1]) << 8)
                }
                return Response(tid: request.tid, to: to?(tester, seen) ?? seen, id: NodeID.of(tester))
            }
        }
        return bench
    }

    private static func natPings(_ bench: DHTRPCBench) -> [Request] {
        bench.sent.compactMap { try? Request(decoding: $0.transmit.payload) }.filter { $0.isInternal && $0.command == 1 }
    }

    private static func persistent(_ exam: Examination) {
        let testers = [Bench.tester(1), Bench.tester(2)]
        let bench = starting(exam, testers)
        bench.start()
        bench.run(.seconds(20)) { bench.isReady }
        let pings = natPings(bench)
        exam.require("PING_NAT is sent", !pings.isEmpty)
        let port: [UInt8] = [UInt8(Bench.serverPort & 0xff), UInt8(Bench.serverPort >> 8)]
        exam.require("it names the server port", pings.allSatisfy { $0.value == port })
        exam.require("from the client port", bench.sent.first.map { $0.transmit.socket.number == UInt32(Bench.clientPort) } ?? false)
        exam.require("persistent", bench.becamePersistent && bench.node.isPersistent)
        exam.equal("not firewalled", bench.node.isFirewalled, false)
        exam.equal("its id", bench.node.id, NodeID.of(Bench.server))
        exam.equal("id in answers", bench.ask(Bench.internalRequest(.ping), from: Bench.tester(9))?.id, NodeID.of(Bench.server))
        bench.node.ping(Bench.tester(1))
        bench.collect()
        bench.run(.milliseconds(50))
        let last = bench.received(Bench.tester(1)).last
        exam.equal("requests from the server port", last?.source.port, Bench.serverPort)
        exam.equal("id in requests", last?.request?.id, NodeID.of(Bench.server))
        // With five nodes or more, three must reach the server port.
        let many = starting(exam, (1...8).map(Bench.tester))
        many.start()
        many.run(.seconds(20)) { many.isReady }
        exam.require("persistent among eight", many.node.isPersistent)
    }

    private static func ephemeral(_ exam: Examination) {
        func judge(_ what: String, _ bench: DHTRPCBench, asksNAT: Bool) {
            bench.start()
            bench.run(.seconds(60)) { bench.isReady }
            bench.run(.seconds(30))
            exam.require("\(what): ready", bench.isReady)
            exam.equal("\(what): persistent", bench.node.isPersistent, false)
            exam.equal("\(what): firewalled", bench.node.isFirewalled, true)
            exam.equal("\(what): asks for PING_NAT", !natPings(bench).isEmpty, asksNAT)
            exam.equal(
                "\(what): flags of an answer",
                bench.exchange(Bench.internalRequest(.ping).encoded, from: Bench.tester(9)).first?.payload[1], 0)
            bench.node.ping(Bench.tester(1))
            bench.collect()
            exam.equal("\(what): asks from the client port", bench.sent.last?.transmit.socket, SocketID(UInt32(Bench.clientPort)))
        }
        let testers = [Bench.tester(1), Bench.tester(2)]
        let firewalled = starting(exam, testers)
        firewalled.answersNATPings = false
        judge("answers come to the client port", firewalled, asksNAT: true)

        // The first judge sends a PING to the server port, which is open there; here it is closed, so the ping gets no answer.
        let closed = starting(exam, testers)
        closed.serverPortIsOpen = false
        closed.start()
        closed.run(.seconds(60)) { closed.isReady }
        exam.equal("closed server port: persistent", closed.node.isPersistent, false)
        exam.equal("closed server port: firewalled", closed.node.isFirewalled, true)

        var next: UInt16 = 20_000
        let random = starting(
            exam, testers,
            to: { _, seen in
                next += 1
                return Endpoint(seen.address, next)
            })
        judge("a different port for each reply", random, asksNAT: false)

        // A NAT that maps another port to the server port counts as firewalled.
        let mapped = starting(exam, testers, to: { _, seen in Endpoint(seen.address, seen.port &+ 1000) })
        judge("another outside port", mapped, asksNAT: true)

        // Two of eight that reach the server port are too few.
        let few = starting(exam, (1...8).map(Bench.tester))
        for n in 3...8 {
            few.script(Bench.tester(n)) { request, source in
                request.isInternal && request.command == 1 ? nil : Response(tid: request.tid, to: source, id: NodeID.of(Bench.tester(n)))
            }
        }
        few.start()
        few.run(.seconds(60)) { few.isReady }
        exam.require("five are asked", natPings(few).count >= 5)
        exam.equal("two of five: persistent", few.node.isPersistent, false)
    }

    /// The default node: open at once by the quick check, persistent after 20 minutes, ephemeral again after a sleep.
    private static func adaptive(_ exam: Examination) {
        // Enough nodes that the search still goes on when the quick check is answered.
        let testers = (1...5).map(Bench.tester)
        let bench = starting(exam, testers) { $0.persistence = .adaptive }
        bench.start()
        bench.run(.seconds(20)) { bench.isReady }
        exam.equal("quick check: not firewalled", bench.node.isFirewalled, false)
        exam.equal("quick check: still ephemeral", bench.node.isPersistent, false)
        bench.run(.seconds(18 * 60))
        exam.equal("before 20 minutes", bench.node.isPersistent, false)
        bench.run(.seconds(3 * 60))
        exam.equal("after 20 minutes", bench.node.isPersistent, true)
        exam.equal("id", bench.ask(Bench.internalRequest(.ping), from: Bench.tester(9))?.id, NodeID.of(Bench.server))
        bench.sleep(.seconds(120))
        bench.run(.seconds(6))
        exam.equal("after a sleep", bench.node.isPersistent, false)
        exam.equal("flags after a sleep", bench.exchange(Bench.internalRequest(.ping).encoded, from: Bench.tester(9)).first?.payload[1], 0)
        bench.run(.seconds(61 * 60))
        exam.equal("an hour later", bench.node.isPersistent, true)
    }

    private static func suspend(_ exam: Examination) {
        let bench = Bench.persistent(exam.seed)
        let a = Bench.tester(1)
        let ping = Bench.internalRequest(.ping)
        exam.equal("before", bench.ask(ping, from: a)?.error, 0)
        let pending = bench.node.ping(Bench.tester(2))
        bench.collect()
        bench.run(.milliseconds(100))
        let sent = bench.sent.count
        bench.node.suspend()
        bench.collect()
        exam.equal("what was in flight", bench.failure(of: pending), .suspended)
        exam.equal("nothing is sent", bench.sent.count, sent)
        exam.equal("silence", bench.exchange(ping.encoded, from: a).count, 0)
        // A datagram that the driver still had in hand.
        bench.node.receive(ping.encoded, from: a, on: SocketID(UInt32(Bench.serverPort)), at: bench.now)
        bench.collect()
        bench.run(.seconds(100))
        exam.equal("nothing is sent meanwhile", bench.sent.count, sent)
        let queued = bench.node.ping(a)
        bench.citizen(a)
        bench.node.resume()
        bench.collect()
        exam.equal("the same ports first", bench.bindRequests.last?.serverPorts.first, Bench.serverPort)
        exam.equal("the same client port first", bench.bindRequests.last?.clientPorts, [Bench.clientPort])
        bench.run(.milliseconds(500))
        exam.equal("answers again", bench.ask(ping, from: a)?.id, NodeID.of(Bench.server))
        exam.equal("what was asked meanwhile is sent", bench.response(of: queued)?.from, a)
        // Sockets that are bound too late are given back.
        let early = DHTRPCNode(config: NodeConfig(), entropy: SeededEntropy(seed: exam.seed), at: .zero)
        early.start()
        early.suspend()
        let late = NodeSockets(server: SocketID(7), serverPort: 7, client: SocketID(8), clientPort: 8)
        _ = early.takeEvents()
        early.bound(late)
        let closed = early.takeEvents().contains { if case .closeSockets([late.server, late.client]) = $0 { true } else { false } }
        exam.require("sockets bound while suspended are given back", closed)
        early.receive(ping.encoded, from: a, on: late.server, at: .zero)
        exam.equal("and not answered on", early.takeTransmits(), [])
        bench.node.destroy()
        bench.collect()
        exam.equal("destroyed: silence", bench.exchange(ping.encoded, from: a).count, 0)
    }

    private static func suggested(_ exam: Examination) {
        let a = Bench.tester(1)
        guard let entry = BootstrapEntry("\(a.address)@name.invalid:\(a.port)") else {
            return exam.report("entry", expected: "it parses", actual: "nil")
        }
        var config = NodeConfig()
        config.persistence = .never
        config.quickFirewall = false
        config.bootstrap = [entry]
        let bench = DHTRPCBench(config, seed: exam.seed)
        bench.citizen(a)
        bench.start()
        bench.run(.seconds(30)) { bench.isReady }
        let requests = bench.received(a).compactMap(\.request)
        exam.equal("a PING, then the search", requests.map(\.command), [0, 2])
        exam.equal("names looked up", bench.lookedUp, [])
        exam.require("ready", bench.isReady)
        let dead = DHTRPCBench(config, seed: exam.seed)
        dead.start()
        dead.run(.seconds(30)) { dead.isReady }
        exam.equal("PINGs at a dead address", dead.received(a).count, 4)
        exam.equal("then the name", dead.lookedUp, ["name.invalid"])
        exam.require("ready without anybody", dead.isReady)
        for bad in ["", ":", "x", "1.2.3@h:5", "1.2.3.4@:5", "h:70000"] { exam.equal("\"\(bad)\"", BootstrapEntry(bad), nil) }
        exam.equal("a bare port", BootstrapEntry("49737")?.endpoint, Endpoint.loopback(49737))
        exam.equal("host and port", BootstrapEntry("10.1.1.1:7")?.endpoint, Endpoint(Bench.host, 7))
    }

    private static func ports(_ exam: Examination) {
        var config = NodeConfig()
        config.port = .from(Bench.serverPort)
        for taken in 0...5 {
            let bench = DHTRPCBench(config, seed: exam.seed)
            bench.takenPorts = Set((0..<taken).map { Bench.serverPort + UInt16($0) })
            bench.start()
            exam.equal("asked for", bench.bindRequests.first?.serverPorts, (0..<5).map { Bench.serverPort + $0 })
            exam.equal("a random one comes last", bench.bindRequests.first?.anyServerPort, true)
            exam.equal("\(taken) taken", bench.node.sockets?.serverPort, taken < 5 ? Bench.serverPort + UInt16(taken) : 61_000)
        }
        config.port = .range(100..<103)
        config.anyPort = false
        let bench = DHTRPCBench(config, seed: exam.seed)
        bench.start()
        exam.equal("a range", bench.bindRequests.first?.serverPorts, [100, 101, 102])
        exam.equal("and nothing else", bench.bindRequests.first?.anyServerPort, false)
        exam.equal("near the end", PortChoice.from(65_534).candidates, [65_534, 65_535])
    }
}
