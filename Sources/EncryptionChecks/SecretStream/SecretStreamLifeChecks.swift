import CompactEncoding
import Conformance
import HyperCrypto
import SansIO
import SecretStream

/// Keepalive, timeout, and every way to end.
enum SecretStreamLifeChecks {
    static let checks: [Check] = [
        Check("secret-stream.empty-with-keepalive", ["SS-15a"], .machine, run: emptyWithKeepAlive),
        Check("secret-stream.empty-without-keepalive", ["SS-15b"], .machine, run: emptyWithoutKeepAlive),
        Check("secret-stream.keepalive", ["SS-16"], .machine, run: keepAlive),
        Check("secret-stream.timeout", ["SS-17"], .machine, run: timeout),
        Check("secret-stream.reads-after-its-end", ["SS-18"], .machine, run: readsAfterEnd),
        Check("secret-stream.writes-after-the-peers-end", ["SS-19"], .machine, run: writesAfterRemoteEnd),
        Check("secret-stream.truncation", ["SS-20a", "SS-20b"], .machine, run: truncation),
        Check("secret-stream.destroy", ["SS-21"], .machine, run: destroy),
    ]

    private static func emptyWithKeepAlive(_ exam: Examination) throws {
        let pair = StreamPair { configuration, side in if side == .responder { configuration.keepAlive = .seconds(5) } }
        pair.startDone()
        for message in [[], Array("text".utf8), []] { try pair.initiator.write(message, at: .zero) }
        pair.pump()
        let events = pair.takeEvents(.responder)
        exam.equal("reads", events.messages, [Array("text".utf8)])
        exam.require("still open", pair.responder.isOpen)
        exam.equal("raw bytes read", pair.responder.rawBytesRead, 17 + 21 + 17)
    }

    private static func emptyWithoutKeepAlive(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        pair.clear()
        for message in [[], Array("text".utf8)] { try pair.initiator.write(message, at: .zero) }
        pair.pump()
        let events = pair.takeEvents(.responder)
        exam.require("no error", !events.isClosed && pair.responder.isOpen, "\(events)")
        let messages = events.messages
        exam.require("an empty read or none", messages == [[], Array("text".utf8)] || messages == [Array("text".utf8)], "\(messages)")
    }

    private static func keepAlive(_ exam: Examination) throws {
        let period = Interval.seconds(5)
        let pair = StreamPair { configuration, side in if side == .initiator { configuration.keepAlive = period } }
        pair.startDone()
        pair.clear()
        let stream = pair.initiator
        var sentAt: [Int64] = []
        func run(until end: Instant) {
            while stream.nextWakeUp <= end {
                pair.now = stream.nextWakeUp
                stream.advance(to: pair.now)
                for frame in pair.take(.initiator) {
                    exam.bytes("an empty frame", Array(frame.prefix(3)), [17, 0, 0])
                    exam.equal("its length", frame.count, 20)
                    sentAt.append(pair.now.milliseconds)
                }
            }
            pair.now = end
        }
        run(until: .zero + .milliseconds(16_000))
        exam.equal("idle", sentAt, [5000, 10000, 15000])
        // A write at 17 s, in the middle of a period: nothing before 22 s.
        run(until: .zero + .milliseconds(17_000))
        try stream.write([1], at: pair.now)
        pair.take(.initiator)
        run(until: .zero + .milliseconds(27_500))
        exam.equal("after a write", sentAt, [5000, 10000, 15000, 22000, 27000])
        stream.end(at: pair.now)
        exam.equal("none after the end", stream.nextWakeUp, .distantFuture)
    }

    private static func timeout(_ exam: Examination) throws {
        let pair = StreamPair { configuration, side in if side == .responder { configuration.timeout = .seconds(2) } }
        pair.startDone()
        pair.clear()
        let stream = pair.responder
        exam.equal("armed", stream.nextWakeUp, .zero + .seconds(2))
        // Part of a frame is enough.
        try pair.initiator.write([1, 2, 3], at: .zero)
        let frame = pair.take(.initiator).flatMap { $0 }
        for (index, byte) in frame.prefix(2).enumerated() {
            let at = Instant.zero + .milliseconds(1500 * Int64(index + 1))
            stream.advance(to: at)
            stream.receive([byte], at: at)
        }
        stream.advance(to: .zero + .milliseconds(4999))
        exam.require("alive after 1999 ms of silence", !pair.takeEvents(.responder).isClosed)
        stream.advance(to: .zero + .milliseconds(5000))
        exam.equal("dead after 2000", pair.takeEvents(.responder).failure, .timedOut)
        exam.equal("effects", stream.takeEffects(), [.destroy])
    }

    private static func readsAfterEnd(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        pair.clear()
        try pair.initiator.write(Array("last".utf8), at: .zero)
        pair.initiator.end(at: .zero)
        let effects = pair.initiator.takeEffects()
        exam.equal("the end comes last", effects.last, .end)
        exam.equal("effects", effects.count, 2)
        exam.refuses("a write after the end") { try pair.initiator.write([1], at: .zero) }
        for effect in effects {
            if case .write(let bytes) = effect { pair.responder.receive(bytes, at: .zero) } else { pair.responder.receiveEnd(at: .zero) }
        }
        try pair.responder.write(Array("later".utf8), at: .zero)
        pair.pump()
        exam.equal("still reads", pair.takeEvents(.initiator).messages, [Array("later".utf8)])
        pair.responder.end(at: .zero)
        pair.pump()
        exam.equal("both ended", pair.takeEvents(.initiator).suffix(2), [.end(nil), .closed(nil)])
        exam.equal("on both sides", pair.takeEvents(.responder).last, .closed(nil))
    }

    private static func writesAfterRemoteEnd(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        pair.clear()
        pair.initiator.end(at: .zero)
        pair.pump()
        exam.equal("the end is reported", pair.takeEvents(.responder), [.end(nil)])
        exam.require("not ended itself", !pair.responder.hasEnded)
        try pair.responder.write(Array("still here".utf8), at: .zero)
        pair.pump()
        exam.equal("the peer decrypts", pair.takeEvents(.initiator).messages, [Array("still here".utf8)])
    }

    private static func truncation(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        try pair.initiator.write(Array("whole".utf8), at: .zero)
        pair.pump()
        pair.clear()
        try pair.initiator.write(Array("cut short".utf8), at: .zero)
        let frame = pair.take(.initiator).flatMap { $0 }
        for length in 1..<frame.count {
            let other = StreamPair()
            other.startDone()
            other.clear()
            try other.initiator.write(Array("whole".utf8), at: .zero)
            other.pump()
            other.clear()
            other.responder.receive(Array(frame.prefix(length)), at: .zero)
            other.responder.receiveEnd(at: .zero)
            let events = other.takeEvents(.responder)
            exam.equal("\(length) of \(frame.count) bytes: delivered", events.messages, [])
            exam.equal("\(length) of \(frame.count) bytes: reported", events.end??.kind, .truncated)
        }
        // Before the id header.
        let early = StreamPair()
        early.responder.start(handshake: StreamPair.result(.responder), at: .zero)
        early.responder.receiveEnd(at: .zero)
        exam.equal("before the header", early.takeEvents(.responder).end??.kind, .truncated)
        // And a whole stream is not reported.
        let clean = StreamPair()
        clean.startDone()
        clean.clear()
        clean.initiator.end(at: .zero)
        clean.pump()
        exam.equal("a clean end", clean.takeEvents(.responder), [.end(nil)])
    }

    private static func destroy(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        pair.clear()
        pair.initiator.destroy()
        exam.equal("effects", pair.initiator.takeEffects(), [.destroy])
        exam.equal("event", pair.takeEvents(.initiator).failure, .destroyed)
        exam.refuses("a write afterwards") { try pair.initiator.write([1], at: .zero) }
        pair.initiator.receive([1, 2, 3], at: .zero)
        pair.initiator.end(at: .zero)
        exam.equal("nothing more", pair.initiator.takeEffects(), [])
        // With writes before the start, nothing leaves either.
        let early = StreamPair()
        try early.initiator.write([1], at: .zero)
        early.initiator.destroy()
        early.initiator.start(handshake: StreamPair.result(.initiator), at: .zero)
        exam.equal("before the start", early.initiator.takeEffects(), [.destroy])
    }
}
