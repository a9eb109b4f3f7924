import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO

/// When a lost or failed peer is dialled again. hyperswarm.md section 7.
enum RetryChecks {
    /// Bounds of a wait in a bucket: 0.66 to 1.32 of its value, which is base + process-wide draw + jitter.
    private static let short: ClosedRange<Int64> = 660...2640
    private static let medium: ClosedRange<Int64> = 3300...8580
    private static let long: ClosedRange<Int64> = 9900...23_100
    private static let explicit: ClosedRange<Int64> = 396_000...951_060

    private static func waits(_ stage: SwarmStage, afterLoss lasted: Int64 = 0) -> [Int64] {
        zip(stage.dials, stage.dials.dropFirst()).map { ($1.at - $0.at).milliseconds - lasted }
    }

    private static func within(_ exam: Examination, _ field: String, _ wait: Int64?, _ range: ClosedRange<Int64>) {
        exam.require(field, wait.map(range.contains) ?? false, wait.map { "\($0) ms" } ?? "no dial")
    }

    /// Every dial opens and is lost after `lasting`.
    private static func lose(_ stage: SwarmStage, after lasting: Interval, for total: Interval) {
        let end = stage.now + total
        while stage.now < end {
            if let open = stage.machine.openConnections.first {
                stage.run(for: lasting)
                stage.act { stage.close(open.id, "ECONNRESET") }
            } else {
                stage.run(for: .milliseconds(10))
            }
        }
    }

    static let checks: [Check] = [
        Check("swarm.retry-unproven", ["SWARM-20"], .machine) { exam in
            for seed in 0..<10 {
                let stage = SwarmStage(Examination(corpus: exam.corpus, seed: exam.seed &+ UInt64(seed)))
                stage.replies = [SwarmStage.peers(1)]
                stage.answersDials = { _, _ in .fail("PEER_CONNECTION_FAILED") }
                try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
                stage.replies = []
                stage.run(for: .seconds(3600))
                let waits = waits(stage)
                exam.equal("retries", waits.count, 3)
                within(exam, "first", waits.first, medium)
                within(exam, "second", waits.dropFirst().first, long)
                within(exam, "third", waits.dropFirst(2).first, long)
            }
        },
        Check("swarm.retry-stable", ["SWARM-21"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.connect(SwarmStage.peers(1))
            lose(stage, after: .seconds(15), for: .seconds(200))
            let waits = waits(stage, afterLoss: 15_000)
            exam.require("retries", waits.count > 8, "\(waits.count) retries")
            for (index, wait) in waits.enumerated() { within(exam, "retry \(index)", wait, 650...2660) }
        },
        Check("swarm.retry-unstable", ["SWARM-22"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.connect(SwarmStage.peers(1))
            lose(stage, after: .milliseconds(14_990), for: .seconds(500))
            let waits = waits(stage, afterLoss: 14_990)
            exam.equal("retries", waits.count, 3)
            within(exam, "first", waits.first, 650...2660)
            within(exam, "second", waits.dropFirst().first, 3290...8600)
            within(exam, "third", waits.dropFirst(2).first, 9890...23_120)
        },
        Check("swarm.retry-needs-a-reason", ["SWARM-23"], .machine) { exam in
            for leaves in [false, true] {
                let stage = SwarmStage(exam)
                try stage.connect(SwarmStage.peers(1))
                stage.run(for: .seconds(20))
                if leaves { stage.act { stage.machine.leave(SwarmStage.topicKey, now: stage.now) } }
                stage.act { stage.close(stage.dials[0].id, "ECONNRESET") }
                stage.run(for: .seconds(60))
                exam.equal(leaves ? "dials, topic left" : "dials, topic joined", stage.dials.count, leaves ? 1 : 2)
            }
        },
        Check("swarm.server-never-retries", ["SWARM-23"], .machine) { exam in
            let stage = SwarmStage(exam)
            try stage.act { try stage.machine.join(SwarmStage.topic, now: stage.now) }
            var incoming = SwarmConnectionID(0)
            stage.act { incoming = stage.machine.incoming(from: SwarmStage.key(1), now: stage.now) }
            stage.run(for: .seconds(20))
            stage.act { stage.close(incoming, "ECONNRESET") }
            stage.run(for: .seconds(60))
            exam.equal("dials", stage.dials.count, 0)
        },
        Check("swarm.explicit-peer", ["SWARM-24"], .machine) { exam in
            let stage = SwarmStage(exam)
            stage.answersDials = { _, _ in .fail("PEER_NOT_FOUND") }
            try stage.act { try stage.machine.joinPeer(SwarmStage.key(1), now: stage.now) }
            exam.equal("dialled without a topic", stage.dials.map(\.key), [SwarmStage.key(1)])
            exam.equal("queries", stage.queries.count, 0)
            stage.run(for: .seconds(4000))
            let waits = waits(stage)
            within(exam, "first", waits.first, medium)
            within(exam, "second", waits.dropFirst().first, long)
            within(exam, "third", waits.dropFirst(2).first, long)
            exam.require("goes on", waits.count >= 6, "\(waits.count) retries in 4000 s")
            for (index, wait) in waits.dropFirst(3).enumerated() { within(exam, "later \(index)", wait, explicit) }
            stage.act { stage.machine.leavePeer(SwarmStage.key(1), now: stage.now) }
            let dials = stage.dials.count
            stage.run(for: .seconds(4000))
            exam.equal("dials after leavePeer", stage.dials.count, dials)
        },
    ]
}
