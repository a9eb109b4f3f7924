import CompactEncoding
import Conformance
import HyperCrypto
import SansIO
import SecretStream

/// Unordered messages: envelopes as in secret-stream.md section 14, and everything that must be ignored.
enum UnorderedChecks {
    static let checks: [Check] = [
        Check("secret-stream.box-bytes", ["SS-22", "SS-24"], .machine, run: bytes),
        Check("secret-stream.box-ignored", ["SS-23"], .machine, run: ignored),
        Check("secret-stream.box-empty", ["SS-24"], .machine, run: empty),
        Check("secret-stream.box-own-key", ["SS-25"], .machine, run: ownKey),
        Check("secret-stream.box-replayed", ["SS-26"], .machine, run: replayed),
        Check("secret-stream.box-counter", ["SS-22"], .machine, run: counter),
    ]

    private static func open(_ exam: Examination) -> StreamPair {
        let pair = StreamPair(seed: exam.seed)
        pair.initiatorEntropy.inject(NoiseKeys.hex("a0a1a2a3a4a5a6a7"), for: .boxCounter)
        pair.responderEntropy.inject([UInt8](repeating: 0xff, count: 8), for: .boxCounter)
        pair.startDone()
        pair.clear()
        return pair
    }

    private static func boxes(_ pair: StreamPair, _ side: StreamPair.Side) -> [[UInt8]] {
        pair.take(side)
        return (pair.others[side] ?? []).compactMap { if case .sendUnordered(let bytes) = $0 { bytes } else { nil } }
    }

    private static func bytes(_ exam: Examination) throws {
        let pair = open(exam)
        exam.equal(
            "sendKey(I)", UnorderedBox.key(handshakeHash: StreamPair.handshakeHash, senderIsInitiator: true).description,
            "ce10a1e3cc0ad57bdcb2e7b64917df0259b27032784b4dcf246f5a728d327d0f")
        exam.equal(
            "sendKey(R)", UnorderedBox.key(handshakeHash: StreamPair.handshakeHash, senderIsInitiator: false).description,
            "09e50ea37afaafacfc2bf3239cbfd18502269676975b793c08f7945b7d02e8ff")
        for text in ["ping", "", "ping"] { pair.initiator.sendUnordered(Array(text.utf8)) }
        pair.responder.sendUnordered(Array("pong".utf8))
        let expected = [
            "a1a1a2a3a4a5a6a7 fd19574f9b9f02603c1b7dce0ddeb9a4 f458c090", "a2a1a2a3a4a5a6a7 949ae514d6e91a2348235400a2c5b05a",
            "a3a1a2a3a4a5a6a7 b8d5a19282cf9d6489d26735c0e225e4 b19a23b5",
        ].map { NoiseKeys.hex($0) }
        for (index, (box, wanted)) in zip(boxes(pair, .initiator), expected).enumerated() { exam.bytes("I, box \(index + 1)", box, wanted) }
        exam.bytes(
            "R, counter wrapped", boxes(pair, .responder).first, NoiseKeys.hex("0000000000000000 f49b769f961082db2bdb968713cc0806 a9222055")
        )
        // The specification's bytes, whoever made them, open.
        for envelope in expected { pair.responder.receiveUnordered(envelope) }
        exam.equal("opened", pair.takeEvents(.responder).unordered, [Array("ping".utf8), [], Array("ping".utf8)])
    }

    private static func ignored(_ exam: Examination) throws {
        let early = StreamPair(seed: exam.seed)
        early.responder.receiveUnordered([UInt8](repeating: 1, count: 40))
        exam.equal("before the start", early.takeEvents(.responder), [])
        exam.require("sending before the start", !early.responder.sendUnordered([1]))

        let pair = open(exam)
        for length in [0, 8, 23] { pair.responder.receiveUnordered([UInt8](repeating: 0, count: length)) }
        pair.initiator.sendUnordered(Array("good".utf8))
        let envelope = boxes(pair, .initiator).first ?? []
        for index in envelope.indices {
            var damaged = envelope
            damaged[index] ^= 1
            pair.responder.receiveUnordered(damaged)
        }
        exam.equal("nothing happens", pair.takeEvents(.responder), [])
        exam.equal("effects", pair.responder.takeEffects(), [])
        exam.equal("counted", pair.responder.ignoredUnordered, UInt64(3 + envelope.count))
        pair.responder.receiveUnordered(envelope)
        exam.equal("the stream is up", pair.takeEvents(.responder).unordered, [Array("good".utf8)])
    }

    private static func empty(_ exam: Examination) throws {
        let pair = open(exam)
        pair.initiator.sendUnordered([])
        exam.equal("length", boxes(pair, .initiator).first?.count, 24)
        pair.responder.receiveUnordered(boxes(pair, .initiator).first ?? [])
        exam.equal("delivered", pair.takeEvents(.responder), [.unordered([])])
    }

    private static func ownKey(_ exam: Examination) throws {
        let pair = open(exam)
        pair.initiator.sendUnordered(Array("mine".utf8))
        let envelope = boxes(pair, .initiator).first ?? []
        pair.initiator.receiveUnordered(envelope)
        exam.equal("reflected", pair.takeEvents(.initiator), [])
        exam.require("stays up", pair.initiator.isOpen)
        pair.responder.receiveUnordered(envelope)
        exam.equal("at the peer", pair.takeEvents(.responder).unordered, [Array("mine".utf8)])
    }

    private static func replayed(_ exam: Examination) throws {
        let pair = open(exam)
        for text in ["one", "two"] { pair.initiator.sendUnordered(Array(text.utf8)) }
        let envelopes = boxes(pair, .initiator)
        for index in [0, 0, 1] { pair.responder.receiveUnordered(envelopes[index]) }
        let events = pair.takeEvents(.responder)
        let one = Array("one".utf8)
        let two = Array("two".utf8)
        exam.require("once or twice", events.unordered == [one, one, two] || events.unordered == [one, two], "\(events)")
        exam.require("the stream is up", pair.responder.isOpen && !events.isClosed)
    }

    /// Increased by one before each message, little-endian, carrying over.
    private static func counter(_ exam: Examination) throws {
        var sealer = UnorderedBox.Sealer(key: RelayWorld.key(1), initialCounter: [0xfe, 1, 0, 0, 0, 0, 0, 0])
        exam.bytes("first counter", sealer.seal([1]).map { Array($0.prefix(8)) }, [0xff, 1, 0, 0, 0, 0, 0, 0])
        exam.bytes("second counter", sealer.seal([1]).map { Array($0.prefix(8)) }, [0, 2, 0, 0, 0, 0, 0, 0])
    }
}
