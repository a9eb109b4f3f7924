import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO

/// Which of two connections with one peer survives. hyperswarm.md section 8.
enum DuplicateChecks {
    /// Both sides dial each other; the remote's connection comes in while ours is being made, or when it is open.
    private static func cross(_ exam: Examination, own: Bytes32, remote: Bytes32, open: Bool, traffic: Bool = false) throws -> (
        SwarmStage, ours: SwarmConnectionID, theirs: SwarmConnectionID
    ) {
        let stage = SwarmStage(exam, key: own)
        stage.replies = [[FoundPeer(publicKey: remote)]]
        try stage.act { try stage.machine.join(SwarmStage.topic, server: false, now: stage.now) }
        stage.replies = []
        let ours = stage.dials.first?.id ?? SwarmConnectionID(0)
        if open { stage.act { stage.open(ours) } }
        if traffic { stage.machine.noteTraffic(ours, received: true, sent: true) }
        var theirs = SwarmConnectionID(0)
        stage.act { theirs = stage.machine.incoming(from: remote, now: stage.now) }
        return (stage, ours, theirs)
    }

    static let checks: [Check] = [
        Check("swarm.crossing-greater", ["SWARM-15a", "SWARM-15b"], .machine) { exam in
            let (stage, ours, theirs) = try cross(exam, own: SwarmStage.key(0x80), remote: SwarmStage.key(0x7f), open: false)
            exam.equal("destroyed", stage.destroyed, [theirs])
            exam.equal("kept alive", stage.keptAlive, [ours])
            stage.act { stage.open(ours) }
            exam.equal("emitted", stage.connected.map(\.id), [ours])
        },
        Check("swarm.crossing-greater-destroys-incoming", ["SWARM-15a"], .machine) { exam in
            for open in [false, true] {
                let (stage, ours, theirs) = try cross(exam, own: SwarmStage.key(0x80), remote: SwarmStage.key(0x7f), open: open)
                exam.equal("destroyed", stage.destroyed, [theirs])
                if !open { stage.act { stage.open(ours) } }
                exam.equal("open", stage.machine.openConnections.map(\.id), [ours])
            }
        },
        Check("swarm.crossing-lesser", ["SWARM-16"], .machine) { exam in
            let (stage, ours, theirs) = try cross(exam, own: SwarmStage.key(0x7f), remote: SwarmStage.key(0x80), open: false)
            exam.equal("destroyed", stage.destroyed, [ours])
            exam.equal("emitted", stage.connected.map(\.id), [theirs])
            exam.equal("kept alive", stage.keptAlive, [])
            // It is not dialled again while the survivor stands.
            stage.run(for: .seconds(60))
            exam.equal("dials", stage.dials.count, 1)
            exam.equal("open", stage.machine.openConnections.map(\.id), [theirs])
        },
        Check("swarm.both-ends-agree", ["SWARM-15a", "SWARM-16"], .machine) { exam in
            // Two machines, one network between them: whatever order the two dials arrive in, one connection is left, the greater key's.
            for greaterFirst in [true, false] {
                let great = SwarmStage.key(0x90)
                let small = SwarmStage.key(0x10)
                let a = SwarmStage(exam, key: great)
                let b = SwarmStage(exam, key: small)
                try a.act { try a.machine.joinPeer(small, now: a.now) }
                try b.act { try b.machine.joinPeer(great, now: b.now) }
                let dialA = a.dials.first?.id ?? SwarmConnectionID(0)
                let dialB = b.dials.first?.id ?? SwarmConnectionID(0)
                var atA = SwarmConnectionID(0)
                var atB = SwarmConnectionID(0)
                func deliverA() {
                    b.act { atB = b.machine.incoming(from: great, now: b.now) }
                    a.act { a.open(dialA) }
                }
                func deliverB() {
                    a.act { atA = a.machine.incoming(from: small, now: a.now) }
                    // A's refusal reaches B only if B has not destroyed its dial already.
                    if !b.destroyed.contains(dialB) {
                        b.act { if a.destroyed.contains(atA) { b.close(dialB, "ECONNRESET") } else { b.open(dialB) } }
                    }
                }
                if greaterFirst {
                    deliverA()
                    deliverB()
                } else {
                    deliverB()
                    deliverA()
                }
                exam.equal("open at the greater key", a.machine.openConnections.map(\.id), [dialA])
                exam.equal("open at the lesser key", b.machine.openConnections.map(\.id), [atB])
                exam.equal("emitted at the greater key", a.connected.count, 1)
                exam.equal("emitted at the lesser key", b.connected.count, 1)
            }
        },
        Check("swarm.outdated-is-replaced", ["SWARM-17"], .machine) { exam in
            for (own, remote) in [(SwarmStage.key(0x80), SwarmStage.key(0x7f)), (SwarmStage.key(0x7f), SwarmStage.key(0x80))] {
                let (stage, ours, theirs) = try cross(exam, own: own, remote: remote, open: true, traffic: true)
                exam.equal("destroyed", stage.destroyed, [ours])
                exam.equal("emitted", stage.connected.map(\.id), [ours, theirs])
                // The same between two incoming ones.
                stage.machine.noteTraffic(theirs, received: true, sent: true)
                var third = SwarmConnectionID(0)
                stage.act { third = stage.machine.incoming(from: remote, now: stage.now) }
                exam.equal("destroyed then", stage.destroyed, [ours, theirs])
                exam.equal("open then", stage.machine.openConnections.map(\.id), [third])
            }
            // Both directions are needed.
            let (stage, ours, _) = try cross(exam, own: SwarmStage.key(0x80), remote: SwarmStage.key(0x7f), open: true)
            stage.machine.noteTraffic(ours, received: false, sent: true)
            stage.act { stage.machine.incoming(from: SwarmStage.key(0x7f), now: stage.now) }
            exam.equal("one way only", stage.machine.openConnections.map(\.id), [ours])
        },
        Check("swarm.second-incoming", ["SWARM-18"], .machine) { exam in
            for (own, remote, keepsNew) in [
                (SwarmStage.key(0x80), SwarmStage.key(0x7f), false), (SwarmStage.key(0x7f), SwarmStage.key(0x80), true),
            ] {
                let stage = SwarmStage(exam, key: own)
                var first = SwarmConnectionID(0)
                var second = SwarmConnectionID(0)
                stage.act { first = stage.machine.incoming(from: remote, now: stage.now) }
                stage.act { second = stage.machine.incoming(from: remote, now: stage.now) }
                exam.equal("destroyed", stage.destroyed, [keepsNew ? first : second])
                exam.equal("open", stage.machine.openConnections.map(\.id), [keepsNew ? second : first])
                exam.equal("emitted", stage.connected.map(\.id), keepsNew ? [first, second] : [first])
            }
        },
        Check("swarm.keys-compare-unsigned", ["SWARM-19"], .machine) { exam in
            let pairs: [(less: Bytes32, greater: Bytes32)] = [
                (SwarmStage.key(0x7f), SwarmStage.key(0x80)), (SwarmStage.key(0x00), SwarmStage.key(0xff)),
                (SwarmStage.key(0x55, 0x7f), SwarmStage.key(0x55, 0x80)), (SwarmStage.key(0x55, 0x01), SwarmStage.key(0x55, 0x02)),
                (SwarmStage.key(0x80), SwarmStage.key(0x81)), (SwarmStage.key(0x7e), SwarmStage.key(0x7f)),
            ]
            for (less, greater) in pairs {
                let (asGreater, ours, _) = try cross(exam, own: greater, remote: less, open: true)
                exam.equal("own \(greater)", asGreater.machine.openConnections.map(\.id), [ours])
                let (asLess, _, theirs) = try cross(exam, own: less, remote: greater, open: true)
                exam.equal("own \(less)", asLess.machine.openConnections.map(\.id), [theirs])
            }
        },
    ]
}
