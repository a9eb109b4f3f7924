import CompactEncoding
import SansIO

/// Peers that wait to be dialled: the highest priority first, uniformly random within one. hyperswarm.md section 5.
struct PeerQueue {
    private var buckets = [[Bytes32]](repeating: [], count: PeerInfo.Priority.allCases.count)

    var count: Int { buckets.reduce(0) { $0 + $1.count } }
    var isEmpty: Bool { buckets.allSatisfy(\.isEmpty) }
    /// In no meaningful order, but the same for the same history.
    var keys: [Bytes32] { buckets.flatMap { $0 } }

    mutating func add(_ key: Bytes32, _ priority: PeerInfo.Priority) { buckets[priority.rawValue].append(key) }

    mutating func next(_ entropy: some Entropy) -> Bytes32? {
        guard let level = buckets.lastIndex(where: { !$0.isEmpty }) else { return nil }
        let index = Int(entropy.uniform(below: UInt64(buckets[level].count), for: EntropyLabel(.shuffle)))
        buckets[level].swapAt(index, buckets[level].count - 1)
        return buckets[level].removeLast()
    }

    mutating func removeAll() { for index in buckets.indices { buckets[index] = [] } }
}
