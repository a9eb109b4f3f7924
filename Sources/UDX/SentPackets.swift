import SansIO

/// A DATA or END packet that was sent and is not yet acknowledged.
struct SentPacket {
    /// Header and payload as last sent, without padding.
    var datagram: [UInt8] = []
    var destination = Endpoint(.any, 0)
    /// Milliseconds, for samples; and microseconds, for loss detection.
    var sentAt: Int64 = 0
    var sentAtMicroseconds: Int64 = 0
    // Delivery state at the time of sending, for the rate sample (udx.md section 12.1).
    var delivered = 0
    var deliveredAt: Int64 = 0
    var firstSentAt: Int64 = 0
    var wasAppLimited = false
    /// Zero bytes between header and payload.
    var padding: UInt8 = 0
    /// Its arrival confirms the size that is searched for.
    var isSizeProbe = false
    /// RTO expiries of this packet.
    var timeouts: UInt8 = 0
    /// Neither acknowledged nor reported by SACK.
    var isOutstanding = false
    var isLost = false
    var wasRetransmitted = false
    /// Was sent at full size to learn whether a reduced path carries it again.
    var isSizeTrial = false
    fileprivate var previous: UInt32 = 0
    fileprivate var next: UInt32 = 0

    var payloadCount: Int { datagram.count - PacketHeader.size }
}

/// Packets in the order in which they were put there, linked through their slots.
struct PacketQueue {
    fileprivate var head: UInt32 = 0
    fileprivate var tail: UInt32 = 0
    private(set) var count = 0

    var first: SequenceNumber? { count == 0 ? nil : SequenceNumber(head) }
    var isEmpty: Bool { count == 0 }

    fileprivate mutating func grow() { count += 1 }
    fileprivate mutating func shrink() { count -= 1 }
}

/// The packets in [snd.una, snd.nxt): a ring indexed by sequence number, doubled when it is full.
///
/// The slots stand behind a pointer of our own, because every packet is touched a dozen times on its way: an index is always masked, so it can't leave
/// the ring, and `mask + 1` slots are always initialised.
final class SentPackets {
    @exclusivity(unchecked) private var slots: UnsafeMutablePointer<SentPacket>
    @exclusivity(unchecked) private var mask: UInt32

    private static let smallest = 4

    init() {
        slots = .allocate(capacity: SentPackets.smallest)
        slots.initialize(repeating: SentPacket(), count: SentPackets.smallest)
        mask = UInt32(SentPackets.smallest - 1)
    }

    deinit { release() }

    private func release() {
        slots.deinitialize(count: Int(mask) + 1)
        slots.deallocate()
    }

    subscript(seq: SequenceNumber) -> SentPacket {
        unsafeAddress { UnsafePointer(slots + Int(seq.rawValue & mask)) }
        unsafeMutableAddress { slots + Int(seq.rawValue & mask) }
    }

    /// Makes room for the numbers from `first` up to and including `last`.
    func reserve(from first: SequenceNumber, through last: SequenceNumber) {
        let count = Int(mask) + 1
        let needed = first.distance(to: last) + 1
        guard needed > count else { return }
        var size = count
        while size < needed { size *= 2 }
        let larger = UnsafeMutablePointer<SentPacket>.allocate(capacity: size)
        larger.initialize(repeating: SentPacket(), count: size)
        let largerMask = UInt32(size - 1)
        for index in 0..<count {
            let seq = first.advanced(by: index)
            swap(&larger[Int(seq.rawValue & largerMask)], &slots[Int(seq.rawValue & mask)])
        }
        release()
        slots = larger
        mask = largerMask
    }

    func removeAll() {
        release()
        slots = .allocate(capacity: SentPackets.smallest)
        slots.initialize(repeating: SentPacket(), count: SentPackets.smallest)
        mask = UInt32(SentPackets.smallest - 1)
    }

    func append(_ seq: SequenceNumber, to queue: inout PacketQueue) {
        if queue.isEmpty {
            queue.head = seq.rawValue
        } else {
            self[SequenceNumber(queue.tail)].next = seq.rawValue
            self[seq].previous = queue.tail
        }
        queue.tail = seq.rawValue
        queue.grow()
    }

    /// Puts a packet where its number belongs in a queue that ascends. Losses are mostly found in order, so the search begins at the end.
    func insert(_ seq: SequenceNumber, ascendingIn queue: inout PacketQueue) {
        guard !queue.isEmpty, seq.isBefore(SequenceNumber(queue.tail)) else { return append(seq, to: &queue) }
        var after = SequenceNumber(queue.tail)
        while after.rawValue != queue.head {
            let before = SequenceNumber(self[after].previous)
            if before.isBefore(seq) { break }
            after = before
        }
        if after.rawValue == queue.head {
            queue.head = seq.rawValue
        } else {
            let before = self[after].previous
            self[SequenceNumber(before)].next = seq.rawValue
            self[seq].previous = before
        }
        self[seq].next = after.rawValue
        self[after].previous = seq.rawValue
        queue.grow()
    }

    func remove(_ seq: SequenceNumber, from queue: inout PacketQueue) {
        guard !queue.isEmpty else { return }
        let (previous, next) = (self[seq].previous, self[seq].next)
        let isHead = queue.head == seq.rawValue
        let isTail = queue.tail == seq.rawValue
        if isHead { queue.head = next } else { self[SequenceNumber(previous)].next = next }
        if isTail { queue.tail = previous } else { self[SequenceNumber(next)].previous = previous }
        queue.shrink()
    }

    /// The packet after `seq` in its queue, or nil at the end.
    func next(after seq: SequenceNumber, in queue: PacketQueue) -> SequenceNumber? {
        queue.tail == seq.rawValue ? nil : SequenceNumber(self[seq].next)
    }
}
