import SansIO

/// A bounded map that forgets by generations. hyperdht.md section 4.4.
///
/// Every 2/3 of the nominal life, or when the young generation reaches the cap, the old generation is dropped and the young one becomes old.
/// A write puts an entry into the young generation, and so does a read. Retained entries never age and can't be overwritten by `set`.
/// At most twice `maxSize` entries plus the retained ones are held.
public struct TwoGenerationCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    public let maxSize: Int
    /// The nominal life; zero means that only the cap makes entries go.
    public let maxAge: Interval
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]
    private var retained: [Key: Value] = [:]
    private var clock: GenerationClock

    public init(maxSize: Int, maxAge: Interval, now: Instant) {
        self.maxSize = max(1, maxSize)
        self.maxAge = maxAge
        clock = GenerationClock(maxAge: maxAge, now: now)
    }

    public var count: Int { young.count + old.count + retained.count }
    public var nextWakeUp: Instant { clock.next }

    /// Keeps a value, as the youngest.
    public mutating func set(_ key: Key, _ value: Value) {
        guard retained[key] == nil else { return }
        young[key] = value
        old[key] = nil
        if young.count >= maxSize { turn() }
    }

    /// An entry that never ages: a local server's route.
    public mutating func retain(_ key: Key, _ value: Value) {
        retained[key] = value
        young[key] = nil
        old[key] = nil
    }

    /// The value, if it is not too old.
    public mutating func get(_ key: Key) -> Value? {
        if let value = young[key] { return value }
        if let value = old.removeValue(forKey: key) {
            young[key] = value
            return value
        }
        return retained[key]
    }

    /// Forgets a value.
    public mutating func remove(_ key: Key) {
        if young.removeValue(forKey: key) == nil, old.removeValue(forKey: key) == nil { retained[key] = nil }
    }

    /// Drops what is too old.
    public mutating func advance(to now: Instant) {
        if clock.isDue(now) { turn(counted: false) }
    }

    private mutating func turn(counted: Bool = true) {
        if counted { clock.turned() }
        old = young
        young = [:]
    }
}

/// When generations turn: every 2/3 of the nominal life, but not right after a turn that the cap forced.
struct GenerationClock: Sendable {
    private let period: Interval
    private(set) var next: Instant
    private var turnedByCap = false

    init(maxAge: Interval, now: Instant) {
        if maxAge > .zero {
            // HDHT-71. A real life is 2/3 to 4/3 of the nominal one after the last write.
            let milliseconds = Mutation.hyperDHT(71).isActive ? maxAge.milliseconds * 2 : (maxAge.milliseconds * 2 + 2) / 3
            period = .milliseconds(max(1, milliseconds))
            next = now + period
        } else {
            period = .zero
            next = .distantFuture
        }
    }

    mutating func turned() { turnedByCap = true }

    /// Whether a generation must turn now. Sets the next time.
    mutating func isDue(_ now: Instant) -> Bool {
        guard now >= next, period > .zero else { return false }
        while next <= now { next = next + period }
        defer { turnedByCap = false }
        return !turnedByCap
    }
}
