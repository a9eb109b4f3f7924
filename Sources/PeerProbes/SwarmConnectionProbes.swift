import CompactEncoding
import Conformance
import HyperCrypto
import HyperDHT
import LivePeers
import SansIO
import StrictJSON

/// Connections of a swarm: who is taken, which of two with one peer survives, what is told of it. The swarm's node is open, so that testers reach it at once.
extension SwarmProbes {
    private static func probe(
        _ slug: String, _ requirements: [String], swarm: JSONObject = [:], needs: [String] = [],
        _ run: @escaping @Sendable (SwarmProbing) throws -> Void
    ) -> Probe {
        .dht("hyperswarm", slug, requirements, needs: swarmCommands + needs) { dht in
            try run(SwarmProbing(RecordProbing(dht), swarm: swarm, isOpen: true))
        }
    }

    private static let relayKey = Hex.encode((KeyPair(seed: [UInt8](repeating: 92, count: 32))?.publicKey ?? .zero).bytes)

    static let connections: [Probe] = [
        probe("left-with-a-connection", ["SWARM-6", "SWARM-31"]) { it in
            let connection = try ConnectionTester(it.serving())
            try connection.open()
            try it.serve(during: "leave", ["node": it.node.handle, "topic": it.records.text(it.topic)])
            try connection.pass(500)
            it.exam.require("the connection", connection.closed == nil, "closed")
            // Nobody wrote: an id header, and no message but keepalives.
            it.exam.equal("messages", connection.plaintexts, [])
            it.exam.require("a header", connection.received.count >= 59, "\(connection.received.count) bytes")
        },
        probe("suspended-with-a-connection", ["SWARM-27"], needs: ["suspend", "resume"]) { it in
            let connection = try ConnectionTester(it.serving())
            try connection.open()
            try it.serve(during: "suspend", ["node": it.node.handle])
            try connection.pass(3000, until: { connection.closed != nil })
            it.exam.require("the connection", connection.closed != nil, "still open")
            try it.serve(during: "resume", ["node": it.node.handle])
        },
        probe("incoming-beyond-max-peers", ["SWARM-13b"], swarm: ["maxPeers": 1]) { it in
            let server = try it.serving()
            for number: UInt8 in [70, 71] {
                let connection = try ConnectionTester(server, number: number)
                try connection.open()
                try connection.pass(200)
                it.exam.require("connection \(number)", connection.closed == nil, "closed")
            }
        },
        probe("crossing-dials-greater", ["SWARM-15a"]) { it in
            let (played, incoming) = try it.crossing(peerIsGreater: true)
            try incoming.pass(3000, until: { incoming.closed != nil })
            it.exam.equal("the incoming one", incoming.closed?.rawValue ?? "open", "reset")
            played.offer = NoisePayload(firewall: .open)
            try it.serve(6000, until: { _ in !played.meetings.isEmpty })
            let outgoing = try played.accept()
            try outgoing.begin()
            let event = try? it.context.peer.event("connection", seconds: 4, where: { $0["node"] == it.node.handle })
            it.exam.equal("who dialled the one that is told of", event?["client"]?.text() ?? "none", "true")
            try outgoing.pass(300)
            it.exam.require("the outgoing one", outgoing.closed == nil, "closed")
        },
        probe("crossing-dials-lesser", ["SWARM-16"]) { it in
            let (played, incoming) = try it.crossing(peerIsGreater: false)
            try incoming.open()
            played.offer = NoisePayload(firewall: .open)
            try it.serve(2500, until: { _ in !played.meetings.isEmpty })
            // A dial that is over sends nothing to the one that answers it at last.
            it.exam.require("packets of the outgoing one", played.firstData(played.udxID, within: 1000) == nil, "some")
            let again = try? it.context.peer.event("connection", seconds: 0.3, where: { $0["node"] == it.node.handle })
            it.exam.require("told once", again == nil, "twice")
            try incoming.pass(100)
            it.exam.require("the incoming one", incoming.closed == nil, "closed")
        },
        probe("second-after-messages", ["SWARM-17"], needs: ["write"]) { it in
            let server = try it.serving()
            // Whoever has the lesser key would lose its second connection, had there been no messages.
            for number in [it.number(peerIsGreater: true), it.number(peerIsGreater: false)] {
                let old = try ConnectionTester(server, number: number)
                try old.open()
                try old.writeMessage([1])
                it.exam.equal("read before", try old.delivered("data", 1), ["01"])
                try it.context.peer.request("write", ["stream": old.stream, "data": "02"])
                try old.pass(2000, until: { !old.plaintexts.isEmpty })
                it.exam.equal("written before", old.plaintexts, [[2]])
                let new = try ConnectionTester(server, number: number, attempt: 1)
                try old.pass(2000, until: { old.closed != nil })
                it.exam.equal("the old one", old.closed?.rawValue ?? "open", "reset")
                try new.open()
                try new.pass(200)
                it.exam.require("the new one", new.closed == nil, "closed")
            }
        },
        probe("second-before-messages", ["SWARM-18", "SWARM-15b"]) { it in
            let server = try it.serving()
            for isGreater in [true, false] {
                let number = it.number(peerIsGreater: isGreater)
                // Not even an id header is sent.
                let old = try ConnectionTester(server, number: number)
                try old.pass(100)
                let new = try ConnectionTester(server, number: number, attempt: 1)
                let (loser, winner) = isGreater ? (new, old) : (old, new)
                try loser.pass(2000, until: { loser.closed != nil })
                try winner.pass(200)
                let field = "the peer's key \(isGreater ? "greater" : "lesser")"
                it.exam.equal("\(field): the \(isGreater ? "new" : "old") one", loser.closed?.rawValue ?? "open", "reset")
                it.exam.require("\(field): the other one", winner.closed == nil, "closed")
                // Whoever refuses a duplicate makes sure that the path of the one it keeps is not dead.
                if isGreater { it.exam.equal("\(field): keepalives on the old one", old.keepAlives, 1) }
            }
        },
        .dht("hyperswarm", "firewalled-key", ["SWARM-25"], needs: swarmCommands) { dht in
            let records = RecordProbing(dht)
            let (refused, taken) = (records.key(91), records.key(94))
            let it = try SwarmProbing(
                records, swarm: ["firewall": ["deny": [records.text(refused.publicKey)]]], isOpen: true)
            it.found = [refused.publicKey, taken.publicKey]
            let server = try it.serving(client: true)
            let banned = try? it.context.peer.event("ban", seconds: 3, where: { $0["node"] == it.node.handle })
            it.exam.equal("ban event", banned?["publicKey"]?.string ?? "none", Hex.encode(refused.publicKey.bytes))
            let asked = try it.serve(
                during: "join", ["node": it.node.handle, "topic": records.text(Blake2b.hash256([1])), "server": false])
            let later = try asked + it.serve(1500)
            it.exam.require("a later LOOKUP", !it.requests(later, .lookup, Blake2b.hash256([1])).isEmpty, "none")
            it.exam.equal("dials of the refused key", it.requests(it.everything, .peerHandshake, refused.target).count, 0)
            it.exam.require("dials of another", !it.requests(it.everything, .peerHandshake, taken.target).isEmpty, "none")
            try server.expectSilence("the refused key", server.firstMessage(ServerProbing.payload(), number: 91).1)
            try server.expectServes()
        },
        probe(
            "relay-offered-after-an-abort", ["SWARM-30"],
            swarm: ["relayThrough": .string(relayKey), "backoffs": [200, 200, 200, 200], "jitter": 0]
        ) { it in
            // An open node waits 10 s for a firewalled server that does not come: HOLEPUNCH_ABORTED.
            let played = try PlayedServer(it.records, key: 91)
            played.isFirewalled(behind: it.testers)
            it.servers = [played]
            it.found = [played.key.publicKey]
            _ = try it.join(server: false, waits: false)
            try it.serve(25_000, until: { _ in played.meetings.count >= 2 })
            let offers = played.meetings.map { $0.payload.relayThrough.map { Hex.encode($0.publicKey.bytes) } ?? "none" }
            it.exam.equal("relayThrough of the first two dials", Array(offers.prefix(2)), ["none", relayKey])
        },
        probe("one-connection-for-two-topics", ["SWARM-32"]) { it in
            let played = try PlayedServer(it.records, key: 91)
            it.servers = [played]
            it.found = [played.key.publicKey]
            let other = Blake2b.hash256([1])
            let topics = [it.topic, other]
            for topic in topics {
                _ = try it.serve(
                    during: "join", ["node": it.node.handle, "topic": it.records.text(topic), "server": false])
            }
            // It is answered when both topics have led to it.
            try it.serve(
                4000,
                until: { _ in
                    topics.allSatisfy { topic in
                        it.testers.allSatisfy { tester in
                            it.requests(it.everything, .lookup, topic).contains { $0.tester === tester }
                        }
                    }
                })
            try it.serve(200)
            played.offer = NoisePayload(firewall: .open)
            try it.serve(6000, until: { _ in !played.meetings.isEmpty })
            let connection = try played.accept()
            try connection.begin()
            let event = try? it.context.peer.event("connection", seconds: 4, where: { $0["node"] == it.node.handle })
            it.exam.equal(
                "topics", Set(event?["topics"]?.array?.compactMap(\.string) ?? []), Set(topics.map { Hex.encode($0.bytes) }))
            try it.serve(500)
            it.exam.equal("different first messages", played.firsts.count, 1)
        },
    ]
}

extension SwarmProbing {
    /// Joins the topic as a server, until it is announced.
    func serving(client: Bool = false) throws -> ServerProbing {
        _ = try serve(
            during: "join", ["node": node.handle, "topic": records.text(topic), "server": true, "client": .bool(client)])
        try serve(
            8000,
            until: { _ in
                testers.allSatisfy { tester in
                    [topic, key.target].allSatisfy { target in requests(everything, .announce, target).contains { $0.tester === tester } }
                }
            })
        return ServerProbing(records, swarm: node, key: key)
    }

    /// The number of a key that is less than the peer's, or greater.
    func number(peerIsGreater: Bool) -> UInt8 {
        let numbers = (60..<90).map { UInt8($0) }
        return numbers.first { key.publicKey.bytes.lexicographicallyPrecedes(records.key($0).publicKey.bytes) != peerIsGreater } ?? 60
    }

    /// The peer has dialled a key and got no answer yet, when that key's owner dials the peer.
    func crossing(peerIsGreater: Bool) throws -> (played: PlayedServer, incoming: ConnectionTester) {
        let number = number(peerIsGreater: peerIsGreater)
        let played = try PlayedServer(records, key: number)
        servers = [played]
        found = [played.key.publicKey]
        let server = try serving(client: true)
        try serve(4000, until: { _ in !played.firsts.isEmpty })
        exam.require("a dial", !played.firsts.isEmpty, "none")
        return (played, try ConnectionTester(server, number: number))
    }
}
