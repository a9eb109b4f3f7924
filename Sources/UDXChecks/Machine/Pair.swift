import Conformance
import SansIO
import UDX

/// Two instances of ours and a path between them: delay, rate with a queue, losses drawn from the examination's seed, a size limit. A small bench; the
/// network simulator has the large one.
final class Pair {
    struct Path {
        var delayMilliseconds: Int64 = 10
        /// Bytes per millisecond; nil is without limit.
        var rate: Int?
        var queueBytes = 1 << 30
        /// Per thousand.
        var loss: UInt64 = 0
        /// IP packets above this are dropped, unless they may be fragmented.
        var mtu = 1500
        /// What goes to the left arrives at multiples of this only, as over a radio link; 0 is at once.
        var clumpMilliseconds: Int64 = 0
    }

    private struct InFlight {
        let arrives: Instant
        let order: Int
        let toRight: Bool
        let bytes: [UInt8]
    }

    static let leftID = StreamID(11)
    static let rightID = StreamID(22)
    private static let leftPlace = Endpoint.loopback(41_001)
    private static let rightPlace = Endpoint.loopback(41_002)

    let left: UDXInstance
    let right: UDXInstance
    private(set) var now = Instant(microseconds: 1_000_000)
    var path: Path
    private let entropy: SeededEntropy
    private var network: [InFlight] = []
    private var order = 0
    private var freeAt: [Bool: Instant] = [:]
    private(set) var leftReceived: [UInt8] = []
    private(set) var rightReceived: [UInt8] = []
    private(set) var leftEvents: [UDXEvent] = []
    private(set) var rightEvents: [UDXEvent] = []
    /// Datagrams of the left side, with the millisecond of their sending.
    private(set) var leftSent: [(at: Int64, transmit: Transmit)] = []
    var recordsLeft = false

    init(_ exam: Examination, _ path: Path, limits: UDXLimits = UDXLimits(), firstSeq: UInt32 = 0) throws {
        self.path = path
        entropy = SeededEntropy(seed: exam.seed)
        left = UDXInstance(entropy: entropy, limits: limits)
        right = UDXInstance(entropy: entropy, limits: limits)
        let seq = SequenceNumber(firstSeq)
        try left.createStream(id: Pair.leftID, initialSequence: seq, remoteSequence: seq, at: now)
        try right.createStream(id: Pair.rightID, initialSequence: seq, remoteSequence: seq, at: now)
        try left.connect(Pair.leftID, SocketID(1), to: Pair.rightID, at: Pair.rightPlace, now: now)
        try right.connect(Pair.rightID, SocketID(1), to: Pair.leftID, at: Pair.leftPlace, now: now)
    }

    /// Runs until `isDone`, or until the time is up; returns whether it is done.
    func run(_ milliseconds: Int64, until isDone: () -> Bool) -> Bool {
        let end = now + .milliseconds(milliseconds)
        settle()
        while !isDone() {
            var next = min(left.nextWakeUp, right.nextWakeUp)
            if let first = network.first { next = min(next, first.arrives) }
            guard next <= end else {
                now = end
                settle()
                return isDone()
            }
            now = max(now, next)
            while let first = network.first, first.arrives <= now {
                network.removeFirst()
                let instance = first.toRight ? right : left
                let source = first.toRight ? Pair.leftPlace : Pair.rightPlace
                _ = instance.receive(first.bytes, from: source, on: SocketID(1), at: now)
            }
            settle()
        }
        return true
    }

    private func settle() {
        left.advance(to: now)
        right.advance(to: now)
        for transmit in left.takeTransmits() {
            if recordsLeft { leftSent.append((now.milliseconds, transmit)) }
            carry(transmit, toRight: true)
        }
        for transmit in right.takeTransmits() { carry(transmit, toRight: false) }
        for event in left.takeEvents() { if case .data(_, let bytes) = event { leftReceived += bytes } else { leftEvents.append(event) } }
        for event in right.takeEvents() {
            if case .data(_, let bytes) = event { rightReceived += bytes } else { rightEvents.append(event) }
        }
    }

    private func carry(_ transmit: Transmit, toRight: Bool) {
        let size = transmit.payload.count + 28
        if size > path.mtu && transmit.dontFragment { return }
        if path.loss > 0 && entropy.uniform(below: 1000, for: EntropyLabel(.network)) < path.loss { return }
        var leaves = now
        if let rate = path.rate {
            let free = max(freeAt[toRight] ?? now, now)
            if (free - now).microseconds * Int64(rate) / 1000 > Int64(path.queueBytes) { return }
            leaves = free + .microseconds(Int64(size) * 1000 / Int64(rate))
            freeAt[toRight] = leaves
        }
        order += 1
        var arrives = leaves + .milliseconds(path.delayMilliseconds)
        if !toRight && path.clumpMilliseconds > 0 {
            let clump = path.clumpMilliseconds * 1000
            arrives = Instant(microseconds: (arrives.microseconds + clump - 1) / clump * clump)
        }
        let flight = InFlight(
            arrives: arrives, order: order, toRight: toRight, bytes: transmit.payload)
        let index = network.lastIndex { $0.arrives <= flight.arrives }.map { $0 + 1 } ?? 0
        network.insert(flight, at: index)
    }
}
