import CompactEncoding
import HyperCrypto
import SansIO

extension SecretStream {
    // MARK: Receiving

    /// Bytes of the raw stream, chopped in any way.
    public func receive(_ bytes: [UInt8], at now: Instant) {
        guard !isDestroyed, !hasRemoteEnded, !bytes.isEmpty else { return }
        if isIdle {
            guard early.count + bytes.count <= configuration.maximumEarlyBytes else {
                return fail(SecretStreamError(.tooMuchBeforeStart))
            }
            return early.append(contentsOf: bytes)
        }
        // SS-18: reading goes on after our end.
        if hasEnded, Mutation.secretStream(18).isActive { return }
        // SS-17: any byte postpones the timeout, be it part of a frame.
        if !Mutation.secretStream(17).isActive { restartTimeout(now) }
        var offset = 0
        while offset < bytes.count, !isDestroyed {
            switch parser.next(bytes, from: &offset, limits: limits) {
            case .incomplete: return
            case .refused(let length): return refuse(length)
            case .inPlace(let range): receiveFrame(bytes, range, at: now)
            case .assembled(let body): receiveFrame(body, 0..<body.count, at: now)
            }
            // SS-4: one chunk may hold many frames. SS-32: also after the id header.
            if Mutation.secretStream(4).isActive || Mutation.secretStream(32).isActive && rawBytesRead == 0 && isReading { return }
        }
    }

    /// Whether the peer's id header has been taken: it holds the handshake's keys.
    public var isReading: Bool { if case .open = phase { true } else { false } }

    /// Lengths that are allowed now: a Noise message, exactly the id header, or at least an empty message.
    private var limits: ClosedRange<Int> {
        switch phase {
        case .idle, .handshake:
            1...(Mutation.secretStream(28).isActive ? FrameLength.largest : max(1, configuration.maximumHandshakeLength))
        // SS-6.
        case .header: Mutation.secretStream(6).isActive ? IDHeader.size...FrameLength.largest : IDHeader.size...IDHeader.size
        // SS-7, SS-8.
        case .open:
            (Mutation.secretStream(7).isActive || Mutation.secretStream(8).isActive ? 0 : SecretStreamCipher.overhead)...max(
                SecretStreamCipher.overhead, configuration.maximumFrameLength)
        }
    }

    private func refuse(_ length: Int) {
        switch phase {
        case .idle, .handshake: fail(SecretStreamError(.handshakeFailed, "a message of \(length) bytes"))
        case .header: fail(SecretStreamError(.invalidHeader, "\(length) bytes"))
        case .open: fail(SecretStreamError(.invalidFrame, "\(length) bytes"))
        }
    }

    private func receiveFrame(_ bytes: [UInt8], _ range: Range<Int>, at now: Instant) {
        switch phase {
        case .idle: return
        case .handshake(let handshake): receiveHandshake(Array(bytes[range]), handshake, at: now)
        case .header: receiveHeader(Array(bytes[range]), at: now)
        case .open: receiveMessage(bytes, range)
        }
    }

    /// SS-9, SS-10: a frame that does not verify is fatal, and so are reordering, replay and loss.
    private func receiveMessage(_ bytes: [UInt8], _ range: Range<Int>) {
        guard let opened = reader?.open(bytes, range: range) else {
            if range.count < SecretStreamCipher.overhead, Mutation.secretStream(7).isActive || Mutation.secretStream(8).isActive { return }
            if Mutation.secretStream(9).isActive || Mutation.secretStream(10).isActive { return }
            return fail(SecretStreamError(.notAuthentic))
        }
        rawBytesRead += UInt64(range.count)
        if opened.plaintext.isEmpty {
            if Mutation.secretStream(15, 2).isActive, configuration.keepAlive == .zero { return fail(SecretStreamError(.invalidFrame)) }
            // SS-15a: with keepalive on, an empty message is the peer's keepalive. SS-15b: otherwise it is an empty read.
            if configuration.keepAlive > .zero, !Mutation.secretStream(15, 1).isActive { return }
        }
        events.append(.message(opened.plaintext))
    }

    // MARK: Sending

    /// One message, one frame. Before the keys exist it waits, in order. Throws, and for a message that is too large destroys the stream,
    /// with nothing sent. SS-13, SS-14.
    public func write(_ message: [UInt8], at now: Instant) throws(SecretStreamError) {
        guard !isDestroyed else { throw SecretStreamError(.destroyed) }
        guard !hasEnded, !endsAfterQueue else { throw SecretStreamError(.ended) }
        guard message.count <= SecretStream.largestMessage || Mutation.secretStream(14).isActive else {
            let error = SecretStreamError(.messageTooLarge, "\(message.count) bytes")
            fail(error)
            throw error
        }
        guard isOpen, heldHeader == nil else {
            queuedBytes += message.count
            return queue.append(message)
        }
        sendFrame(message, at: now)
    }

    /// An empty message now: to probe the path after a network change.
    public func sendKeepAlive(at now: Instant) {
        guard isOpen, !hasEnded else { return }
        sendFrame([], at: now)
    }

    func sendFrame(_ message: [UInt8], at now: Instant) {
        if message.count > 65535, Mutation.secretStream(13).isActive {
            for part in [message.prefix(65535), message.dropFirst(65535)] {
                if let frame = writer?.frame(Array(part)) { effects.append(.write(frame)) }
            }
            return
        }
        guard let frame = writer?.frame(message) else { return }
        rawBytesWritten += UInt64(frame.count)
        effects.append(.write(frame))
        // SS-16: every local write restarts the timer.
        if !Mutation.secretStream(16).isActive || message.isEmpty { restartKeepAlive(now) }
    }

    // MARK: Unordered messages

    /// An encrypted message outside the stream: it may be lost, reordered, repeated. False before the keys exist.
    @discardableResult
    public func sendUnordered(_ message: [UInt8]) -> Bool {
        guard isOpen else { return false }
        guard let envelope = sealer?.seal(message) else {
            fail(SecretStreamError(.counterExhausted))
            return false
        }
        effects.append(.sendUnordered(envelope))
        return true
    }

    /// A datagram message of the raw stream. What is too short, does not verify or comes before the keys is ignored. SS-23 to SS-26.
    public func receiveUnordered(_ envelope: [UInt8]) {
        guard !isDestroyed, configuration.receivesUnordered else { return }
        guard let key = unorderedReceiveKey, let message = UnorderedBox.open(envelope, key: key) ?? openOwn(envelope) else {
            ignoredUnordered += 1
            if envelope.count < BoxEnvelope.overhead, Mutation.secretStream(23).isActive { fail(SecretStreamError(.invalidFrame)) }
            return
        }
        // SS-24: an empty one is one.
        if message.isEmpty, Mutation.secretStream(24).isActive { return }
        if Mutation.secretStream(26).isActive {
            if replayFilter.contains(envelope) { return fail(SecretStreamError(.notAuthentic)) }
            replayFilter.append(envelope)
        }
        events.append(.unordered(message))
    }

    /// SS-25: the two roles' keys are not interchangeable.
    private func openOwn(_ envelope: [UInt8]) -> [UInt8]? {
        guard Mutation.secretStream(25).isActive, let hash = handshakeHash else { return nil }
        return UnorderedBox.open(envelope, key: UnorderedBox.key(handshakeHash: hash, senderIsInitiator: isInitiator))
    }
}
