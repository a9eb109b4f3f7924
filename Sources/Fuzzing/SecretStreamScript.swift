import CompactEncoding
import HyperCrypto
import Noise
import SansIO
import SecretStream

/// Two secret streams over a raw stream that is cut into pieces, and sometimes damaged, at the script's will.
///
/// What comes out at one end is always a beginning of what went in at the other, and once a byte was changed the stream ends with an error.
final class SecretStreamScript {
    private final class End {
        let stream: SecretStream
        /// Written here and not yet given to the other end.
        var raw: [UInt8] = []
        var boxes: [[UInt8]] = []
        var hasSentEnd = false
        var sent: [[UInt8]] = []
        var sentUnordered: Set<[UInt8]> = []
        var received = 0
        var opened = false
        var ended = false
        var closed = false
        /// What this end gets is no longer what the other one wrote.
        var isDeceived = false

        init(_ stream: SecretStream) { self.stream = stream }
    }

    private var script: Script
    private let promises = Promises()
    private let clock = Clock()
    private let ends: [End]

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        let choice = script.byte()
        var configuration = SecretStream.Configuration()
        configuration.pattern = [.xx, .ik, .nn, .xx][Int(choice & 3)]
        if choice & 4 != 0 { configuration.keepAlive = .seconds(5) }
        if choice & 8 != 0 { configuration.timeout = .seconds(30) }
        if choice & 16 != 0 { configuration.maximumFrameLength = 100 }
        if choice & 32 != 0, configuration.pattern != .nn { configuration.expectedRemotePublicKey = NoiseScript.second.publicKey }
        ends = [
            End(SecretStream(isInitiator: true, configuration: configuration, entropy: SeededEntropy(seed: 1))),
            End(
                SecretStream(
                    isInitiator: false,
                    configuration: {
                        var other = configuration
                        other.expectedRemotePublicKey = nil
                        return other
                    }(), entropy: SeededEntropy(seed: 2))),
        ]
        if choice & 64 != 0 {
            let keys = [[UInt8](repeating: 5, count: 32), [UInt8](repeating: 6, count: 32)]
            let hash = [UInt8](repeating: 7, count: 64)
            let publicKeys = [NoiseScript.first.publicKey, NoiseScript.second.publicKey]
            for index in 0..<2 {
                ends[index].stream.start(
                    handshake: HandshakeResult(
                        isInitiator: index == 0, tx: keys[index], rx: keys[1 - index], hash: hash, publicKey: publicKeys[index],
                        remotePublicKey: publicKeys[1 - index]), at: clock.now)
            }
        } else if choice & 128 != 0 {
            start(0)
        } else {
            start(1)
            start(0)
        }
    }

    static func run(_ bytes: [UInt8]) -> String? { SecretStreamScript(bytes).run() }

    private func start(_ index: Int) {
        let keys = [NoiseScript.first, NoiseScript.second]
        ends[index].stream.start(
            keyPair: keys[index], remotePublicKey: index == 0 ? keys[1].publicKey : nil, at: clock.now)
    }

    private func run() -> String? {
        for end in ends { collect(end) }
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 500 {
            steps += 1
            step()
        }
        finish()
        return promises.broken
    }

    private func step() {
        let choice = script.byte()
        let end = ends[Int(choice >> 7)]
        let other = ends[1 - Int(choice >> 7)]
        switch choice & 31 {
        case 0...3: write(end, script.int(64))
        case 4: write(end, script.int(20_000))
        case 5...8: pass(end, other, 1 + script.int(8))
        case 9...12: pass(end, other, 1 + script.int(4096))
        case 13...15: pass(end, other, .max)
        case 16: damage(end, other)
        case 17: inject(end, other)
        case 18: sendUnordered(end)
        case 19, 20: if !end.boxes.isEmpty { other.stream.receiveUnordered(end.boxes[script.int(end.boxes.count)]) }
        case 21: if !end.boxes.isEmpty { other.stream.receiveUnordered(script.damage(end.boxes[script.int(end.boxes.count)])) }
        case 22: advance(script.milliseconds() * 20)
        case 23: end.stream.end(at: clock.now)
        case 24: start(Int(choice >> 7))
        case 25:
            other.isDeceived = true
            end.stream.destroy()
        case 26: end.stream.setKeepAlive(.milliseconds(script.milliseconds()), at: clock.now)
        case 27: end.stream.setTimeout(.milliseconds(script.milliseconds() * 100), at: clock.now)
        case 28:
            other.isDeceived = true
            other.stream.rawClosed(script.bool() ? nil : "gone")
        case 29: end.stream.sendKeepAlive(at: clock.now)
        default: break
        }
        for end in ends { collect(end) }
    }

    private func write(_ end: End, _ count: Int) {
        let message = [UInt8](repeating: UInt8(truncatingIfNeeded: end.sent.count), count: count)
        do {
            try end.stream.write(message, at: clock.now)
            // Empty messages are the keepalives of whoever has keepalive on.
            if count > 0 { end.sent.append(message) }
        } catch { return }
    }

    private func sendUnordered(_ end: End) {
        let message = script.take(script.int(40))
        if end.stream.sendUnordered(message) { end.sentUnordered.insert(message) }
    }

    private func pass(_ end: End, _ other: End, _ count: Int) {
        let piece = Array(end.raw.prefix(count))
        end.raw.removeFirst(piece.count)
        if !piece.isEmpty { other.stream.receive(piece, at: clock.now) }
        if end.raw.isEmpty, end.hasSentEnd { other.stream.receiveEnd(at: clock.now) }
    }

    private func damage(_ end: End, _ other: End) {
        guard !end.raw.isEmpty else { return }
        let before = end.raw
        end.raw = script.damage(end.raw)
        if end.raw != before { other.isDeceived = true }
    }

    private func inject(_ end: End, _ other: End) {
        let length = script.byte() & 1 == 0 ? Int(script.byte()) : Int(script.uint32() & 0xff_ffff)
        other.isDeceived = true
        end.raw += FrameLength(length).encoded + script.take(script.int(64))
    }

    private func advance(_ milliseconds: Int64) {
        clock.run(
            until: clock.now + .milliseconds(milliseconds), limit: 300, promises,
            nextWakeUp: { min(ends[0].stream.nextWakeUp, ends[1].stream.nextWakeUp) },
            wake: { now in
                for end in ends {
                    end.stream.advance(to: now)
                    collect(end)
                }
            })
    }

    private func collect(_ end: End) {
        for effect in end.stream.takeEffects() {
            promises.hold(!end.closed || effect == .destroy || effect == .end, "raw bytes after the end")
            switch effect {
            case .write(let bytes): end.raw += bytes
            case .sendUnordered(let box): end.boxes.append(box)
            case .end:
                promises.hold(!end.hasSentEnd, "two ends of the raw stream")
                end.hasSentEnd = true
            case .destroy: break
            }
        }
        let other = end === ends[0] ? ends[1] : ends[0]
        for event in end.stream.takeEvents() {
            promises.hold(!end.closed, "an event after the last one: \(event)")
            switch event {
            case .opened(let key):
                promises.hold(!end.opened, "opened twice")
                end.opened = true
                if key != nil, !end.isDeceived {
                    promises.hold(key == (end === ends[0] ? NoiseScript.second : NoiseScript.first).publicKey, "another peer's key")
                }
            case .message(let bytes):
                promises.hold(end.opened && !end.ended, "a message before the opening or after the end")
                if bytes.isEmpty { continue }
                promises.hold(
                    end.received < other.sent.count && other.sent[end.received] == bytes,
                    "message \(end.received) is not the one that was sent")
                end.received += 1
            case .unordered(let bytes):
                promises.hold(end.opened, "an unordered message before the opening")
                promises.hold(other.sentUnordered.contains(bytes), "an unordered message that nobody sent")
            case .end: end.ended = true
            case .closed: end.closed = true
            }
        }
        promises.hold(end.stream.heldBytes <= 1 << 20 + 1 << 17, "\(end.stream.heldBytes) bytes are held")
    }

    /// All that is on the way arrives: who was not deceived has everything.
    private func finish() {
        for _ in 0..<8 where promises.broken == nil {
            for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                pass(end, other, .max)
                collect(other)
                collect(end)
            }
        }
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] where promises.broken == nil {
            guard !end.isDeceived, !other.isDeceived, end.opened, other.opened, !end.closed, !other.closed else { continue }
            promises.hold(end.received == other.sent.count, "\(end.received) of \(other.sent.count) messages arrived")
        }
    }
}
