import BlindRelay
import CompactEncoding
import HyperCrypto
import Noise
import Protomux
import SansIO
import SecretStream
import Testing

/// Bytes that no honest peer sends: the machines may refuse them, but must come out of it alive and bounded.
@Suite struct HostileInputTests {
    let entropy = SeededEntropy(seed: 7)

    private func random(_ bound: Int) -> Int { Int(entropy.uniform(below: UInt64(max(1, bound)), for: EntropyLabel(.test))) }
    private func bytes(_ count: Int) -> [UInt8] { entropy.bytes(count, for: EntropyLabel(.test)) }

    /// A mux message that is well formed more often than not.
    private func muxMessage() -> [UInt8] {
        let id = UInt8(random(5))
        let key: [UInt8] = [4, 0x74, 0x65, 0x73, 0x74, 1, UInt8(random(3))]
        let item: [UInt8] =
            switch random(5) {
            case 0: [1, id] + key + [0]
            case 1: [2, id]
            case 2: [3, id]
            case 3: [UInt8(random(12))] + bytes(random(6))
            default: bytes(random(12))
            }
        switch random(4) {
        case 0: return [0] + item
        case 1: return [id] + item
        case 2: return [0, 0, id, UInt8(item.count)] + item + [0, UInt8(random(4)), UInt8(random(9))] + bytes(random(9))
        default: return bytes(random(20))
        }
    }

    @Test func muxSurvives() throws {
        var ended = 0
        for _ in 0..<400 {
            let mux = Protomux()
            mux.listen(for: ChannelKey("test"))
            var handles: [ChannelHandle] = []
            for _ in 0...random(40) {
                let message = muxMessage()
                // Some peers mean well: keep those that go on for longer.
                if random(3) > 0, (try? MuxMessage(decoding: message)) == nil { continue }
                mux.receive(message)
                if random(3) == 0,
                    let handle = try? mux.open(
                        ChannelOptions(ChannelKey("test", id: [UInt8(random(3))]), isUnique: false, messageCount: 3))
                {
                    handles.append(handle)
                }
                if random(4) == 0, !handles.isEmpty { mux.close(handles.remove(at: random(handles.count))) }
                for event in mux.takeEvents() {
                    if case .requested(let request) = event {
                        if random(2) == 0 {
                            mux.reject(request)
                        } else {
                            _ = try? mux.accept(request, ChannelOptions(request.key, messageCount: 1))
                        }
                    }
                }
                if mux.isEnded {
                    ended += 1
                    _ = mux.takeEffects()
                    mux.receive(muxMessage())
                    #expect(mux.takeEffects().isEmpty)
                    break
                }
            }
        }
        // Both kinds of run must have happened, else this test says nothing.
        #expect(ended > 20 && ended < 400)
    }

    @Test func secretStreamSurvives() throws {
        let keys = (1...4).map { [UInt8](repeating: $0, count: 32) }
        for round in 0..<300 {
            var configuration = SecretStream.Configuration()
            configuration.pattern = HandshakePattern.allCases[round % 3]
            let stream = SecretStream(isInitiator: round % 2 == 0, configuration: configuration, entropy: entropy)
            if round % 5 < 2 {
                stream.start(
                    handshake: HandshakeResult(
                        isInitiator: round % 2 == 0, tx: keys[0], rx: keys[1], hash: bytes(64), publicKey: .zero, remotePublicKey: .zero),
                    at: .zero)
            } else {
                stream.start(keyPair: try #require(KeyPair(seed: keys[2])), remotePublicKey: KeyPair(seed: keys[3])?.publicKey, at: .zero)
            }
            for _ in 0..<10 {
                let length = [0, 16, 17, 32, 48, 56, 96][random(7)]
                stream.receive([UInt8(length), 0, 0] + bytes(length), at: .zero)
                stream.receiveUnordered(bytes(random(40)))
            }
            stream.receiveEnd(at: .zero)
            stream.advance(to: .distantFuture)
            #expect(stream.heldBytes < 1 << 20)
        }
    }

    @Test func decodersSurvive() {
        for _ in 0..<2000 {
            let input = bytes(random(60))
            _ = try? Pair(decoding: input)
            _ = try? Unpair(decoding: input)
            _ = try? IDHeader(decoding: input)
            _ = try? EncryptedFrame(decoding: input)
            _ = try? BoxEnvelope(decoding: input)
            for pattern in HandshakePattern.allCases {
                for index in -1...3 {
                    var reader = Reader(input)
                    _ = try? HandshakeMessage(pattern: pattern, index: index, from: &reader)
                }
            }
        }
        // Nested forms must not choose the depth of a recursion.
        var reader = Reader([UInt8](repeating: 0xff, count: 1 << 20))
        #expect(throws: DecodingFailure.self) { try reader.lexint("value") }
        let nested = [UInt8](repeating: 0, count: 1 << 16)
        let mux = Protomux()
        mux.receive(nested)
        mux.receive((0..<20000).flatMap { _ in [UInt8(0), 0, 0, 0xfc] })
        #expect(mux.isEnded)
    }
}
