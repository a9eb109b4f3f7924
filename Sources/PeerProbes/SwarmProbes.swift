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
        _ layer: String, _ slug: String, _ requirements: [String], swarm: JSONObject? = [:], nodes: Int = 3, needs: [String],
        _ run: @escaping @Sendable (SwarmProbing) throws -> Void
    ) -> Probe {
        .dht(layer, slug, requirements, needs: needs) { dht in try run(SwarmProbing(RecordProbing(dht), swarm: swarm, nodes: nodes)) }
    }

    static let probes: [Probe] = servers + topics + dials + connections

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
        probe("hyperdht", "a-relay-dies", ["HDHT-63"], swarm: nil, needs: ["listen"]) { it in
            it.expectAnnounced(try it.listen().asked, it.key.target, "self announce")
            it.dead = it.testers[2]
            let again = try it.serve(
                25_000,
                until: { asked in
                    it.testers[..<2].allSatisfy { tester in
                        it.requests(asked, .announce, it.key.target).contains { $0.tester === tester }
                    }
                })
            for (number, tester) in it.testers[..<2].enumerated() {
                let count = it.requests(again, .announce, it.key.target).count { $0.tester === tester }
                it.exam.require("announced again at node \(number) within 25 s", count > 0, "not")
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

    static let swarmCommands = ["join", "leave", "flush"]

    private static let topics: [Probe] = [
        // Five nodes: more than a record may name.
        probe("hyperswarm", "joined-as-server", ["SWARM-1", "SWARM-2", "SWARM-3"], nodes: 5, needs: swarmCommands) { it in
            let asked = try it.join(server: true)
            it.exam.require("LOOKUP or ANNOUNCE for the topic", !it.requests(asked, .announce, it.topic).isEmpty, "none")
            it.expectAnnounced(asked, it.topic, "the topic")
            it.expectAnnounced(asked, it.key.target, "the swarm's own key", atLeast: 3)
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
        probe("hyperswarm", "joined-again-while-leaving", ["SWARM-34"], needs: swarmCommands) { it in
            _ = try it.join(server: true)
            let topic = it.records.text(it.topic)
            let leaving = try it.context.peer.send("leave", ["node": it.node.handle, "topic": topic])
            _ = try it.context.peer.send("join", ["node": it.node.handle, "topic": topic, "client": false])
            // Each node's first UNANNOUNCE stays without an answer for a while: so long the topic is still being left.
            it.holdsUnannounce = true
            let early = try it.serve(6000, until: { !it.requests($0, .unannounce, it.topic).isEmpty }) + it.serve(700)
            it.exam.require("UNANNOUNCE", !it.requests(early, .unannounce, it.topic).isEmpty, "none")
            it.exam.equal("ANNOUNCE before the topic is left", it.requests(early, .announce, it.topic).count, 0)
            it.holdsUnannounce = false
            let later = try it.serve(12_000, until: { !it.requests($0, .announce, it.topic).isEmpty })
            it.exam.require("left", it.context.isAnswered(leaving), "not yet, though the topic is announced again")
            it.exam.require("ANNOUNCE afterwards", !it.requests(later, .announce, it.topic).isEmpty, "none")
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
                    [it.topic, it.key.target].allSatisfy { target in
                        it.testers.allSatisfy { tester in it.requests(again + asked, .announce, target).contains { $0.tester === tester } }
                    }
                })
            it.exam.require("announced again", !it.requests(again, .announce, it.topic).isEmpty, "not")
            it.exam.require("its own key announced again", !it.requests(again, .announce, it.key.target).isEmpty, "not")
        },
        probe("hyperswarm", "destroyed-while-flushing", ["SWARM-28"], needs: swarmCommands + ["close"]) { it in
            // A dial that is never answered holds the flush up.
            it.found = [it.records.key(91).publicKey]
            _ = try it.join(server: false, waits: false)
            try it.serve(4000, until: { !it.requests($0, .peerHandshake, nil).isEmpty })
            let flush = try it.context.peer.send("flush", ["node": it.node.handle])
            try it.serve(200)
            it.exam.require("flush", !it.context.isAnswered(flush), "answered while a dial was under way")
            try it.serve(during: "close", ["node": it.node.handle])
            let reply = try it.context.peer.reply(to: flush, "flush", seconds: 3)
            it.exam.equal("flushed", reply["flushed"]?.bool, false)
        },
        probe("hyperswarm", "destroyed", ["SWARM-28"], needs: swarmCommands + ["close"]) { it in
            _ = try it.join(server: true)
            let asked = try it.serve(during: "close", ["node": it.node.handle])
            it.expectUnannounced(asked, it.topic, "the topic")
            it.expectUnannounced(asked, it.key.target, "the swarm's own key")
        },
    ]

    private static let dials: [Probe] = [
        probe("hyperswarm", "no-dial-beyond-max-peers", ["SWARM-13a"], swarm: ["maxPeers": 4, "maxParallel": 10], needs: swarmCommands) {
            it in
            it.found = (100..<110).map { it.records.key($0).publicKey }
            let asked = try it.join(server: false, waits: false) + it.serve(2000)
            it.exam.equal("targets", Set(it.requests(asked, .peerHandshake, nil).compactMap(\.request.target)).count, 4)
        },
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
