import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import SansIO
import StrictJSON

/// What a server's and a swarm's node asks of the network; the testers are the network.
enum SwarmProbes {
    private static func probe(
        _ layer: String, _ slug: String, _ requirements: [String], swarm: JSONObject? = [:], needs: [String],
        _ run: @escaping @Sendable (SwarmProbing) throws -> Void
    ) -> Probe {
        .dht(layer, slug, requirements, needs: needs) { dht in try run(SwarmProbing(RecordProbing(dht), swarm: swarm)) }
    }

    static let probes: [Probe] = servers + topics + dials

    private static let servers: [Probe] = [
        probe("hyperdht", "announces-itself", ["HDHT-62a", "SWARM-3"], swarm: nil, needs: ["listen"]) { it in
            let asked = try it.listen().asked
            it.expectAnnounced(asked, it.key.target, "self announce")
        },
        probe("hyperdht", "pings-its-relays", ["HDHT-62b"], swarm: nil, needs: ["listen"]) { it in
            _ = try it.listen()
            let asked = try it.serve(8500)
            for tester in it.testers {
                let pings = asked.filter { $0.tester === tester && $0.request.isInternal && $0.request.command == 0 }
                it.exam.require("pings in 8.5 s", (1...4).contains(pings.count), "\(pings.count)")
                for (one, next) in zip(pings, pings.dropFirst()) {
                    let gap = (next.arrival.at - one.arrival.at).milliseconds
                    it.exam.require("gap", (1500...4500).contains(gap), "\(gap) ms")
                }
            }
        },
        probe("hyperdht", "closed-server", ["HDHT-64"], swarm: nil, needs: ["listen"]) { it in
            let server = try it.listen().server
            let asked = try it.serve(during: "close", ["server": server])
            it.expectUnannounced(asked, it.key.target, "self announce")
            let first = asked.filter { !$0.request.isInternal }.first?.request
            it.exam.equal("asked first", first?.command, HyperDHTCommand.findPeer.rawValue)
        },
    ]

    private static let swarmCommands = ["join", "leave", "flush"]

    private static let topics: [Probe] = [
        probe("hyperswarm", "joined-as-server", ["SWARM-1", "SWARM-2", "SWARM-3"], needs: swarmCommands) { it in
            let asked = try it.join(server: true)
            it.exam.require("LOOKUP or ANNOUNCE for the topic", !it.requests(asked, .announce, it.topic).isEmpty, "none")
            it.expectAnnounced(asked, it.topic, "the topic")
            it.expectAnnounced(asked, it.key.target, "the swarm's own key")
            let targets = Set(
                asked.filter { $0.request.command == HyperDHTCommand.announce.rawValue && !$0.request.isInternal }.compactMap(
                    \.request.target))
            it.exam.require("targets", targets.isSubset(of: [it.topic, it.key.target]), "\(targets)")
        },
        probe("hyperswarm", "joined-as-client", ["SWARM-4", "SWARM-1", "SWARM-3"], needs: swarmCommands) { it in
            let asked = try it.join(server: false)
            it.exam.require("LOOKUP for the topic", !it.requests(asked, .lookup, it.topic).isEmpty, "none")
            it.exam.equal("ANNOUNCE", it.requests(asked, .announce, nil).count, 0)
            it.exam.equal("FIND_PEER for its own key", it.requests(asked, .findPeer, it.key.target).count, 0)
        },
        probe("hyperswarm", "left", ["SWARM-6"], needs: swarmCommands) { it in
            _ = try it.join(server: true)
            let asked = try it.serve(during: "leave", ["node": it.node.handle, "topic": it.records.text(it.topic)])
            it.expectUnannounced(asked, it.topic, "the topic")
        },
        probe("hyperswarm", "suspended", ["SWARM-27"], needs: swarmCommands + ["suspend", "resume"]) { it in
            _ = try it.join(server: true)
            let asked = try it.serve(during: "suspend", ["node": it.node.handle])
            it.expectUnannounced(asked, it.topic, "the topic")
            it.expectUnannounced(asked, it.key.target, "the swarm's own key")
            var again = try it.serve(during: "resume", ["node": it.node.handle])
            again += try it.serve(
                8000,
                until: { asked in
                    it.testers.allSatisfy { tester in it.requests(again + asked, .announce, it.topic).contains { $0.tester === tester } }
                })
            it.exam.require("announced again", !it.requests(again, .announce, it.topic).isEmpty, "not")
        },
        probe("hyperswarm", "destroyed", ["SWARM-28"], needs: swarmCommands + ["close"]) { it in
            _ = try it.join(server: true)
            let asked = try it.serve(during: "close", ["node": it.node.handle])
            it.expectUnannounced(asked, it.topic, "the topic")
            it.expectUnannounced(asked, it.key.target, "the swarm's own key")
        },
    ]

    private static let dials: [Probe] = [
        probe("hyperswarm", "its-own-key-found", ["SWARM-10"], needs: swarmCommands) { it in
            it.found = [it.key.publicKey]
            let asked = try it.join(server: false) + it.serve(1500)
            it.exam.equal("dials", it.requests(asked, .peerHandshake, nil).count, 0)
        },
        probe("hyperswarm", "one-peer-found-often", ["SWARM-11"], needs: swarmCommands) { it in
            it.found = [it.records.key(91).publicKey]
            let asked = try it.join(server: false, waits: false) + it.serve(2500)
            let dials = it.requests(asked, .peerHandshake, it.records.key(91).target)
            let messages = Set(dials.compactMap { $0.request.value.flatMap { try? HyperDHT.HandshakeMessage(decoding: $0).noise } })
            it.exam.equal("different first messages", messages.count, 1)
        },
        probe("hyperswarm", "three-dials-at-once", ["SWARM-12"], swarm: ["maxParallel": 3], needs: swarmCommands) { it in
            it.found = (100..<110).map { it.records.key($0).publicKey }
            let asked = try it.join(server: false, waits: false) + it.serve(1200)
            let targets = Set(it.requests(asked, .peerHandshake, nil).compactMap(\.request.target))
            it.exam.require("targets in the first second", (1...3).contains(targets.count), "\(targets.count)")
        },
    ]
}

/// A node of the peer, a swarm or a bare one, on a network of three testers.
private final class SwarmProbing {
    let records: RecordProbing
    let testers: [UDPTester]
    let node: DHTProbing.Node
    let key: KeyPair
    let topic: Bytes32
    /// Keys that LOOKUP finds at every tester.
    var found: [Bytes32] = []

    init(_ records: RecordProbing, swarm: JSONObject?) throws {
        self.records = records
        topic = records.topic
        key = records.key(193)
        let testers = try (0..<3).map { _ in try records.dht.context.tester() }
        self.testers = testers
        var arguments: JSONObject = [
            "bootstrap": .array(testers.map { .endpoint($0.endpoint) }), "port": 0,
            "seed": .string(Hex.encode([UInt8](repeating: 193, count: 32))),
        ]
        if let swarm {
            arguments.set("kind", "swarm")
            for member in swarm.members { arguments.set(member.key, member.value) }
        }
        node = try records.dht.start(arguments, served: testers).node
    }

    var exam: Examination { records.exam }

    /// What has been announced, by target: whoever unannounces looks for its own record first.
    private var stored: [Bytes32: PeerRecord] = [:]

    private func answer(_ asked: DHTProbing.Asked) -> Response? {
        var response = DHTProbing.plainAnswer(asked)
        guard !asked.request.isInternal, let target = asked.request.target else { return response }
        switch HyperDHTCommand(rawValue: asked.request.command) {
        // Nobody is at home: a dial is never answered.
        case .peerHandshake, .peerHolepunch: return nil
        case .findPeer: response.value = stored[target]?.encoded
        case .lookup:
            let peers = found.map { PeerRecord(publicKey: $0, relayAddresses: [testers[0].endpoint]) } + [stored[target]].compactMap(\.self)
            if !peers.isEmpty { response.value = LookupReply(peers: peers).encoded }
        case .announce: stored[target] = asked.request.value.flatMap { try? AnnounceMessage(decoding: $0).peer }
        default: break
        }
        return response
    }

    func serve(_ milliseconds: Int64, until isDone: ([DHTProbing.Asked]) -> Bool = { _ in false }) throws -> [DHTProbing.Asked] {
        try records.dht.serve(testers, milliseconds, until: isDone, answer: answer)
    }

    func serve(during command: String, _ arguments: JSONObject) throws -> [DHTProbing.Asked] {
        let (reply, asked) = try records.dht.serve(testers, during: command, arguments, answer: answer)
        _ = try reply.get()
        return asked
    }

    func listen() throws -> (server: JSON, asked: [DHTProbing.Asked]) {
        let (reply, asked) = try records.dht.serve(testers, during: "listen", ["node": node.handle], answer: answer)
        return (try reply.get().handle("server"), asked)
    }

    /// Joins the topic and waits for its first announce or lookup.
    func join(server: Bool, waits: Bool = true) throws -> [DHTProbing.Asked] {
        let topic = records.text(topic)
        var asked = try serve(during: "join", ["node": node.handle, "topic": topic, "server": .bool(server), "client": true])
        if waits { asked += try serve(during: "flush", ["node": node.handle, "topic": topic]) }
        return asked
    }

    /// Requests of a command, for a target if one is given.
    func requests(_ asked: [DHTProbing.Asked], _ command: HyperDHTCommand, _ target: Bytes32?) -> [DHTProbing.Asked] {
        asked.filter {
            !$0.request.isInternal && $0.request.command == command.rawValue && (target == nil || $0.request.target == target)
        }
    }

    /// Each tester got a record of our key for the target, with its own token, at most three relays, and a signature that holds.
    func expectAnnounced(_ asked: [DHTProbing.Asked], _ target: Bytes32, _ field: String) {
        for (number, tester) in testers.enumerated() {
            let request = requests(asked, .announce, target).first { $0.tester === tester }?.request
            exam.require("\(field): ANNOUNCE at node \(number)", request != nil, "none")
            guard let request else { continue }
            check(request, .announce, at: tester, target, field)
        }
    }

    func expectUnannounced(_ asked: [DHTProbing.Asked], _ target: Bytes32, _ field: String) {
        for (number, tester) in testers.enumerated() {
            let request = requests(asked, .unannounce, target).first { $0.tester === tester }?.request
            exam.require("\(field): UNANNOUNCE at node \(number)", request != nil, "none")
            if let request { check(request, .unannounce, at: tester, target, field) }
        }
    }

    private func check(_ request: Request, _ purpose: RecordSignature.Purpose, at tester: UDPTester, _ target: Bytes32, _ field: String) {
        exam.equal("\(field): token", request.token, DHTProbing.token(tester))
        guard let value = request.value, let message = try? AnnounceMessage(decoding: value) else {
            return exam.report("\(field): value", expected: "an announce message", actual: Hex.encode(request.value ?? []))
        }
        exam.equal("\(field): public key", message.peer?.publicKey, key.publicKey)
        exam.require("\(field): relay addresses", (message.peer?.relayAddresses.count ?? 9) <= 3, "more than three")
        let holds = RecordSignature.verify(
            purpose, message, target: target, token: DHTProbing.token(tester), nodeID: DHTProbing.id(tester))
        exam.require("\(field): signature", holds, "does not verify")
    }
}
