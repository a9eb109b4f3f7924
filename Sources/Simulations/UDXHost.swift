import NetworkSimulator
import SansIO
import UDX

/// One end of one UDX stream in the simulator, with an application that writes a known pattern and checks what it reads.
public final class UDXHost: SimulatedHost {
    /// What the application of this end has to do.
    public struct Plan: Sendable {
        /// Bytes to write, then END.
        public var bytesToSend = 0
        /// Writes are of this size; a new one follows when the stream drains.
        public var chunk = 16_384
        /// Stop reading after this many bytes, for this long: the window closes. Zero means never.
        public var pauseAfter = 0
        public var pause = Interval.zero
        /// Destroy the stream after having read this many bytes; nil for never.
        public var destroyAfter: Int?
        /// Bytes that the receive window is counted down from.
        public var receiveWindow: UInt32 = 4_194_304
        /// Whether bytes follow the pattern and are checked; off where only their number matters.
        public var verifies = true

        public init() {}
    }

    public let instance: UDXInstance
    public let stream: StreamID
    private let plan: Plan
    /// Salts of the two directions' patterns.
    private let sendSalt: UInt64
    private let receiveSalt: UInt64
    private var now = Instant.zero
    private var written = 0
    private var ended = false
    private var held = 0
    private var resumeAt = Instant.distantFuture
    private var hasPaused = false
    private var wantsToWrite = true

    /// What this end saw.
    public private(set) var bytesReceived = 0
    public private(set) var sawEnd = false
    public private(set) var closed: CloseReason?
    /// The first rule that was broken at this end.
    public private(set) var broken: String?
    public private(set) var largestOutOfOrder = 0
    public private(set) var largestQueue = 0

    public init(
        seed: UInt64, stream: StreamID, initialSequence: SequenceNumber, peerSequence: SequenceNumber, plan: Plan, isFirst: Bool,
        limits: UDXLimits
    ) {
        var limits = limits
        limits.receiveWindow = plan.receiveWindow
        instance = UDXInstance(entropy: SeededEntropy(seed: seed), limits: limits)
        self.stream = stream
        self.plan = plan
        sendSalt = isFirst ? 0x9e37 : 0x1234_5678
        receiveSalt = isFirst ? 0x1234_5678 : 0x9e37
        do {
            try instance.createStream(id: stream, initialSequence: initialSequence, remoteSequence: peerSequence, at: .zero)
        } catch { broken = "creating the stream: \(error)" }
    }

    public func connect(_ socket: SocketID, to remoteID: StreamID, at remote: Endpoint) {
        do { try instance.connect(stream, socket, to: remoteID, at: remote, now: now) } catch { broken = "connect: \(error)" }
        pump()
    }

    /// Moves the stream to another place, as a peer that learnt a better path does.
    public func changeRemote(_ socket: SocketID, to remoteID: StreamID, at remote: Endpoint, now: Instant) {
        guard closed == nil else { return }
        _ = try? instance.changeRemote(stream, socket, to: remoteID, at: remote, now: now)
    }

    /// Byte `index` of a direction.
    static func pattern(_ index: Int, _ salt: UInt64) -> UInt8 {
        let mixed = (UInt64(index) &+ salt) &* 0x9e37_79b9_7f4a_7c15
        return UInt8(truncatingIfNeeded: mixed >> 56)
    }

    private func pump() {
        while closed == nil, wantsToWrite, !ended {
            let count = min(plan.chunk, plan.bytesToSend - written)
            let bytes =
                plan.verifies ? (written..<written + count).map { UDXHost.pattern($0, sendSalt) } : [UInt8](repeating: 0, count: count)
            written += count
            do {
                if written == plan.bytesToSend {
                    ended = true
                    try instance.end(stream, writing: bytes, now: now)
                } else {
                    wantsToWrite = try instance.write(stream, bytes, now: now)
                }
            } catch {
                // The peer may have destroyed the stream while this end was about to write.
                return
            }
        }
    }

    private func take() {
        for event in instance.takeEvents() {
            switch event {
            case .data(_, let bytes):
                if closed != nil { broken = broken ?? "data after close" }
                if sawEnd { broken = broken ?? "UDX-53: data after the end" }
                if !plan.verifies { bytesReceived += bytes.count }
                for byte in bytes where plan.verifies {
                    if byte != UDXHost.pattern(bytesReceived, receiveSalt) {
                        broken = broken ?? "byte \(bytesReceived) is not the one that was sent"
                    }
                    bytesReceived += 1
                }
                consume(bytes.count)
            case .end:
                if sawEnd { broken = broken ?? "two ends" }
                sawEnd = true
            case .closed(_, let reason):
                if closed != nil { broken = broken ?? "closed twice" }
                closed = reason
            case .drained: wantsToWrite = true
            case .message, .flushed, .remoteChanged, .firewall, .connected: break
            }
        }
        if let limit = plan.destroyAfter, bytesReceived >= limit, closed == nil {
            try? instance.destroy(stream, now: now)
            return take()
        }
        pump()
        if let statistics = instance.statistics(of: stream) {
            largestOutOfOrder = max(largestOutOfOrder, statistics.bytesHeldOutOfOrder)
            largestQueue = max(largestQueue, statistics.bytesQueued)
        }
    }

    /// The application reads at once, except during its pause.
    private func consume(_ count: Int) {
        guard plan.pauseAfter > 0 else { return }
        if !hasPaused, bytesReceived >= plan.pauseAfter {
            hasPaused = true
            resumeAt = now + plan.pause
        }
        guard resumeAt != .distantFuture else { return }
        held += count
        try? instance.setHeldBytes(stream, held, now: now)
    }

    // MARK: SimulatedHost

    public func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        self.now = now
        _ = instance.receive(payload, from: source, on: socket, at: now)
        take()
        instance.endTurn(at: now)
    }

    public func advance(to now: Instant) {
        self.now = now
        if now >= resumeAt {
            resumeAt = .distantFuture
            held = 0
            try? instance.setHeldBytes(stream, 0, now: now)
        }
        instance.advance(to: now)
        take()
        instance.endTurn(at: now)
    }

    public var nextWakeUp: Instant { min(instance.nextWakeUp, resumeAt) }

    public func takeTransmits() -> [Transmit] { instance.takeTransmits() }
}
