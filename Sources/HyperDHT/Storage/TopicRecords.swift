import CompactEncoding
import SansIO

/// The records announced under topics: one per topic and key, in two generations. hyperdht.md sections 3.4 and 4.4.
///
/// Reads don't renew an entry. HDHT-15b: a later record of a key replaces the earlier one at once; the reference keeps the earlier one until
/// its generation turns.
public struct TopicRecords: Sendable {
    private struct Generation: Sendable {
        struct Topic: Sendable {
            var order: [Bytes32] = []
            var index: [Bytes32: Int] = [:]
            var records: [Bytes32: [UInt8]] = [:]

            mutating func exchange(_ a: Int, _ b: Int) {
                order.swapAt(a, b)
                index[order[a]] = a
                index[order[b]] = b
            }
        }
        var topics: [Bytes32: Topic] = [:]
        var count = 0

        /// True if the key is new under that topic.
        mutating func add(_ target: Bytes32, _ key: Bytes32, _ record: [UInt8]) -> Bool {
            // HDHT-15a. One record per topic and key.
            if topics[target, default: Topic()].records[key] != nil, !Mutation.hyperDHT(15, 1).isActive {
                if !Mutation.hyperDHT(15, 2).isActive { topics[target]?.records[key] = record }
                return false
            }
            let slot = Mutation.hyperDHT(15, 1).isActive ? Bytes32(record.suffix(32)) ?? key : key
            topics[target, default: Topic()].index[slot] = topics[target, default: Topic()].order.count
            topics[target, default: Topic()].order.append(slot)
            topics[target, default: Topic()].records[slot] = record
            count += 1
            return true
        }

        mutating func remove(_ target: Bytes32, _ key: Bytes32) {
            guard var topic = topics[target], let at = topic.index[key] else { return }
            topics[target] = nil
            topic.exchange(at, topic.order.count - 1)
            topic.order.removeLast()
            topic.index[key] = nil
            topic.records[key] = nil
            count -= 1
            if !topic.order.isEmpty { topics[target] = topic }
        }
    }

    public let maxSize: Int
    private var young = Generation()
    private var old = Generation()
    private var clock: GenerationClock

    public init(maxSize: Int, maxAge: Interval, now: Instant) {
        self.maxSize = max(1, maxSize)
        clock = GenerationClock(maxAge: maxAge, now: now)
    }

    public var count: Int { young.count + old.count }
    public var nextWakeUp: Instant { clock.next }

    /// Keeps a record, in place of an earlier one of the same key.
    public mutating func add(target: Bytes32, key: Bytes32, record: [UInt8]) {
        old.remove(target, key)
        if young.add(target, key, record), young.count > maxSize {
            clock.turned()
            turn()
        }
    }

    /// Forgets the record of one key.
    public mutating func remove(target: Bytes32, key: Bytes32) {
        young.remove(target, key)
        old.remove(target, key)
    }

    /// Up to `limit` records under the target, chosen at random without repetition.
    public mutating func choose(target: Bytes32, limit: Int, entropy: any Entropy) -> [[UInt8]] {
        var left = (young: young.topics[target]?.order.count ?? 0, old: old.topics[target]?.order.count ?? 0)
        var result: [[UInt8]] = []
        while result.count < limit, left.young + left.old > 0 {
            let drawn = Int(truncatingIfNeeded: entropy.uniform(below: UInt64(left.young + left.old), for: EntropyLabel(.recordChoice)))
            if drawn < left.young {
                if let record = TopicRecords.take(&young.topics[target], drawn, &left.young) { result.append(record) }
            } else {
                if let record = TopicRecords.take(&old.topics[target], drawn - left.young, &left.old) { result.append(record) }
            }
        }
        return result
    }

    /// Moves the chosen one behind those that are left.
    private static func take(_ topic: inout Generation.Topic?, _ at: Int, _ left: inout Int) -> [UInt8]? {
        left -= 1
        guard let key = topic?.order[at] else { return nil }
        topic?.exchange(at, left)
        return topic?.records[key]
    }

    /// Drops what is too old.
    public mutating func advance(to now: Instant) {
        if clock.isDue(now) { turn() }
    }

    private mutating func turn() {
        old = young
        young = Generation()
    }
}
