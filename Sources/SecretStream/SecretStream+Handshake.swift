import CompactEncoding
import HyperCrypto
import Noise
import SansIO

extension SecretStream {
    /// Starts with a Noise handshake of its own: empty prologue, empty payloads. secret-stream.md 4.1.
    ///
    /// `remotePublicKey` is needed by IK's initiator; for the other patterns set `expectedRemotePublicKey`. `ephemeral` is for replay.
    public func start(keyPair: KeyPair, remotePublicKey: Bytes32? = nil, ephemeral: KeyPair? = nil, at now: Instant) {
        guard isIdle, !isDestroyed else { return }
        do {
            let handshake = try HandshakeState(
                pattern: configuration.pattern, isInitiator: isInitiator, prologue: [], staticKeys: keyPair,
                remoteStatic: remotePublicKey ?? configuration.expectedRemotePublicKey, ephemeral: ephemeral, entropy: entropy,
                context: context)
            publicKey = keyPair.publicKey
            phase = .handshake(handshake)
            restartKeepAlive(now)
            restartTimeout(now)
            if isInitiator { try continueHandshake(handshake, at: now) }
        } catch { fail(SecretStreamError(.handshakeFailed, "\(error)")) }
        takeEarlyBytes(now)
    }

    /// Starts from a handshake that was done elsewhere; our id header leaves at once. secret-stream.md 4.2.
    public func start(handshake result: HandshakeResult, at now: Instant) {
        guard isIdle, !isDestroyed else { return }
        if let expected = configuration.expectedRemotePublicKey, result.remotePublicKey != expected, !Mutation.secretStream(27).isActive {
            return fail(SecretStreamError(.remoteKeyMismatch, "not \(expected)"))
        }
        phase = .header
        restartKeepAlive(now)
        restartTimeout(now)
        setUp(result, at: now)
        takeEarlyBytes(now)
    }

    /// Raw bytes that arrived before the start are read now.
    private func takeEarlyBytes(_ now: Instant) {
        let bytes = early
        early = []
        if !bytes.isEmpty { receive(bytes, at: now) }
    }

    func receiveHandshake(_ body: [UInt8], _ handshake: HandshakeState, at now: Instant) {
        // NOISE-21: a first message where the second is due.
        if isInitiator, body.count < 48, Mutation.noise(21).isActive { return }
        do {
            let payload = try handshake.read(body)
            // NOISE-20: a payload is accepted and ignored.
            if !payload.isEmpty, Mutation.noise(20).isActive { return fail(SecretStreamError(.handshakeFailed, "payload")) }
            try continueHandshake(handshake, at: now)
        } catch {
            // NOISE-17, NOISE-18: nothing is written back.
            if Mutation.noise(17).isActive { return }
            fail(SecretStreamError(.handshakeFailed, "\(error)"))
        }
    }

    /// Writes what is due after a message was read, or at the start.
    private func continueHandshake(_ handshake: HandshakeState, at now: Instant) throws(NoiseError) {
        // SS-27: compared as soon as the key is known, so that a stranger learns neither our key nor our data.
        if let expected = configuration.expectedRemotePublicKey, let actual = handshake.remoteStatic, actual != expected,
            !Mutation.secretStream(27).isActive
        {
            return fail(SecretStreamError(.remoteKeyMismatch, "\(actual) instead of \(expected)"))
        }
        if handshake.isOurTurn {
            let message = try handshake.write()
            effects.append(.write(FrameLength(message.count).encoded + message))
        }
        guard let result = handshake.result else { return }
        phase = .header
        setUp(result, at: now)
    }

    private func setUp(_ result: HandshakeResult, at now: Instant) {
        var header = entropy.bytes(SecretStreamCipher.headerLength, for: EntropyLabel(.secretStreamHeader, context))
        // SS-31: a fresh header for every stream.
        if Mutation.secretStream(31).isActive { header = [UInt8](repeating: 0, count: SecretStreamCipher.headerLength) }
        publicKey = result.publicKey
        remotePublicKey = result.remotePublicKey
        handshakeHash = Mutation.secretStream(29).isActive ? Array(result.hash.prefix(32)) : result.hash
        receiveKey = result.rx
        expectedID = IDHeader.id(handshakeHash: result.hash, isInitiator: !isInitiator)
        writer = SecretStreamWriter(key: result.tx, header: header)
        sealer = UnorderedBox.Sealer(
            key: UnorderedBox.key(handshakeHash: result.hash, senderIsInitiator: isInitiator),
            initialCounter: entropy.bytes(8, for: EntropyLabel(.boxCounter, context)))
        unorderedReceiveKey = UnorderedBox.key(handshakeHash: result.hash, senderIsInitiator: !isInitiator)
        events.append(.opened(remotePublicKey: result.remotePublicKey))
        let own = IDHeader(id: IDHeader.id(handshakeHash: result.hash, isInitiator: isInitiator), header: header).encoded
        // SS-2: our header does not wait for the peer's.
        if Mutation.secretStream(2).isActive {
            heldHeader = own
        } else {
            sendHeader(own, at: now)
        }
    }

    func sendHeader(_ header: [UInt8], at now: Instant) {
        effects.append(.write(FrameLength(header.count).encoded + header))
        // SS-30: what was written before goes out now, in order.
        let waiting = Mutation.secretStream(30).isActive ? queue.reversed() : queue
        queue = []
        queuedBytes = 0
        for message in waiting { sendFrame(message, at: now) }
        if endsAfterQueue { end(at: now) }
    }

    /// SS-5: the id must be the other role's. Constant-time.
    func receiveHeader(_ body: [UInt8], at now: Instant) {
        guard let header = try? IDHeader(decoding: body) else { return fail(SecretStreamError(.invalidHeader)) }
        guard Sodium.equal(header.id.bytes, expectedID.bytes) || Mutation.secretStream(5).isActive else {
            return fail(SecretStreamError(.foreignID))
        }
        reader = SecretStreamReader(key: receiveKey, header: header.header)
        Sodium.wipe(&receiveKey)
        phase = .open
        if let held = heldHeader {
            heldHeader = nil
            sendHeader(held, at: now)
        }
    }
}
