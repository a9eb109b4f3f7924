import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO

/// Whom a swarm dials, how many at a time, and whom never.
enum DialChecks {
    static let checks: [Check] = [
        Check("swarm.never-dials-itself", ["SWARM-10"], .machine) { exam in
            let stage = SwarmStage(exam)
            stage.replies = [[FoundPeer(publicKey: SwarmStage.greatKey), FoundPeer(publicKey: SwarmStage.key(1))]]
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            exam.equal("dialled", stage.dials.map(\.key), [SwarmStage.key(1)])
            exam.refuses("joinPeer with the own key") { try stage.machine.joinPeer(SwarmStage.greatKey, now: stage.now) }
        },
        Check("swarm.one-dial-a-peer", ["SWARM-11"], .machine) { exam in
            let stage = SwarmStage(exam)
            stage.replies = (0..<20).map { _ in SwarmStage.peers(1) }
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            exam.equal("dials", stage.dials.count, 1)
            if let dial = stage.dials.first { stage.act { stage.open(dial.id) } }
            stage.act { stage.machine.networkChanged(now: stage.now) }
            exam.equal("dials after it is open", stage.dials.count, 1)
            exam.equal("connections", stage.connected.count, 1)
        },
        Check("swarm.parallel-dials", ["SWARM-12"], .machine) { exam in
            for parallel in [1, 3, 5] {
                let stage = SwarmStage(exam) { $0.maxParallel = parallel }
                stage.replies = [SwarmStage.peers(10)]
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                exam.equal("in flight", stage.pendingDials.count, parallel)
                // Half of them open, the others fail: each end makes room for one.
                var turn = 0
                while let dial = stage.pendingDials.first, turn < 100 {
                    stage.act { if turn % 2 == 0 { stage.open(dial.id) } else { stage.close(dial.id, "PEER_CONNECTION_FAILED") } }
                    turn += 1
                }
                exam.equal("at a time", stage.mostInFlight, parallel)
                exam.equal("peers tried", Set(stage.dials.map(\.key)).count, 10)
            }
        },
        Check("swarm.max-peers", ["SWARM-13a"], .machine) { exam in
            let stage = SwarmStage(exam) { $0.maxPeers = 4 }
            try stage.connect(SwarmStage.peers(10))
            exam.equal("dials", stage.dials.count, 4)
            // An incoming connection counts too: after one of ours is lost, nothing is dialled in its place.
            stage.act { stage.machine.incoming(from: SwarmStage.key(0x60), now: stage.now) }
            stage.act { stage.close(stage.dials[0].id) }
            exam.equal("dials with an incoming one", stage.dials.count, 4)
            stage.act { stage.close(stage.dials[1].id) }
            exam.equal("dials after one more is lost", stage.dials.count, 5)
        },
        Check("swarm.incoming-beyond-max-peers", ["SWARM-13b"], .machine) { exam in
            let stage = SwarmStage(exam) { $0.maxPeers = 2 }
            for number in 0..<5 { stage.act { stage.machine.incoming(from: SwarmStage.key(UInt8(number) + 1), now: stage.now) } }
            exam.equal("connections", stage.connected.count, 5)
            exam.equal("destroyed", stage.destroyed, [])
            // Our own limit on incoming ones, off unless set, refuses in silence.
            let limited = SwarmStage(exam) { $0.maxServerConnections = 1 }
            exam.require("first", limited.machine.acceptsHandshake(from: SwarmStage.key(1), now: limited.now))
            limited.act { limited.machine.incoming(from: SwarmStage.key(1), now: limited.now) }
            exam.require("second refused", !limited.machine.acceptsHandshake(from: SwarmStage.key(2), now: limited.now))
        },
        Check("swarm.explicit-peers-share-max-peers", ["SWARM-14"], .machine) { exam in
            // Factor 1 without explicit peers, 2 with one, 3 with two or three, 4 with more.
            for (explicit, expected) in [(0, 4), (1, 2), (2, 2), (3, 3), (4, 4)] {
                let stage = SwarmStage(exam) { $0.maxPeers = 4 }
                stage.answersDials = { _, _ in .open }
                for number in 0..<explicit {
                    try stage.act { try stage.machine.joinPeer(SwarmStage.key(0x80 + UInt8(number)), now: stage.now) }
                }
                stage.replies = [SwarmStage.peers(10)]
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                exam.equal("connections with \(explicit) explicit peers", stage.machine.openConnections.count, expected)
            }
        },
        Check("swarm.firewall", ["SWARM-25"], .machine) { exam in
            let bad = SwarmStage.key(1)
            for firewall in [SwarmFirewall.deny([bad]), .allow([SwarmStage.key(2)]), .decide { $0 == bad }] {
                let stage = SwarmStage(exam) { $0.firewall = firewall }
                exam.require("silence", !stage.machine.acceptsHandshake(from: bad, now: stage.now), "the handshake would be answered")
                stage.pump()
                exam.require("banned", stage.saw(.banned(publicKey: bad, byFirewall: true)))
                exam.require("another is let in", stage.machine.acceptsHandshake(from: SwarmStage.key(2), now: stage.now))
                stage.replies = [[FoundPeer(publicKey: bad), FoundPeer(publicKey: SwarmStage.key(2))]]
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                stage.run(for: .seconds(2000))
                exam.equal("dialled", Set(stage.dials.map(\.key)), [SwarmStage.key(2)])
                exam.equal("ban events", stage.events.count { if case .banned = $0.event { true } else { false } }, 1)
                exam.equal("own key", stage.machine.acceptsHandshake(from: SwarmStage.greatKey, now: stage.now), false)
            }
            // A dial that the firewall refuses is never made, and bans as well.
            let stage = SwarmStage(exam) { $0.firewall = .deny([bad]) }
            stage.replies = [[FoundPeer(publicKey: bad)]]
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            exam.equal("dials", stage.dials.count, 0)
            exam.require("banned by dialling", stage.saw(.banned(publicKey: bad, byFirewall: true)))
        },
        Check("swarm.ban-keeps-connection", ["SWARM-26"], .machine) { exam in
            let stage = SwarmStage(exam)
            let peer = SwarmStage.peers(1)
            try stage.connect(peer)
            stage.act { stage.machine.ban(peer[0].publicKey, now: stage.now) }
            exam.equal("destroyed", stage.destroyed, [])
            exam.equal("open", stage.machine.openConnections.count, 1)
            exam.require("event", stage.saw(.banned(publicKey: peer[0].publicKey, byFirewall: false)))
            stage.run(for: .seconds(20))
            stage.act { stage.close(stage.dials[0].id) }
            stage.replies = [peer]
            stage.run(for: .seconds(1500))
            stage.act { stage.machine.networkChanged(now: stage.now) }
            exam.equal("dials", stage.dials.count, 1)
            exam.require("handshake refused", !stage.machine.acceptsHandshake(from: peer[0].publicKey, now: stage.now))
            stage.act { stage.machine.ban(peer[0].publicKey, false, now: stage.now) }
            stage.act { stage.machine.networkChanged(now: stage.now) }
            exam.equal("dials after the ban is lifted", stage.dials.count, 2)
        },
        Check("swarm.relay-after-abort", ["SWARM-30"], .machine) { exam in
            let relay = SwarmStage.key(0x99)
            for code in ["HOLEPUNCH_ABORTED", "HOLEPUNCH_DOUBLE_RANDOMIZED_NATS", "REMOTE_NOT_HOLEPUNCHABLE"] {
                let stage = SwarmStage(exam) { $0.relayThrough = .key(relay) }
                stage.replies = [SwarmStage.peers(1)]
                stage.answersDials = { _, _ in .fail(code) }
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                stage.run(for: .seconds(10))
                exam.equal("relay of the first dial, \(code)", stage.dials.first?.relay, nil)
                exam.require("second dial, \(code)", stage.dials.count >= 2, "\(stage.dials.count) dials")
                exam.equal("relay of the second dial, \(code)", stage.dials.dropFirst().first?.relay, relay)
            }
            let other = SwarmStage(exam) { $0.relayThrough = .key(relay) }
            other.replies = [SwarmStage.peers(1)]
            other.answersDials = { _, _ in .fail("PEER_CONNECTION_FAILED") }
            try other.act { try other.machine.join(SwarmStage.topic, server: false, now: other.now) }
            other.run(for: .seconds(10))
            exam.equal("relays after another failure", other.dials.compactMap(\.relay), [])
            exam.require("dials after another failure", other.dials.count == 2)
            let none = SwarmStage(exam)
            none.replies = [SwarmStage.peers(1)]
            none.answersDials = { _, _ in .fail("HOLEPUNCH_ABORTED") }
            try none.act { try none.machine.join(SwarmStage.topic, server: false, now: none.now) }
            none.run(for: .seconds(10))
            exam.equal("relays where none is set", none.dials.compactMap(\.relay), [])
            // A randomised NAT of our own takes the relay at once.
            let randomised = SwarmStage(exam) { $0.relayThrough = .anyOf([relay]) }
            randomised.machine.isNATRandomized = true
            randomised.replies = [SwarmStage.peers(1)]
            try randomised.act { try randomised.machine.join(SwarmStage.topic, server: false, now: randomised.now) }
            exam.equal("relay behind a random NAT", randomised.dials.first?.relay, relay)
        },
        Check("swarm.topics-share-connection", ["SWARM-32"], .machine) { exam in
            let stage = SwarmStage(exam)
            let second = SwarmStage.key(7)
            stage.replies = [SwarmStage.peers(1)]
            stage.answersDials = { _, _ in .open }
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            try stage.act { try stage.machine.join(second.bytes, server: false, now: stage.now) }
            exam.equal("dials", stage.dials.count, 1)
            exam.equal("connections", stage.connected.count, 1)
            exam.equal("topics", stage.machine.peers[SwarmStage.key(1)]?.topics ?? [], [SwarmStage.topicKey, second])
            exam.require("event", stage.saw(.topic(publicKey: SwarmStage.key(1), topic: second)))
        },
    ]
}
