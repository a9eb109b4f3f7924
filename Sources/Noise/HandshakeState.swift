import CompactEncoding
import HyperCrypto
import SansIO

/// One side of a Noise handshake over Ed25519, ChaChaPoly and BLAKE2b. noise.md.
///
/// Every message, received or made, is worked out on a copy of the state and committed only when all of it held. So a forged reply can be
/// dropped and a later genuine one still succeeds, where the reference is spoilt by the first bad message (NOISE-14).
public final class HandshakeState {
    public let pattern: HandshakePattern
    public let isInitiator: Bool
    public let staticKeys: KeyPair
    public private(set) var remoteStatic: Bytes32?
    public private(set) var remoteEphemeral: Bytes32?
    /// Our ephemeral public key, once it is known.
    public private(set) var ephemeralPublicKey: Bytes32?
    /// Number of messages done, both ways.
    public private(set) var messageIndex = 0
    public private(set) var result: HandshakeResult?
    /// The state after each step, if asked for: it holds secrets, and is for vectors and the dissector only.
    public private(set) var trace: [HandshakeStep] = []

    private let isTracing: Bool
    private let entropy: (any Entropy)?
    private let context: UInt64
    private var symmetric: SymmetricState?
    private var ephemeralSecret: SecretBytes?

    /// - Parameters:
    ///   - prologue: NS_PEER_HANDSHAKE in the DHT, empty in a stand-alone secret stream. It is mixed in even when empty.
    ///   - remoteStatic: IK's initiator knows the responder; nil elsewhere.
    ///   - ephemeral: given by replay, dissector and vectors; else 32 bytes of seed are drawn as `.noiseEphemeral` of `context`.
    ///     An owner that keeps a key log draws the pair itself and passes it in, for it is wiped here on completion.
    public init(
        pattern: HandshakePattern, isInitiator: Bool, prologue: [UInt8], staticKeys: KeyPair, remoteStatic: Bytes32? = nil,
        ephemeral: KeyPair? = nil, entropy: (any Entropy)? = nil, context: UInt64 = 0, isTracing: Bool = false
    ) throws(NoiseError) {
        self.pattern = pattern
        self.isInitiator = isInitiator
        self.staticKeys = staticKeys
        self.remoteStatic = pattern.hasKnownResponder && isInitiator ? remoteStatic : nil
        self.entropy = entropy
        self.context = context
        self.isTracing = isTracing
        ephemeralPublicKey = ephemeral?.publicKey
        ephemeralSecret = ephemeral.map { SecretBytes($0.secretKey) }
        if ephemeral == nil, entropy == nil { throw NoiseError(.invalidPoint, "e") }
        var state = SymmetricState(protocolName: pattern.protocolName)
        if isTracing { trace.append(HandshakeStep("h0", state)) }
        // NOISE-7.
        if !Mutation.noise(7).isActive { state.mixHash(prologue) }
        if isTracing { trace.append(HandshakeStep("prologue", state)) }
        if pattern.hasKnownResponder {
            guard let responder = isInitiator ? remoteStatic : staticKeys.publicKey else { throw NoiseError(.missingRemoteKey, "rs") }
            state.mixHash(responder.bytes)
            if isTracing { trace.append(HandshakeStep("rs", state)) }
        }
        symmetric = consume state
    }

    public var isComplete: Bool { messageIndex >= pattern.messageCount }
    /// Whether the next message is ours to write.
    public var isOurTurn: Bool { !isComplete && (messageIndex % 2 == 0) == isInitiator }

    // MARK: Writing

    /// Makes the next message. A failure (the peer's point turns out to be invalid) leaves everything as it was.
    public func write(payload: [UInt8] = []) throws(NoiseError) -> [UInt8] {
        guard !isComplete, var trial = symmetric?.clone() else { throw NoiseError(.complete, "message") }
        guard isOurTurn else { throw NoiseError(.outOfTurn, "message") }
        var message = HandshakeMessage(ephemeral: nil, encryptedStatic: nil, payload: [])
        let steps = trace.count
        do {
            for token in tokens {
                switch token {
                case .e:
                    let key = try ephemeralKey()
                    message.ephemeral = key
                    trial.mixHash(key.bytes)
                case .s: message.encryptedStatic = try trial.encryptAndHash(staticKeys.publicKey.bytes, field: "encryptedStatic")
                default: try mixSharedPoint(token, remoteStatic, remoteEphemeral, into: &trial)
                }
                if isTracing { trace.append(HandshakeStep(token.rawValue, trial)) }
            }
            message.payload = try trial.encryptAndHash(payload, field: "encryptedPayload")
            if isTracing { trace.append(HandshakeStep("payload", trial)) }
        } catch {
            trace.removeLast(trace.count - steps)
            throw error
        }
        commit(trial)
        return message.encoded
    }

    // MARK: Reading

    /// Takes the other side's next message and returns its payload. A bad message changes nothing: the next one is tried afresh.
    public func read(_ bytes: [UInt8]) throws(NoiseError) -> [UInt8] {
        // NOISE-23.
        if isComplete, Mutation.noise(23).isActive { return [] }
        guard !isComplete, var trial = symmetric?.clone() else { throw NoiseError(.complete, "message") }
        guard !isOurTurn else { throw NoiseError(.outOfTurn, "message") }
        var remote = (s: remoteStatic, e: remoteEphemeral)
        let steps = trace.count
        let payload: [UInt8]
        do {
            payload = try take(bytes, &remote, &trial)
        } catch {
            // NOISE-14: the reference consumes the step and mutates its state before the tag is verified.
            if Mutation.noise(14).isActive { symmetric = consume trial }
            trace.removeLast(trace.count - steps)
            throw error
        }
        remoteStatic = remote.s
        remoteEphemeral = remote.e
        commit(trial)
        return payload
    }

    private func take(
        _ bytes: [UInt8], _ remote: inout (s: Bytes32?, e: Bytes32?), _ trial: inout SymmetricState
    ) throws(NoiseError) -> [UInt8] {
        let message: HandshakeMessage
        do {
            var reader = Reader(bytes)
            message = try HandshakeMessage(pattern: pattern, index: messageIndex, from: &reader)
        } catch { throw NoiseError(.shortMessage, error.field) }
        for token in tokens {
            switch token {
            case .e:
                guard let key = message.ephemeral else { throw NoiseError(.shortMessage, "e") }
                remote.e = key
                trial.mixHash(key.bytes)
            case .s:
                let key = try trial.decryptAndHash(message.encryptedStatic ?? [], field: "encryptedStatic")
                guard let key = Bytes32(key) else { throw NoiseError(.shortMessage, "encryptedStatic") }
                remote.s = key
            default: try mixSharedPoint(token, remote.s, remote.e, into: &trial)
            }
            if isTracing { trace.append(HandshakeStep(token.rawValue, trial)) }
        }
        let payload = try trial.decryptAndHash(message.payload, field: "encryptedPayload")
        if isTracing { trace.append(HandshakeStep("payload", trial)) }
        return payload
    }

    // MARK: Parts

    private var tokens: [HandshakePattern.Token] {
        let tokens = pattern.messages[messageIndex]
        // NOISE-2: es before s in the second message.
        if pattern == .xx, messageIndex == 1, Mutation.noise(2).isActive { return [.e, .ee, .es, .s] }
        return tokens
    }

    private func ephemeralKey() throws(NoiseError) -> Bytes32 {
        if let ephemeralPublicKey { return ephemeralPublicKey }
        guard let entropy else { throw NoiseError(.invalidPoint, "e") }
        var seed = entropy.bytes(32, for: EntropyLabel(.noiseEphemeral, context))
        defer { Sodium.wipe(&seed) }
        // NOISE-13: an ephemeral key that is not one.
        if Mutation.noise(13).isActive { seed = Array(staticKeys.secretKey.prefix(32)) }
        guard let pair = KeyPair(seed: seed) else { throw NoiseError(.invalidPoint, "e") }
        ephemeralSecret = SecretBytes(pair.secretKey)
        ephemeralPublicKey = pair.publicKey
        return pair.publicKey
    }

    /// `es` pairs the initiator's ephemeral with the responder's static key, whoever sends; `se` the other way round.
    private func mixSharedPoint(
        _ token: HandshakePattern.Token, _ remoteStatic: Bytes32?, _ remoteEphemeral: Bytes32?, into state: inout SymmetricState
    ) throws(NoiseError) {
        let usesOurEphemeral = token == .ee || token == (isInitiator ? .es : .se)
        let usesRemoteEphemeral = token == .ee || token == (isInitiator ? .se : .es)
        guard let point = usesRemoteEphemeral ? remoteEphemeral : remoteStatic else {
            throw NoiseError(.missingRemoteKey, token.rawValue)
        }
        var shared: [UInt8]?
        if usesOurEphemeral {
            switch ephemeralSecret {
            case .some(let secret): shared = Ed25519.sharedPoint(secretKey: secret, publicKey: point)
            case .none: break
            }
        } else {
            shared = Ed25519.sharedPoint(secretKey: staticKeys.secretKey, publicKey: point)
        }
        // NOISE-8, NOISE-18: carrying on with zeros after the multiplication failed.
        if shared == nil, Mutation.noise(8).isActive || Mutation.noise(18).isActive { shared = [UInt8](repeating: 0, count: 32) }
        guard var shared else { throw NoiseError(.invalidPoint, token.rawValue) }
        state.mixKey(shared)
        Sodium.wipe(&shared)
    }

    private func commit(_ trial: consuming SymmetricState) {
        messageIndex += 1
        guard isComplete else {
            symmetric = consume trial
            return
        }
        let (first, second) = trial.split()
        // NOISE-3: the initiator sends with the first key.
        let initiatorTakesFirst = Mutation.noise(3).isActive ? !isInitiator : isInitiator
        result = HandshakeResult(
            isInitiator: isInitiator, tx: initiatorTakesFirst ? first : second, rx: initiatorTakesFirst ? second : first,
            hash: trial.hash, publicKey: staticKeys.publicKey, remotePublicKey: remoteStatic)
        // What is left of the handshake is overwritten by its owners' ends.
        symmetric = nil
        ephemeralSecret = nil
    }
}

/// The transcript after one token of a handshake.
public struct HandshakeStep: Hashable, Sendable {
    /// "h0", "prologue", "rs", a token ("e", "es", ...) or "payload".
    public let name: String
    public let hash: [UInt8]
    public let chainingKey: [UInt8]
    public let key: [UInt8]?
    public let nonce: UInt64

    init(_ name: String, _ state: borrowing SymmetricState) {
        self.name = name
        hash = state.hash
        let secrets = state.copySecrets()
        chainingKey = secrets.chainingKey
        key = secrets.key
        nonce = state.nonce
    }
}
