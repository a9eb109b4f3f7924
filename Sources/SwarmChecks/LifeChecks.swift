import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO

/// Flush, suspend, resume, destroy.
enum LifeChecks {
    private static func named(_ effect: SwarmEffect) -> String {
        switch effect {
        case .listen: "listen"
        case .query(_, let kind, _, _): "\(kind)"
        case .cancelQuery: "cancel"
        case .unannounce: "unannounce"
        case .connect: "connect"
        case .destroyConnection: "destroyConnection"
        case .sendKeepAlive: "keepAlive"
        case .suspendServer: "suspendServer"
        case .resumeServer: "resumeServer"
        case .closeServer: "closeServer"
        case .suspendNode: "suspendNode"
        case .resumeNode: "resumeNode"
        case .destroyNode: "destroyNode"
        }
    }

    static let checks: [Check] = [
        Check("swarm.suspend-and-resume", ["SWARM-27"], .machine) { exam in
            let stage = SwarmStage(exam)
            stage.replies = [SwarmStage.peers(2)]
            stage.answersDials = { _, _ in .open }
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            try stage.act { try stage.machine.join(SwarmStage.key(5).bytes, now: stage.now) }
            stage.act { stage.machine.incoming(from: SwarmStage.key(0x40), now: stage.now) }
            exam.equal("connections", stage.machine.openConnections.count, 3)
            let before = stage.effects.count
            stage.act { stage.machine.suspend(now: stage.now) }
            exam.require("suspended", stage.saw(.suspended))
            exam.equal("open", stage.machine.openConnections.count, 0)
            exam.equal("destroyed", stage.destroyed.count, 3)
            exam.equal("topics unannounced", Set(stage.unannounced), [SwarmStage.topicKey, SwarmStage.key(5)])
            let names = stage.effects.dropFirst(before).map { named($0.effect) }
            exam.equal("server", names.filter { $0 == "suspendServer" }.count, 1)
            exam.equal("node last", names.last, "suspendNode")

            // Silence: nothing is answered, dialled or asked.
            exam.require("handshake unanswered", !stage.machine.acceptsHandshake(from: SwarmStage.key(3), now: stage.now))
            let late = stage.effects.count
            stage.act { stage.machine.incoming(from: SwarmStage.key(3), now: stage.now) }
            exam.equal("incoming", stage.effects.dropFirst(late).map { named($0.effect) }, ["destroyConnection"])
            try stage.act { try stage.machine.join(SwarmStage.key(6).bytes, now: stage.now) }
            stage.act { stage.machine.networkChanged(now: stage.now) }
            stage.run(for: .seconds(3600))
            exam.equal("effects while suspended", stage.effects.count, late + 1)

            let resumed = stage.effects.count
            stage.act { stage.machine.resume(now: stage.now) }
            exam.require("resumed", stage.saw(.resumed))
            let after = stage.effects.dropFirst(resumed).map { named($0.effect) }
            exam.equal("first", Array(after.prefix(2)), ["resumeNode", "resumeServer"])
            let announced = stage.queries.suffix(3)
            exam.equal("announced again", Set(announced.map(\.target)), [SwarmStage.topicKey, SwarmStage.key(5), SwarmStage.key(6)])
            for query in announced {
                if case .announce = query.kind {} else { exam.report("kind", expected: "announce", actual: "\(query.kind)") }
            }
            exam.equal("connected again", stage.machine.openConnections.count, 2)
        },
        Check("swarm.suspend-waits", ["SWARM-27"], .machine) { exam in
            // The node is suspended only when every unannounce is done.
            let stage = SwarmStage(exam)
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            stage.answersOperations = false
            stage.act { stage.machine.suspend(now: stage.now) }
            exam.equal("waits for", stage.pendingOperations.map { named($0.effect) }, ["suspendServer", "unannounce"])
            for _ in 0..<2 { stage.act { if let next = stage.pendingOperations.first { stage.finish(next.id) } } }
            exam.equal("then", stage.pendingOperations.map { named($0.effect) }, ["suspendNode"])
            exam.require("not suspended yet", !stage.saw(.suspended))
            stage.act { if let next = stage.pendingOperations.first { stage.finish(next.id) } }
            exam.require("suspended", stage.saw(.suspended))
        },
        Check("swarm.destroy", ["SWARM-28"], .machine) { exam in
            let stage = SwarmStage(exam)
            stage.replies = [SwarmStage.peers(2)]
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            var token: UInt64 = 0
            stage.act { token = stage.machine.flush(now: stage.now) }
            exam.require("flush waits for the dials", !stage.saw(.flushed(token: token, true)))
            let before = stage.effects.count
            stage.act { stage.machine.destroy(now: stage.now) }
            exam.require("flush is false", stage.saw(.flushed(token: token, false)))
            exam.equal("unannounced", stage.unannounced, [SwarmStage.topicKey])
            exam.equal("order", stage.effects.dropFirst(before).map { named($0.effect) }, ["unannounce", "closeServer", "destroyNode"])
            exam.require("destroyed", stage.saw(.destroyed))
            exam.refuses("join") { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            stage.act { token = stage.machine.flush(now: stage.now) }
            exam.require("a later flush is false", stage.saw(.flushed(token: token, false)))
            let forced = SwarmStage(exam)
            try forced.act { try forced.machine.join(SwarmStage.topic, now: forced.now) }
            let earlier = forced.effects.count
            forced.act { forced.machine.destroy(force: true, now: forced.now) }
            exam.equal("forced", forced.effects.dropFirst(earlier).map { named($0.effect) }, ["destroyNode"])
        },
        Check("swarm.flush", ["SWARM-29"], .machine) { exam in
            let stage = SwarmStage(exam) { $0.maxParallel = 2 }
            stage.replies = [SwarmStage.peers(4)]
            stage.answersOperations = false
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            var token: UInt64 = 0
            stage.act { token = stage.machine.flush(now: stage.now) }
            let done = SwarmEvent.flushed(token: token, true)
            exam.require("waits for the query", !stage.saw(done))
            stage.act { if let query = stage.pendingOperations.first { stage.finish(query.id) } }
            exam.require("waits for the dials", !stage.saw(done))
            // One found later is not waited for.
            for index in 0..<4 {
                exam.require("waits for peer \(index)", !stage.saw(done))
                guard let dial = stage.pendingDials.first else { break }
                stage.act { if index == 1 { stage.close(dial.id, "PEER_CONNECTION_FAILED") } else { stage.open(dial.id) } }
            }
            exam.require("all tried", stage.saw(done))
            // With nothing to wait for it is true at once.
            stage.act { token = stage.machine.flush(now: stage.now) }
            exam.require("at once", stage.saw(.flushed(token: token, true)))
        },
        Check("swarm.flush-at-the-limit", ["SWARM-29"], .machine) { exam in
            // Peers that the limit keeps in the queue are not waited for.
            let stage = SwarmStage(exam) { $0.maxPeers = 2 }
            stage.replies = [SwarmStage.peers(5)]
            try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
            var token: UInt64 = 0
            stage.act { token = stage.machine.flush(now: stage.now) }
            for dial in stage.pendingDials {
                exam.require("waits", !stage.saw(.flushed(token: token, true)))
                stage.act { stage.open(dial.id) }
            }
            exam.require("done", stage.saw(.flushed(token: token, true)))
            exam.equal("queued", stage.machine.queuedCount, 3)
        },
    ]
}
