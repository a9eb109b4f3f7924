import CompactEncoding
import HyperCrypto
import Noise
import SansIO

/// Two sides of a handshake, and somebody between them who loses, repeats, swaps and changes messages.
enum NoiseScript {
    private final class Side {
        let state: HandshakeState
        /// Everything that it has written.
        var written: [[UInt8]] = []
        /// What of the other side's it has accepted.
        var accepted: [[UInt8]] = []

        init(_ state: HandshakeState) { self.state = state }
    }

    static let first = KeyPair(seed: Bytes32([UInt8](repeating: 1, count: 32)) ?? .zero)
    static let second = KeyPair(seed: Bytes32([UInt8](repeating: 2, count: 32)) ?? .zero)

    static func run(_ bytes: [UInt8]) -> String? {
        var script = Script(bytes)
        let promises = Promises()
        let pattern = HandshakePattern.allCases[script.int(HandshakePattern.allCases.count)]
        let prologue = script.take(script.int(8))
        // The same prologue mostly.
        let otherPrologue = script.byte() & 7 == 7 ? script.take(script.int(8)) : prologue
        let sides: [Side]
        do {
            sides = [
                Side(
                    try HandshakeState(
                        pattern: pattern, isInitiator: true, prologue: prologue, staticKeys: first, remoteStatic: second.publicKey,
                        entropy: SeededEntropy(seed: 1))),
                Side(
                    try HandshakeState(
                        pattern: pattern, isInitiator: false, prologue: otherPrologue, staticKeys: second, entropy: SeededEntropy(seed: 2))),
            ]
        } catch { return "a handshake can't be begun: \(error)" }
        for _ in 0..<24 where !script.isOver && promises.broken == nil {
            let choice = script.byte()
            let side = sides[Int(choice >> 7)]
            step(choice & 15, side, sides[1 - Int(choice >> 7)], &script, promises)
        }
        finish(sides, prologue == otherPrologue, promises)
        return promises.broken
    }

    private static func step(_ choice: UInt8, _ side: Side, _ other: Side, _ script: inout Script, _ promises: Promises) {
        let index = side.state.messageIndex
        switch choice {
        case 0...3:
            let isDue = side.state.isOurTurn
            do {
                side.written.append(try side.state.write(payload: script.take(script.int(32))))
                promises.hold(isDue, "a message out of turn was written")
            } catch { promises.hold(side.state.messageIndex == index, "a write failed and counted") }
        case 4...8: if let message = other.written.last { read(message, side, promises) }
        case 9: if !other.written.isEmpty { read(other.written[script.int(other.written.count)], side, promises) }
        case 10: if let own = side.written.last { read(own, side, promises) }
        case 11: read(script.take(script.int(200)), side, promises)
        default: if let message = other.written.last { read(script.damage(message), side, promises) }
        }
    }

    private static func read(_ message: [UInt8], _ side: Side, _ promises: Promises) {
        let index = side.state.messageIndex
        let wasDue = !side.state.isOurTurn && !side.state.isComplete
        do {
            _ = try side.state.read(message)
            promises.hold(wasDue, "a message out of turn was read")
            side.accepted.append(message)
        } catch {
            // NOISE-14: the next, genuine one must still be read.
            promises.hold(
                side.state.messageIndex == index && side.state.result == nil || side.state.isComplete, "a bad message changed the state")
        }
    }

    /// Whether everything that was accepted so far is what was written, in order.
    private static func isGenuine(_ sides: [Side]) -> Bool {
        sides[1].written.starts(with: sides[0].accepted) && sides[0].written.starts(with: sides[1].accepted)
    }

    /// Carries what is missing, then compares.
    private static func finish(_ sides: [Side], _ agree: Bool, _ promises: Promises) {
        for _ in 0..<6 where promises.broken == nil {
            for (side, other) in [(sides[0], sides[1]), (sides[1], sides[0])] {
                if side.state.isOurTurn, let message = try? side.state.write() { side.written.append(message) }
                // By now nothing but the genuine message is offered.
                if !other.state.isComplete, !other.state.isOurTurn, side.written.count > other.accepted.count {
                    let wasGenuine = isGenuine(sides)
                    let count = other.accepted.count
                    read(side.written[count], other, promises)
                    promises.hold(
                        !wasGenuine || !agree || other.accepted.count > count, "a genuine message is refused after bad ones before it")
                }
            }
        }
        let isGenuine = isGenuine(sides)
        if isGenuine, agree {
            promises.hold(sides.allSatisfy { $0.state.isComplete }, "a genuine handshake did not come to its end")
        }
        guard let a = sides[0].state.result, let b = sides[1].state.result else { return }
        if isGenuine, agree {
            promises.hold(a.hash == b.hash && a.tx == b.rx && a.rx == b.tx, "both sides are done, and their keys differ")
            promises.hold(a.hash.count == 64 && a.tx.count == 32 && a.rx.count == 32, "keys of the wrong length")
        } else {
            promises.hold(a.hash != b.hash, "messages were changed on the way, and nobody can tell")
        }
        if sides[0].state.pattern != .nn {
            promises.hold(b.remotePublicKey == first.publicKey || a.hash != b.hash, "the responder knows another initiator")
        }
    }
}
