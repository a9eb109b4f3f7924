import SansIO

/// What the streams of one instance share: the time, the effects, the limits, the counters. Exempt from exclusivity checks for the same reason as `Stream`.
final class Context {
    /// The reference's clock: whole milliseconds, moved once per call from outside.
    @exclusivity(unchecked) private(set) var now: Int64 = 0
    @exclusivity(unchecked) private(set) var nowMicroseconds: Int64 = 0
    @exclusivity(unchecked) var limits: UDXLimits
    @exclusivity(unchecked) var transmits: [Transmit] = []
    @exclusivity(unchecked) private(set) var events: [UDXEvent] = []
    /// Bytes of `joiningStream` that no event carries yet: neighbouring reads are joined, so a burst costs one array, not one a packet.
    @exclusivity(unchecked) private var joining: [UInt8] = []
    @exclusivity(unchecked) private var joiningStream = StreamID(0)
    @exclusivity(unchecked) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// No timer of any stream is due before this; it may be too early, never too late.
    @exclusivity(unchecked) var nextDeadline: Int64 = .max
    /// Streams with a partial packet that leaves at the end of the turn.
    @exclusivity(unchecked) var partial: [Stream] = []
    /// Between `beginBurst` and `endBurst`: which streams owe an ACK.
    @exclusivity(unchecked) private(set) var isBurst = false
    @exclusivity(unchecked) private var answering: [Stream] = []
    /// Memory of acknowledged packets: the next ones of the same size are built in it.
    @exclusivity(unchecked) private var spare: [[UInt8]] = []
    /// Streams that closed in this call and must leave the table.
    @exclusivity(unchecked) var closed: [Stream] = []

    init(limits: UDXLimits) { self.limits = limits }

    /// Time never runs backwards.
    func note(_ instant: Instant) {
        guard instant.microseconds > nowMicroseconds else { return }
        // Far below overflow, whatever a driver says.
        nowMicroseconds = min(instant.microseconds, 1 << 60)
        now = nowMicroseconds / 1000
    }

    /// Bytes of one `data` event. Larger arrays would come from the kernel page by page each time.
    private static let largestRead = 65_536

    // MARK: Memory of packets

    private static let maximumSpare = 256
    private static let spareSize = 1100...1500

    /// Bytes to build a packet in; what they contain is to be overwritten.
    func datagram(_ count: Int) -> [UInt8] {
        if let last = spare.last, last.count == count { return spare.removeLast() }
        return [UInt8](repeating: 0, count: count)
    }

    /// Takes the bytes of a packet that is done with.
    func recycle(_ datagram: inout [UInt8]) {
        var taken: [UInt8] = []
        swap(&taken, &datagram)
        guard Context.spareSize.contains(taken.count) else { return }
        if spare.count < Context.maximumSpare { spare.append(taken) }
    }

    // MARK: Bursts

    func beginBurst() { isBurst = true }

    /// The stream owes an ACK by the end of the burst.
    func answerLater(_ stream: Stream) { answering.append(stream) }

    func endBurst() {
        isBurst = false
        guard !answering.isEmpty else { return }
        let streams = answering
        answering.removeAll(keepingCapacity: true)
        /// UDX-15.
        if Mutation.udx(15, 2).isActive { return }
        for stream in streams where stream.unanswered > 0 && !stream.isClosed { stream.acknowledge() }
    }

    func drop(_ reason: DropReason) { drops[reason.rawValue] &+= 1 }

    func emit(_ event: UDXEvent) {
        settleData()
        events.append(event)
    }

    func emitData(_ stream: StreamID, _ bytes: [UInt8], _ range: Range<Int>) {
        if range.isEmpty { return }
        if !joining.isEmpty && joiningStream != stream { settleData() }
        joiningStream = stream
        if joining.count + range.count > Context.largestRead {
            settleData()
        } else if !joining.isEmpty && joining.count + range.count > joining.capacity {
            // The second packet of a burst: more will follow.
            joining.reserveCapacity(Context.largestRead)
        }
        bytes.withUnsafeBufferPointer { joining.append(contentsOf: UnsafeBufferPointer(rebasing: $0[range])) }
    }

    private func settleData() {
        guard !joining.isEmpty else { return }
        events.append(.data(joiningStream, joining))
        joining = []
    }

    var hasEvents: Bool { !events.isEmpty || !joining.isEmpty }

    func takeEvents(into all: inout [UDXEvent]) {
        settleData()
        if all.isEmpty { swap(&all, &events) } else { all.append(contentsOf: events) }
        events.removeAll(keepingCapacity: true)
    }

    func takeTransmits(into all: inout [Transmit]) {
        if all.isEmpty { swap(&all, &transmits) } else { all.append(contentsOf: transmits) }
        transmits.removeAll(keepingCapacity: true)
    }

    func wake(at milliseconds: Int64) { if milliseconds < nextDeadline { nextDeadline = milliseconds } }
}
