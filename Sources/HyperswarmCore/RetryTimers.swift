import CompactEncoding
import SansIO

/// The four delays after which a lost or failed peer is dialled again. hyperswarm.md section 7.
///
/// A bucket of value T ticks every floor(0.66 T) from its first use on; an entry fires on the second tick after it was added: 0.66 T to 1.32 T later.
struct RetryTimers {
    enum Bucket: Int, CaseIterable { case short, medium, long, explicit }

    private struct Timer {
        let period: Interval
        var nextTick: Instant?
        var pending: [Bytes32] = []
        var next: [Bytes32] = []
    }

    private var timers: [Timer]
    /// T of each bucket, in milliseconds.
    let values: [Int64]

    init(backoffs: [Int64]?, jitterMilliseconds: Int64, entropy: some Entropy) {
        func draw(_ bound: Int64) -> Int64 { bound <= 0 ? 0 : Int64(entropy.uniform(below: UInt64(bound), for: EntropyLabel(.jitter))) }
        let defaults: [(base: Int64, process: Int64)] = [(1000, 500), (5000, 1000), (15_000, 2000), (600_000, 120_000)]
        values = defaults.enumerated().map { index, value in
            let base = backoffs.flatMap { index < $0.count ? $0[index] : nil } ?? value.base + draw(value.process)
            return base + draw(jitterMilliseconds)
        }
        timers = values.map { Timer(period: .milliseconds(max(1, $0 * 66 / 100))) }
    }

    /// SWARM-20, SWARM-22, SWARM-24: the bucket by attempts, whether the peer was ever reached, and whether the application asked for it.
    static func bucket(attempts: Int, isProven: Bool, isExplicit: Bool) -> Bucket? {
        switch attempts {
        case 0: .short
        case 1: isProven ? .short : Mutation.hyperswarm(20).isActive ? .short : .medium
        case 2: isProven ? .medium : .long
        case 3: .long
        default: isExplicit && !Mutation.hyperswarm(24).isActive ? .explicit : nil
        }
    }

    mutating func add(_ key: Bytes32, to bucket: Bucket, now: Instant) {
        let index = bucket.rawValue
        timers[index].pending.append(key)
        if timers[index].nextTick == nil { timers[index].nextTick = now + timers[index].period }
    }

    var nextWakeUp: Instant {
        timers.reduce(.distantFuture) { $1.pending.isEmpty && $1.next.isEmpty ? $0 : min($0, $1.nextTick ?? .distantFuture) }
    }

    /// Peers whose time has come, bucket by bucket, in the order in which they were added.
    mutating func advance(to now: Instant) -> [Bytes32] {
        var due: [Bytes32] = []
        for index in timers.indices {
            guard var tick = timers[index].nextTick, tick <= now else { continue }
            while tick <= now {
                if timers[index].pending.isEmpty, timers[index].next.isEmpty {
                    // Ticks without entries only keep the phase.
                    let behind = (now - tick).microseconds / timers[index].period.microseconds
                    tick = tick + timers[index].period * (behind + 1)
                    break
                }
                due += timers[index].next
                timers[index].next = timers[index].pending
                timers[index].pending = []
                tick = tick + timers[index].period
            }
            timers[index].nextTick = tick
        }
        return due
    }

    /// Forgets all entries; the ticks go on.
    mutating func removeAll() {
        for index in timers.indices {
            timers[index].pending = []
            timers[index].next = []
        }
    }
}
