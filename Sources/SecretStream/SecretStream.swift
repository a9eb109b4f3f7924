import CompactEncoding
import HyperCrypto
import Noise
import SansIO

/// An encrypted, message-preserving duplex over a raw byte stream. secret-stream.md.
///
/// Sans-IO: raw bytes and time in, effects for the raw stream and events for the owner out. It holds one unfinished frame at most, so an
/// owner that does not read the raw stream while its own reader is behind has its back pressure.
public final class SecretStream {
    public struct Configuration: Sendable {
        /// An empty message whenever this long nothing was written; zero: never. HyperDHT sets 5 s. SS-16.
        public var keepAlive = Interval.zero
        /// Destroyed when this long no byte was received; zero: never. SS-17.
        public var timeout = Interval.zero
        /// For a handshake of its own.
        public var pattern = HandshakePattern.xx
        /// Destroyed before any of our static key or data leaves, if the peer proves to be another. The reference does not compare. SS-27.
        public var expectedRemotePublicKey: Bytes32?
        /// False ignores incoming unordered messages.
        public var receivesUnordered = true
        /// Largest frame body that is taken once the stream is open. Less than 2^24 - 1 refuses what the reference may send.
        public var maximumFrameLength = FrameLength.largest
        /// Largest Noise message; real ones have 96 bytes at most. SS-28.
        public var maximumHandshakeLength = 65535
        /// Raw bytes kept when they arrive before `start`.
        public var maximumEarlyBytes = 1 << 20

        public init() {}
    }

    /// For the raw stream, in order.
    public enum Effect: Hashable, Sendable {
        case write([UInt8])
        case sendUnordered([UInt8])
        /// End our direction (UDX END, TCP FIN).
        case end
        /// Destroy the raw stream at once.
        case destroy
    }

    /// For the owner, in order.
    public enum Event: Hashable, Sendable {
        /// Keys are ready. The remote key is authenticated; nil only with NN.
        case opened(remotePublicKey: Bytes32?)
        case message([UInt8])
        /// Neither ordered nor protected against replay.
        case unordered([UInt8])
        /// The peer sends no more; with an error if it stopped inside a frame or before its id header (SS-20a). We may still write.
        case end(SecretStreamError?)
        /// The last event: nil if both directions had ended.
        case closed(SecretStreamError?)
    }

    /// 2^24 - 1 - 17 bytes. SS-14.
    public static let largestMessage = FrameLength.largest - SecretStreamCipher.overhead

    enum Phase {
        case idle
        case handshake(HandshakeState)
        case header
        case open
    }

    public let isInitiator: Bool
    public internal(set) var configuration: Configuration
    public internal(set) var publicKey: Bytes32?
    public internal(set) var remotePublicKey: Bytes32?
    /// 64 bytes once opened: names the channel. SS-29.
    public internal(set) var handshakeHash: [UInt8]?
    /// 3 + 17 + n for each message frame sent, keepalives included.
    public internal(set) var rawBytesWritten: UInt64 = 0
    /// 17 + n for each message frame received.
    public internal(set) var rawBytesRead: UInt64 = 0
    /// Unordered messages that were ignored, and why they could be: too short, or not authentic, or before the keys.
    public internal(set) var ignoredUnordered: UInt64 = 0
    public internal(set) var isDestroyed = false
    public internal(set) var hasRemoteEnded = false
    public internal(set) var hasEnded = false
    /// Plaintext bytes that wait for the keys.
    public internal(set) var queuedBytes = 0

    let entropy: any Entropy
    let context: UInt64
    var phase = Phase.idle
    var parser = FrameParser()
    var early: [UInt8] = []
    var queue: [[UInt8]] = []
    var endsAfterQueue = false
    var writer: SecretStreamWriter?
    var reader: SecretStreamReader?
    var receiveKey: [UInt8] = []
    var expectedID = Bytes32.zero
    var sealer: UnorderedBox.Sealer?
    var unorderedReceiveKey: Bytes32?
    var replayFilter: [[UInt8]] = []
    var heldHeader: [UInt8]?
    var keepAliveAt = Instant.distantFuture
    var timeoutAt = Instant.distantFuture
    var effects: [Effect] = []
    var events: [Event] = []
    var isClosed = false

    /// `context` is the entropy context of its draws: header, box counter, ephemeral key.
    public init(isInitiator: Bool, configuration: Configuration = Configuration(), entropy: any Entropy, context: UInt64 = 0) {
        self.isInitiator = isInitiator
        self.configuration = configuration
        self.entropy = entropy
        self.context = context
    }

    deinit { Sodium.wipe(&receiveKey) }

    public var isOpen: Bool { handshakeHash != nil && !isDestroyed }
    /// Memory held for an unfinished frame. SS-28.
    public var heldBytes: Int { parser.heldBytes + early.count }

    // MARK: Effects

    public func takeEffects() -> [Effect] {
        defer { effects.removeAll() }
        return effects
    }

    public func takeEvents() -> [Event] {
        defer { events.removeAll() }
        return events
    }

    public var hasOutput: Bool { !effects.isEmpty || !events.isEmpty }

    // MARK: Time

    public var nextWakeUp: Instant { isDestroyed ? .distantFuture : min(keepAliveAt, timeoutAt) }

    public func advance(to now: Instant) {
        guard !isDestroyed else { return }
        if now >= timeoutAt { return fail(SecretStreamError(.timedOut)) }
        if now >= keepAliveAt {
            keepAliveAt = now + configuration.keepAlive
            sendKeepAlive(at: now)
        }
    }

    public func setKeepAlive(_ interval: Interval, at now: Instant) {
        configuration.keepAlive = interval
        restartKeepAlive(now)
    }

    public func setTimeout(_ interval: Interval, at now: Instant) {
        configuration.timeout = interval
        restartTimeout(now)
    }

    func restartKeepAlive(_ now: Instant) {
        let isArmed = configuration.keepAlive > .zero && !hasEnded && !isIdle
        keepAliveAt = isArmed ? now + configuration.keepAlive : .distantFuture
    }

    func restartTimeout(_ now: Instant) {
        timeoutAt = configuration.timeout > .zero && !isIdle ? now + configuration.timeout : .distantFuture
    }

    var isIdle: Bool { if case .idle = phase { true } else { false } }

    // MARK: The end

    /// Ends our direction after what was written; reading goes on. SS-18.
    public func end(at now: Instant) {
        guard !isDestroyed, !hasEnded else { return }
        guard isOpen else {
            endsAfterQueue = true
            return
        }
        hasEnded = true
        keepAliveAt = .distantFuture
        effects.append(.end)
        if hasRemoteEnded { close(nil) }
    }

    /// The raw stream's end: everything that it carried was given to `receive`. SS-19, SS-20.
    public func receiveEnd(at now: Instant) {
        guard !isDestroyed, !hasRemoteEnded else { return }
        hasRemoteEnded = true
        timeoutAt = .distantFuture
        var isWhole = false
        if case .open = phase { isWhole = !parser.isInsideFrame }
        // SS-20b: what arrived of an unfinished frame was never verified and goes nowhere.
        if Mutation.secretStream(20, 2).isActive, !parser.partialBody.isEmpty { events.append(.message(parser.partialBody)) }
        let error = isWhole || Mutation.secretStream(20, 1).isActive ? nil : SecretStreamError(.truncated)
        guard isOpen else { return fail(error ?? SecretStreamError(.handshakeFailed)) }
        events.append(.end(error))
        if hasEnded { close(nil) }
        if Mutation.secretStream(19).isActive { end(at: now) }
    }

    /// The raw stream is gone.
    public func rawClosed(_ reason: String? = nil) {
        guard !isDestroyed else { return }
        if hasEnded && hasRemoteEnded && reason == nil {
            close(nil)
        } else {
            isDestroyed = true
            wipe()
            close(SecretStreamError(.rawStreamFailed, reason ?? ""))
        }
    }

    /// Local destroy: no frame tells the peer. SS-21.
    public func destroy() { fail(SecretStreamError(.destroyed)) }

    /// A failure above (a handler, a codec) or here: the raw stream is destroyed and nothing is written first.
    public func fail(_ error: SecretStreamError) {
        guard !isDestroyed else { return }
        if Mutation.secretStream(21).isActive, let frame = writer?.frame([]) { effects.append(.write(frame)) }
        isDestroyed = true
        wipe()
        effects.append(.destroy)
        close(error)
    }

    private func close(_ error: SecretStreamError?) {
        guard !isClosed else { return }
        isClosed = true
        if error == nil {
            isDestroyed = true
            wipe()
        }
        events.append(.closed(error))
    }

    private func wipe() {
        Sodium.wipe(&receiveKey)
        for index in queue.indices { Sodium.wipe(&queue[index]) }
        queue = []
        queuedBytes = 0
        early = []
        writer = nil
        reader = nil
        sealer = nil
        // Overwritten, not just forgotten.
        unorderedReceiveKey = .zero
        parser = FrameParser()
        keepAliveAt = .distantFuture
        timeoutAt = .distantFuture
        phase = .idle
    }
}
