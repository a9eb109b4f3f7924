import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO

/// Topics, their queries, and when they run.
enum TopicChecks {
    static let checks: [Check] = [
        Check("swarm.target-is-topic", ["SWARM-1"], .machine) { exam in
            for (server, client) in [(true, true), (true, false), (false, true)] {
                let stage = SwarmStage(exam)
                try stage.act { try stage.machine.join(SwarmStage.topic, server: server, client: client, now: stage.now) }
                exam.equal("queries", stage.queries.count, 1)
                exam.equal("target", stage.queries.first?.target, SwarmStage.topicKey)
            }
        },
        Check("swarm.announce-bounds-relays", ["SWARM-2"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            let limits: [Int] = stage.effects.compactMap { if case .query(_, .announce, _, let limit) = $0.effect { limit } else { nil } }
            exam.equal("announces", limits.count, 1)
            exam.equal("relay addresses at most", limits.first, 3)
            // The record names the relays of the own key: so the announce waits until that is announced.
            let order: [String] = stage.effects.compactMap {
                switch $0.effect {
                case .listen: "listen"
                case .query: "announce"
                default: nil
                }
            }
            exam.equal("order", order, ["listen", "announce"])
        },
        Check("swarm.listens-for-servers-only", ["SWARM-3"], .machine) { exam in
            let isListen: (SwarmEffect) -> Bool = { if case .listen = $0 { true } else { false } }
            let server = SwarmStage(exam)
            try server.act { try server.machine.join(SwarmStage.topic, now: server.now) }
            try server.act { try server.machine.join(SwarmStage.key(9).bytes, client: false, now: server.now) }
            exam.equal("listens, server", server.count(isListen), 1)
            let client = SwarmStage(exam)
            try client.act { try client.machine.join(SwarmStage.topic, server: false, now: client.now) }
            client.run(for: .seconds(3600))
            exam.equal("listens, client", client.count(isListen), 0)
            exam.require("client queries", client.queries.count >= 4)
        },
        Check("swarm.client-never-announces", ["SWARM-4"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            stage.run(for: .seconds(7200))
            stage.act { stage.machine.networkChanged(now: stage.now) }
            exam.require("queries", stage.queries.count > 9, "\(stage.queries.count)")
            for (index, query) in stage.queries.enumerated() { exam.equal("query \(index)", query.kind, .lookup) }
            stage.act { stage.machine.leave(SwarmStage.topicKey, now: stage.now) }
            exam.equal("unannounced", stage.unannounced, [])
        },
        Check("swarm.mode-required", ["SWARM-5"], .machine) { exam in
            let stage = SwarmStage(exam)
            exam.refuses("neither server nor client") {
                try stage.machine.join(SwarmStage.topic, server: false, client: false, now: stage.now)
            }
            stage.pump()
            exam.equal("effects", stage.effects.count, 0)
        },
        Check("swarm.leave-unannounces", ["SWARM-6"], .machine) { exam in
            let stage = SwarmStage(exam)
            stage.replies = [SwarmStage.peers(1)]
            stage.answersDials = { _, _ in .open }
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            exam.equal("connected", stage.connected.count, 1)
            stage.act { stage.machine.leave(SwarmStage.topicKey, now: stage.now) }
            exam.equal("unannounced", stage.unannounced, [SwarmStage.topicKey])
            exam.require("left", stage.saw(.left(topic: SwarmStage.topicKey)))
            exam.equal("destroyed", stage.destroyed, [])
            exam.equal("open", stage.machine.openConnections.count, 1)
            let queries = stage.queries.count
            stage.run(for: .seconds(3600))
            exam.equal("queries after leaving", stage.queries.count, queries)
        },
        Check("swarm.server-turned-client-unannounces", ["SWARM-6"], .machine) { exam in
            let stage = SwarmStage(exam)
            var server = SwarmSessionID(0)
            try stage.act { server = try stage.machine.join(SwarmStage.topic, client: false, now: stage.now) }
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            stage.act { stage.machine.endSession(server, now: stage.now) }
            exam.equal("last query", stage.queries.last?.kind, .lookupAndUnannounce)
            stage.run(for: .seconds(800))
            exam.equal("next query", stage.queries.last?.kind, .lookup)
            // Both announces but the first leave stale records alone.
            exam.equal("kinds", stage.queries.map(\.kind).prefix(2), [.announce(clear: true), .announce(clear: false)])
        },
        Check("swarm.refresh-interval", ["SWARM-7"], .machine) { exam in
            var waits: Set<Int64> = []
            for seed in 0..<20 {
                let stage = SwarmStage(Examination(corpus: exam.corpus, seed: exam.seed &+ UInt64(seed)))
                stage.answersOperations = false
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                // The time counts from the end of the query, not from its start.
                stage.run(for: .seconds(40))
                exam.equal("queries while one runs", stage.queries.count, 1)
                stage.answersOperations = true
                stage.act { for pending in stage.pendingOperations { stage.finish(pending.id) } }
                stage.run(for: .seconds(599))
                exam.equal("queries within 600 s", stage.queries.count, 1)
                stage.run(for: .seconds(122))
                exam.equal("queries within 721 s", stage.queries.count, 2)
                waits.insert(stage.queries.last?.at.milliseconds ?? 0)
            }
            exam.require("random part", waits.count > 10, "\(waits.count) different waits of 20")
        },
        Check("swarm.late-timer", ["SWARM-8"], .machine) { exam in
            for seed in 0..<10 {
                let stage = SwarmStage(Examination(corpus: exam.corpus, seed: exam.seed &+ UInt64(seed)))
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                stage.sleep(for: .seconds(5000))
                exam.equal("queries at waking", stage.queries.count, 1)
                stage.run(for: .seconds(121))
                exam.equal("queries within 120 s of waking", stage.queries.count, 2)
            }
            // Less than 30 s late is on time.
            let stage = SwarmStage(exam)
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            stage.sleep(for: stage.machine.nextWakeUp - stage.now + .seconds(29))
            exam.equal("queries 29 s late", stage.queries.count, 2)
        },
        Check("swarm.network-change", ["SWARM-9"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.connect(SwarmStage.peers(2))
            // A third connection is only being made.
            stage.answersDials = { _, _ in .nothing }
            try stage.act { try stage.machine.joinPeer(SwarmStage.key(0x70), now: stage.now) }
            try stage.act { try stage.machine.join(SwarmStage.key(9).bytes, now: stage.now) }
            let queries = stage.queries.count
            stage.act { stage.machine.networkChanged(now: stage.now) }
            exam.equal("keepalives", stage.keptAlive.count, 3)
            exam.equal("on different connections", Set(stage.keptAlive).count, 3)
            exam.equal("queries", Set(stage.queries.dropFirst(queries).map(\.target)), [SwarmStage.topicKey, SwarmStage.key(9)])
            exam.equal("queries, number", stage.queries.count - queries, 2)
        },
        Check("swarm.topic-length", ["SWARM-33"], .machine) { exam in
            for length in [0, 31, 33, 64] {
                let stage = SwarmStage(exam)
                exam.refuses("\(length) bytes") { try stage.machine.join([UInt8](repeating: 7, count: length), now: stage.now) }
                stage.pump()
                exam.equal("effects, \(length) bytes", stage.effects.count, 0)
            }
        },
        Check("swarm.rejoin-after-unannounce", ["SWARM-34"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            stage.answersOperations = false
            stage.act { stage.machine.leave(SwarmStage.topicKey, now: stage.now) }
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            stage.run(for: .seconds(5))
            exam.equal("queries before the unannounce is done", stage.queries.count, 1)
            stage.act { for pending in stage.pendingOperations { stage.finish(pending.id) } }
            exam.equal("queries after", stage.queries.count, 2)
            exam.equal("kind", stage.queries.last?.kind, .announce(clear: true))
        },
    ]
}
