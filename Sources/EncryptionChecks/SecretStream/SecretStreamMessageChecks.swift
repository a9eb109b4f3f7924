import CompactEncoding
import Conformance
import HyperCrypto
import SansIO
import SecretStream

/// An open stream: frames, their limits, and what is fatal.
enum SecretStreamMessageChecks {
    static let checks: [Check] = [
        Check("secret-stream.frame-of-16", ["SS-7"], .machine) { exam in try refused(exam, [16, 0, 0] + [UInt8](repeating: 0, count: 16)) },
        Check("secret-stream.frame-of-0", ["SS-8"], .machine) { exam in
            try refused(exam, [0, 0, 0, 7])
            // And at once, without the byte that the reference waits for.
            try refused(exam, [0, 0, 0])
        },
        Check("secret-stream.flipped-bit", ["SS-9"], .machine, run: flippedBit),
        Check("secret-stream.order", ["SS-10"], .machine, run: order),
        Check("secret-stream.foreign-tags", ["SS-11"], .machine, run: foreignTags),
        Check("secret-stream.own-tags", ["SS-12"], .machine, run: ownTags),
        Check("secret-stream.one-frame-a-write", ["SS-13"], .machine, run: oneFrameAWrite),
        Check("secret-stream.largest-message", ["SS-14"], .machine, run: largestMessage),
    ]

    /// Bytes after a first message that must destroy the stream; that message was delivered.
    private static func refused(_ exam: Examination, _ bytes: [UInt8]) throws {
        let pair = StreamPair()
        pair.startDone()
        try pair.initiator.write(Array("before".utf8), at: .zero)
        pair.pump()
        pair.responder.receive(bytes, at: .zero)
        let events = pair.takeEvents(.responder)
        exam.equal("earlier message", events.messages, [Array("before".utf8)])
        exam.require("destroyed", events.failure == .invalidFrame || events.failure == .notAuthentic, "\(events)")
        exam.equal("effects", pair.responder.takeEffects(), [.destroy])
    }

    private static func flippedBit(_ exam: Examination) throws {
        let plaintext = Array("attack at dawn".utf8)
        // Tag byte, ciphertext, MAC.
        for index in 0..<plaintext.count + 17 {
            let pair = StreamPair()
            pair.startDone()
            try pair.initiator.write(Array("before".utf8), at: .zero)
            pair.pump()
            try pair.initiator.write(plaintext, at: .zero)
            var frame = pair.take(.initiator).flatMap { $0 }
            frame[3 + index] ^= 1 << UInt8(index % 8)
            pair.responder.receive(frame, at: .zero)
            let events = pair.takeEvents(.responder)
            exam.equal("byte \(index): messages", events.messages, [Array("before".utf8)])
            exam.equal("byte \(index): error", events.failure, .notAuthentic)
        }
    }

    private static func order(_ exam: Examination) throws {
        for (name, sequence) in [("swapped", [0, 2, 1]), ("replayed", [0, 0]), ("replayed later", [0, 1, 0]), ("left out", [0, 2])] {
            let pair = StreamPair()
            pair.startDone()
            for number: UInt8 in 0..<3 { try pair.initiator.write([number], at: .zero) }
            let frames = pair.take(.initiator)
            for index in sequence { pair.responder.receive(frames[index], at: .zero) }
            let events = pair.takeEvents(.responder)
            exam.equal("\(name): error", events.failure, .notAuthentic)
            exam.equal("\(name): messages", events.messages, sequence.dropLast(name == "swapped" ? 2 : 1).map { [UInt8($0)] })
        }
    }

    /// A sender that uses every tag of libsodium; REKEY and FINAL change the key.
    private static func foreignTags(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.responder.start(handshake: StreamPair.result(.responder), at: .zero)
        let header = [UInt8](repeating: 3, count: 24)
        guard var cipher = SecretStreamCipher(key: StreamPair.result(.initiator).tx, header: header) else {
            return exam.report("cipher", expected: "a cipher", actual: "nothing")
        }
        let id = IDHeader(id: IDHeader.id(handshakeHash: StreamPair.handshakeHash, isInitiator: true), header: header).encoded
        pair.responder.receive([56, 0, 0] + id, at: .zero)
        for (index, tag) in [UInt8(1), 2, 0, 3, 0, 3, 2, 1, 0].enumerated() {
            var frame = cipher.push([UInt8(index), tag], tag: tag, prefix: 3)
            frame[0] = 19
            pair.responder.receive(frame, at: .zero)
            exam.equal("tag \(tag), message \(index)", pair.takeEvents(.responder).messages, [[UInt8(index), tag]])
        }
        exam.require("still open", pair.responder.isOpen)
    }

    private static func ownTags(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.initiator.start(handshake: StreamPair.result(.initiator), at: .zero)
        let header = Array(pair.take(.initiator).flatMap { $0 }.suffix(24))
        guard var cipher = SecretStreamCipher(key: StreamPair.result(.initiator).tx, header: header) else {
            return exam.report("cipher", expected: "a cipher", actual: "nothing")
        }
        for message in [Array("one".utf8), [], [UInt8](repeating: 8, count: 1000)] {
            try pair.initiator.write(message, at: .zero)
            let frame = pair.take(.initiator).flatMap { $0 }
            let opened = cipher.pull(frame, 3..<frame.count)
            exam.bytes("without associated data", opened?.plaintext, message)
            exam.equal("tag", opened?.tag, 0)
        }
    }

    private static func oneFrameAWrite(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        pair.clear()
        for size in [0, 1, 16, 65535, 65536, 1_000_000] {
            try pair.initiator.write([UInt8](repeating: UInt8(size & 255), count: size), at: .zero)
            let frames = pair.take(.initiator)
            exam.equal("\(size) bytes: frames", frames.count, 1)
            let length = size + 17
            exam.bytes(
                "\(size) bytes: length", frames.first.map { Array($0.prefix(3)) },
                [UInt8(length & 255), UInt8(length >> 8 & 255), UInt8(length >> 16)])
            exam.equal("\(size) bytes: on the wire", frames.first?.count, size + 20)
            for frame in frames { pair.responder.receive(frame, at: .zero) }
            exam.equal("\(size) bytes: one read", pair.takeEvents(.responder).messages.map(\.count), [size])
        }
    }

    private static func largestMessage(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.startDone()
        pair.clear()
        let largest = [UInt8](repeating: 0x5a, count: 16_777_198)
        try pair.initiator.write(largest, at: .zero)
        let frame = pair.take(.initiator).flatMap { $0 }
        exam.bytes("length", Array(frame.prefix(3)), [0xff, 0xff, 0xff])
        pair.responder.receive(frame, at: .zero)
        exam.require("it arrives", pair.takeEvents(.responder).messages == [largest])
        exam.refuses("one byte more") { try pair.initiator.write(largest + [0], at: .zero) }
        exam.equal("sent", pair.take(.initiator), [])
        exam.equal("the stream", pair.takeEvents(.initiator).failure, .messageTooLarge)
    }
}
