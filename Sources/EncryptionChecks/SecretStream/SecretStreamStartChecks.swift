import CompactEncoding
import Conformance
import HyperCrypto
import Noise
import SansIO
import SecretStream

/// How a stream starts: handshake, id headers, framing until it is open.
enum SecretStreamStartChecks {
    static let checks: [Check] = [
        Check("secret-stream.xx-bytes", ["SS-1", "SS-29"], .machine, run: xxBytes),
        Check("secret-stream.first-bytes", ["SS-2"], .machine, run: firstBytes),
        Check("secret-stream.byte-at-a-time", ["SS-3"], .machine) { exam in try chopped(exam, chunk: 1) },
        Check("secret-stream.one-chunk", ["SS-4", "SS-32"], .machine, run: oneChunk),
        Check("secret-stream.reflected-id", ["SS-5"], .machine, run: reflectedID),
        Check("secret-stream.header-length", ["SS-6"], .machine, run: headerLength),
        Check("secret-stream.patterns", ["SS-3"], .machine, run: patterns),
        Check("secret-stream.expected-key", ["SS-27"], .machine, run: expectedKey),
        Check("secret-stream.stalled-handshake", ["SS-28"], .machine, run: stalledHandshake),
        Check("secret-stream.handshake-hash", ["SS-29"], .machine, run: handshakeHash),
        Check("secret-stream.queued-writes", ["SS-30"], .machine, run: queuedWrites),
        Check("secret-stream.fresh-header", ["SS-31"], .machine, run: freshHeader),
        Check("secret-stream.early-frame", ["SS-32"], .machine, run: earlyFrame),
    ]

    /// secret-stream.md section 14: every byte of a whole connection.
    private static func xxBytes(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.initiatorEntropy.inject([UInt8](repeating: 0x11, count: 24), for: .secretStreamHeader)
        pair.responderEntropy.inject([UInt8](repeating: 0x22, count: 24), for: .secretStreamHeader)
        try pair.startXX()
        pair.pump()
        exam.equal("initiator's events", pair.takeEvents(.initiator), [.opened(remotePublicKey: StreamPair.serverKey)])
        exam.equal("responder's events", pair.takeEvents(.responder), [.opened(remotePublicKey: StreamPair.clientKey)])
        for message in [Array("hello".utf8), []] { try pair.initiator.write(message, at: .zero) }
        for message in ["world!", "still"] { try pair.responder.write(Array(message.utf8), at: .zero) }
        pair.pump()
        let fromInitiator = [
            "200000 ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
            """
            400000 585b6e8320c9dfc6764d48e242b912333244a85ae8769c90ee632f1d3bf6945d6d4729ee9c716f0f82946ce191158c48
            0d53f508585c93bb66354bbee6b8bdad
            """,
            "380000 a1d1ba79814a026a75d3d0d86df2d767c48c1a62a59d9e5d47876ab9b0867673 111111111111111111111111111111111111111111111111",
            "160000 c67e7d7fd17f490fef08f9881d751caa98c76c46c75d", "110000 6d0824638fa841c4de1fd360366ace8907",
        ]
        let fromResponder = [
            """
            600000 ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c
            8924380c5066a7dcffff1174cebcbfefc17dafd675f6dc2e688de867ff96c431a1fcb7f80997fba29d5bbc64a50e8d74
            e82bc092a89c62eacaf68db17bb5d0b5
            """,
            "380000 87964fe510a0eef9766102bc05eb51bd18d4baf59ec0fe2e51fa323b19101cf6 222222222222222222222222222222222222222222222222",
            "170000 83dc035de27281682dded624ef8c93cbe59d9f1897b906", "160000 be297997895dd54d321d8d44e9aed86c596b6b8a2182",
        ]
        for (side, expected) in [(StreamPair.Side.initiator, fromInitiator), (.responder, fromResponder)] {
            let writes = pair.writes[side] ?? []
            exam.equal("\(side): writes", writes.count, expected.count)
            for (index, (actual, text)) in zip(writes, expected).enumerated() {
                exam.bytes("\(side): write \(index + 1)", actual, NoiseKeys.hex(text))
            }
        }
        exam.equal("responder reads", pair.takeEvents(.responder).messages, [Array("hello".utf8), []])
        exam.equal("initiator reads", pair.takeEvents(.initiator).messages, [Array("world!".utf8), Array("still".utf8)])
        exam.bytes("handshake hash", pair.initiator.handshakeHash, StreamPair.handshakeHash)
        exam.equal("raw bytes written", pair.initiator.rawBytesWritten, 25 + 20)
        exam.equal("raw bytes read", pair.responder.rawBytesRead, 22 + 17)
    }

    private static func firstBytes(_ exam: Examination) throws {
        for side in [StreamPair.Side.initiator, .responder] {
            let pair = StreamPair()
            pair[side].start(handshake: StreamPair.result(side), at: .zero)
            let bytes = pair.take(side).flatMap { $0 }
            let id =
                side == .initiator
                ? "a1d1ba79814a026a75d3d0d86df2d767c48c1a62a59d9e5d47876ab9b0867673"
                : "87964fe510a0eef9766102bc05eb51bd18d4baf59ec0fe2e51fa323b19101cf6"
            exam.bytes("\(side): length and id", Array(bytes.prefix(35)), NoiseKeys.hex("380000" + id))
            exam.equal("\(side): all that is sent", bytes.count, 59)
            exam.require("\(side): open before anything came", pair[side].isOpen)
        }
    }

    /// A whole connection whose responder gets everything in pieces of `chunk` bytes.
    private static func chopped(_ exam: Examination, chunk: Int) throws {
        let pair = StreamPair()
        try pair.startXX()
        let messages: [[UInt8]] = [Array("one".utf8), [], [UInt8](repeating: 5, count: 300), Array("last".utf8)]
        for message in messages { try pair.initiator.write(message, at: .zero) }
        for _ in 0..<4 {
            for (side, other) in [(StreamPair.Side.initiator, pair.responder), (.responder, pair.initiator)] {
                let bytes = pair.take(side).flatMap { $0 }
                for start in stride(from: 0, to: bytes.count, by: chunk) {
                    other.receive(Array(bytes[start..<min(start + chunk, bytes.count)]), at: .zero)
                }
            }
        }
        exam.equal("messages", pair.takeEvents(.responder).messages, messages)
        exam.require("both are open", pair.initiator.isOpen && pair.responder.isOpen)
    }

    private static func oneChunk(_ exam: Examination) throws {
        let pair = StreamPair()
        try pair.startXX()
        let messages = ["a", "bb", "ccc"].map { Array($0.utf8) }
        for message in messages { try pair.initiator.write(message, at: .zero) }
        pair.responder.receive(pair.take(.initiator).flatMap { $0 }, at: .zero)
        pair.initiator.receive(pair.take(.responder).flatMap { $0 }, at: .zero)
        // Message 3, id header and three messages at once.
        let tail = pair.take(.initiator)
        exam.equal("frames in one chunk", tail.count, 5)
        pair.responder.receive(tail.flatMap { $0 }, at: .zero)
        exam.equal("messages", pair.takeEvents(.responder).messages, messages)
    }

    private static func reflectedID(_ exam: Examination) throws {
        for side in [StreamPair.Side.initiator, .responder] {
            let pair = StreamPair()
            pair[side].start(handshake: StreamPair.result(side), at: .zero)
            let own = pair.take(side).flatMap { $0 }
            try pair[side].write(Array("secret".utf8), at: .zero)
            pair[side].receive(own + pair.take(side).flatMap { $0 }, at: .zero)
            let events = pair.takeEvents(side)
            exam.equal("\(side): error", events.failure, .foreignID)
            exam.equal("\(side): messages", events.messages, [])
            exam.equal("\(side): effects", pair[side].takeEffects(), [.destroy])
        }
    }

    private static func headerLength(_ exam: Examination) throws {
        for length in [0, 1, 55, 57, 58, 200] {
            let pair = StreamPair()
            pair.initiator.start(handshake: StreamPair.result(.initiator), at: .zero)
            pair.responder.start(handshake: StreamPair.result(.responder), at: .zero)
            pair.take(.responder)
            let header = pair.take(.initiator).flatMap { $0 }.dropFirst(3)
            let body = Array((header + [UInt8](repeating: 0, count: 200)).prefix(length))
            pair.responder.receive([UInt8(length), 0, 0] + body, at: .zero)
            exam.equal("\(length) bytes: error", pair.takeEvents(.responder).failure, .invalidHeader)
            exam.equal("\(length) bytes: effects", pair.responder.takeEffects(), [.destroy])
        }
    }

    /// IK and NN run over the same frames.
    private static func patterns(_ exam: Examination) throws {
        for (pattern, lengths) in [(HandshakePattern.ik, [96, 48]), (.xx, [32, 96, 64]), (.nn, [32, 48])] {
            let pair = StreamPair { configuration, _ in configuration.pattern = pattern }
            pair.responder.start(keyPair: try NoiseKeys.pair(2), at: .zero)
            pair.initiator.start(keyPair: try NoiseKeys.pair(1), remotePublicKey: StreamPair.serverKey, at: .zero)
            try pair.initiator.write([1, 2, 3], at: .zero)
            pair.pump()
            exam.equal("\(pattern): message", pair.takeEvents(.responder).messages, [[1, 2, 3]])
            for (index, length) in lengths.enumerated() {
                let writes = pair.writes[index % 2 == 0 ? .initiator : .responder] ?? []
                exam.equal("\(pattern): message \(index + 1)", writes.indices.contains(index / 2) ? writes[index / 2].count : 0, length + 3)
            }
            let remote = pattern == .nn ? nil : StreamPair.serverKey
            exam.equal("\(pattern): remote key", pair.initiator.remotePublicKey, remote)
        }
    }

    private static func expectedKey(_ exam: Examination) throws {
        for side in [StreamPair.Side.initiator, .responder] {
            for isRight in [true, false] {
                let right = side == .initiator ? StreamPair.serverKey : StreamPair.clientKey
                let pair = StreamPair { configuration, owner in
                    if owner == side { configuration.expectedRemotePublicKey = isRight ? right : RelayWorld.key(9) }
                }
                try pair.startXX()
                try pair[side].write(Array("private".utf8), at: .zero)
                pair.pump()
                let failure = pair.takeEvents(side).failure
                exam.equal("\(side), \(isRight ? "right" : "wrong") key", failure, isRight ? nil : .remoteKeyMismatch)
                exam.equal("\(side): open", pair[side].isOpen, isRight)
                let other: StreamPair.Side = side == .initiator ? .responder : .initiator
                exam.equal("\(side): data that left", pair.takeEvents(other).messages.isEmpty, !isRight)
            }
        }
        // A handshake that was done elsewhere is held against it as well.
        for isRight in [true, false] {
            let pair = StreamPair { configuration, side in
                if side == .initiator { configuration.expectedRemotePublicKey = isRight ? StreamPair.serverKey : RelayWorld.key(9) }
            }
            pair.initiator.start(handshake: StreamPair.result(.initiator), at: .zero)
            exam.equal("done elsewhere: open", pair.initiator.isOpen, isRight)
            exam.equal("done elsewhere: bytes that left", pair.take(.initiator).map(\.count), isRight ? [59] : [])
        }
    }

    private static func stalledHandshake(_ exam: Examination) throws {
        let responder = SecretStream(isInitiator: false, entropy: SeededEntropy(seed: exam.seed))
        responder.start(keyPair: try NoiseKeys.pair(2), at: .zero)
        responder.receive([0xff, 0xff, 0xff], at: .zero)
        responder.receive([UInt8](repeating: 1, count: 1000), at: .zero)
        exam.require("memory held", responder.heldBytes < 1 << 20, "\(responder.heldBytes) bytes")
        exam.equal("error", responder.takeEvents().failure, .handshakeFailed)
        // An open stream takes the length, and holds no more than what came.
        let pair = StreamPair()
        pair.startDone()
        pair.responder.receive([0xff, 0xff, 0xff, 1, 2, 3], at: .zero)
        exam.require("open: still there", !pair.takeEvents(.responder).isClosed)
        exam.require("open: memory held", pair.responder.heldBytes < 1 << 20, "\(pair.responder.heldBytes) bytes")
    }

    private static func handshakeHash(_ exam: Examination) throws {
        let pair = StreamPair()
        pair.responder.start(keyPair: try NoiseKeys.pair(2), at: .zero)
        pair.initiator.start(keyPair: try NoiseKeys.pair(1), at: .zero)
        pair.pump()
        exam.equal("length", pair.initiator.handshakeHash?.count, 64)
        exam.bytes("both sides", pair.initiator.handshakeHash, pair.responder.handshakeHash ?? [])
    }

    private static func queuedWrites(_ exam: Examination) throws {
        let messages = (0..<5).map { [UInt8]("message \($0)".utf8) }
        let pair = StreamPair()
        for message in messages { try pair.initiator.write(message, at: .zero) }
        exam.equal("before the start", pair.take(.initiator), [])
        pair.initiator.start(handshake: StreamPair.result(.initiator), at: .zero)
        let writes = pair.take(.initiator)
        exam.equal("writes", writes.map(\.count), [59] + messages.map { $0.count + 20 })
        pair.responder.start(handshake: StreamPair.result(.responder), at: .zero)
        pair.responder.receive(writes.flatMap { $0 }, at: .zero)
        exam.equal("order", pair.takeEvents(.responder).messages, messages)
        // An end before the start waits as well.
        let early = StreamPair()
        try early.initiator.write([1], at: .zero)
        early.initiator.end(at: .zero)
        early.startDone()
        let events = early.takeEvents(.responder)
        exam.equal("before an early end", events.messages, [[1]])
        exam.equal("the end after it", events.last, .end(nil))
    }

    private static func freshHeader(_ exam: Examination) throws {
        let entropy = SeededEntropy(seed: exam.seed)
        let headers = (0..<3).map { _ -> [UInt8] in
            let stream = SecretStream(isInitiator: true, entropy: entropy)
            stream.start(handshake: StreamPair.result(.initiator), at: .zero)
            return Array(stream.takeRawBytes().suffix(24))
        }
        exam.equal("lengths", headers.map(\.count), [24, 24, 24])
        exam.equal("different headers", Set(headers).count, 3)
    }

    private static func earlyFrame(_ exam: Examination) throws {
        // The peer's header and first frame come before our own start, in one chunk.
        let pair = StreamPair()
        pair.initiator.start(handshake: StreamPair.result(.initiator), at: .zero)
        try pair.initiator.write(Array("first".utf8), at: .zero)
        let bytes = pair.take(.initiator).flatMap { $0 }
        pair.responder.receive(bytes, at: .zero)
        exam.equal("before the start", pair.takeEvents(.responder), [])
        pair.responder.start(handshake: StreamPair.result(.responder), at: .zero)
        exam.equal("after it", pair.takeEvents(.responder).messages, [Array("first".utf8)])
    }
}
