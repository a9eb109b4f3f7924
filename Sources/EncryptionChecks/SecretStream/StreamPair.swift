import CompactEncoding
import HyperCrypto
import Noise
import SansIO
import SecretStream

/// Two secret streams over an ideal raw stream. `outbox` holds what a side wrote and the other has not read yet.
final class StreamPair {
    enum Side { case initiator, responder }

    let initiator: SecretStream
    let responder: SecretStream
    let initiatorEntropy: SeededEntropy
    let responderEntropy: SeededEntropy
    private(set) var events: [Side: [SecretStream.Event]] = [:]
    /// Raw writes, one an effect, in order, since the start.
    private(set) var writes: [Side: [[UInt8]]] = [:]
    private(set) var others: [Side: [SecretStream.Effect]] = [:]
    var now = Instant.zero

    init(
        seed: UInt64 = 1, _ configure: (inout SecretStream.Configuration, Side) -> Void = { _, _ in }
    ) {
        var first = SecretStream.Configuration()
        var second = SecretStream.Configuration()
        configure(&first, .initiator)
        configure(&second, .responder)
        initiatorEntropy = SeededEntropy(seed: seed)
        responderEntropy = SeededEntropy(seed: seed &+ 1)
        initiator = SecretStream(isInitiator: true, configuration: first, entropy: initiatorEntropy)
        responder = SecretStream(isInitiator: false, configuration: second, entropy: responderEntropy)
    }

    subscript(_ side: Side) -> SecretStream { side == .initiator ? initiator : responder }

    /// Keys of a handshake done elsewhere (those of noise.md 12.2).
    static func result(_ side: Side) -> HandshakeResult {
        let keys = [
            NoiseKeys.hex("36e72ba85cd0a2b5e7c9f44704a1757d7230c30dd39736e46f2190fcd1300c13"),
            NoiseKeys.hex("29c4a931005b47aaf766f5ec7a119810eb15399b8612e79071f77447826dee17"),
        ]
        let isInitiator = side == .initiator
        return HandshakeResult(
            isInitiator: isInitiator, tx: keys[isInitiator ? 0 : 1], rx: keys[isInitiator ? 1 : 0], hash: handshakeHash,
            publicKey: isInitiator ? clientKey : serverKey, remotePublicKey: isInitiator ? serverKey : clientKey)
    }

    static let handshakeHash = NoiseKeys.hex(
        "aa42bcea44d843e3803e549191ae7eac847a85dccf21ef3918a7cf228d87b7889b194cdb190b8b2cf82daf543e71e86871532b84ba1d7982489eb3040dcfc412")
    static let clientKey = Bytes32(NoiseKeys.hex("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")) ?? .zero
    static let serverKey = Bytes32(NoiseKeys.hex("8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394")) ?? .zero

    /// Starts both sides from a finished handshake and carries the headers across.
    func startDone() {
        initiator.start(handshake: StreamPair.result(.initiator), at: now)
        responder.start(handshake: StreamPair.result(.responder), at: now)
        pump()
    }

    /// Starts both sides with a handshake of their own, with the keys of noise.md section 12.
    func startXX() throws {
        responder.start(keyPair: try NoiseKeys.pair(2), ephemeral: try NoiseKeys.pair(4), at: now)
        initiator.start(keyPair: try NoiseKeys.pair(1), ephemeral: try NoiseKeys.pair(3), at: now)
    }

    /// Takes one side's effects without delivering them; the raw bytes come back.
    @discardableResult
    func take(_ side: Side) -> [[UInt8]] {
        var bytes: [[UInt8]] = []
        for effect in self[side].takeEffects() {
            if case .write(let chunk) = effect { bytes.append(chunk) } else { others[side, default: []].append(effect) }
        }
        writes[side, default: []] += bytes
        return bytes
    }

    /// Carries raw bytes, ends and boxes until both are quiet.
    func pump() {
        var isBusy = true
        while isBusy {
            isBusy = false
            for (side, other) in [(Side.initiator, responder), (Side.responder, initiator)] {
                for effect in self[side].takeEffects() {
                    isBusy = true
                    switch effect {
                    case .write(let bytes):
                        writes[side, default: []].append(bytes)
                        other.receive(bytes, at: now)
                    case .sendUnordered(let bytes):
                        others[side, default: []].append(effect)
                        other.receiveUnordered(bytes)
                    case .end:
                        others[side, default: []].append(effect)
                        other.receiveEnd(at: now)
                    case .destroy:
                        others[side, default: []].append(effect)
                        other.rawClosed("destroyed by the peer")
                    }
                }
            }
        }
        collect()
    }

    private func collect() {
        for side in [Side.initiator, .responder] { events[side, default: []] += self[side].takeEvents() }
    }

    /// Events of one side since the last call.
    func takeEvents(_ side: Side) -> [SecretStream.Event] {
        collect()
        defer { events[side] = [] }
        return events[side] ?? []
    }

    /// Forgets what has happened so far.
    func clear() {
        pump()
        events = [:]
        writes = [:]
        others = [:]
    }
}

extension [SecretStream.Event] {
    var messages: [[UInt8]] { compactMap { if case .message(let bytes) = $0 { bytes } else { nil } } }
    var unordered: [[UInt8]] { compactMap { if case .unordered(let bytes) = $0 { bytes } else { nil } } }
    /// The kind of error with which it closed; nil if it did not, or without one.
    var failure: SecretStreamError.Kind? {
        for event in self { if case .closed(let error) = event { return error?.kind } }
        return nil
    }
    var isClosed: Bool { contains { if case .closed = $0 { true } else { false } } }
    var end: SecretStreamError?? {
        for event in self { if case .end(let error) = event { return .some(error) } }
        return nil
    }
}
