import CompactEncoding
import SansIO

/// A node in the routing table. Ticks count 5 s each.
public struct TableNode: Hashable, Sendable {
    public let id: Bytes32
    public let endpoint: Endpoint
    /// Our address as that node saw it, if it told.
    public var to: Endpoint?
    /// Tick of the last use of `to` as a NAT sample; 0: never.
    public var sampled: Int32 = 0
    public var added: Int32 = 0
    /// Tick in which it was last asked or heard.
    public var pinged: Int32 = 0
    /// Tick in which it was last heard.
    public var seen: Int32 = 0
    /// How many peers said that it is down.
    public var downHints: UInt8 = 0

    public init(endpoint: Endpoint, id: Bytes32? = nil, to: Endpoint? = nil) {
        self.id = id ?? NodeID.of(endpoint)
        self.endpoint = endpoint
        self.to = to
    }
}

/// Rows of up to twenty nodes by the number of leading bits shared with the own id, and one list by age of the last contact.
/// dht-rpc.md section 7.1.
struct RoutingTable {
    static let k = 20

    enum Insertion { case inserted, rowFull, known, own }

    /// What the age list links: a node, but for the two ticks that its row keeps.
    private struct Entry {
        var node: TableNode
        var older: Int32 = -1
        var newer: Int32 = -1
    }

    /// A node's place in its row: ids are told apart by their first word nearly always, so that a search touches one or two cache lines.
    private struct Slot {
        let word: UInt64
        let entry: Int32
        var pinged: Int32
        var added: Int32
    }

    /// Where a node stands.
    struct Place {
        /// Index into `slots`.
        fileprivate let index: Int
    }

    let id: Bytes32
    private var entries: [Entry] = []
    private var free: [Int32] = []
    /// Row after row, twenty places each, of which the first `counts[row]` are taken, sorted by node id; only as many rows as are in use.
    private var slots: [Slot] = []
    private var counts: [UInt8] = []
    private var oldestEntry: Int32 = -1
    private var latestEntry: Int32 = -1
    private(set) var count = 0

    init(id: Bytes32) { self.id = id }

    private func row(of id: Bytes32) -> Int { (id ^ self.id).leadingZeroBitCount }

    private func range(_ row: Int) -> Range<Int> { row * RoutingTable.k..<row * RoutingTable.k + Int(counts[row]) }

    /// Where the id stands, or would stand, in its row.
    private func position(of id: Bytes32, in row: Int) -> (index: Int, isThere: Bool) {
        let word = id.leadingWord
        let range = range(row)
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if slots[middle].word < word { low = middle + 1 } else { high = middle }
        }
        while low < range.upperBound, slots[low].word == word {
            let there = entries[Int(slots[low].entry)].node.id
            if there == id { return (low, true) }
            if id < there { break }
            low += 1
        }
        return (low, false)
    }

    func find(_ id: Bytes32) -> Place? {
        let row = row(of: id)
        guard row < counts.count else { return nil }
        let (index, isThere) = position(of: id, in: row)
        return isThere ? Place(index: index) : nil
    }

    /// The node of a slot, complete.
    private func node(_ slot: Slot) -> TableNode {
        var node = entries[Int(slot.entry)].node
        node.pinged = slot.pinged
        node.added = slot.added
        return node
    }

    func node(_ id: Bytes32) -> TableNode? { find(id).map { node(slots[$0.index]) } }

    func endpoint(at place: Place) -> Endpoint { entries[Int(slots[place.index].entry)].node.endpoint }
    func sampled(at place: Place) -> Int32 { entries[Int(slots[place.index].entry)].node.sampled }

    /// Changes a node in place; false if it is not in the table.
    @discardableResult
    mutating func update(_ id: Bytes32, _ change: (inout TableNode) -> Void) -> Bool {
        guard let place = find(id) else { return false }
        update(place, change)
        return true
    }

    mutating func update(_ place: Place, _ change: (inout TableNode) -> Void) {
        let index = Int(slots[place.index].entry)
        entries[index].node.pinged = slots[place.index].pinged
        entries[index].node.added = slots[place.index].added
        change(&entries[index].node)
        slots[place.index].pinged = entries[index].node.pinged
        slots[place.index].added = entries[index].node.added
    }

    /// A node was heard in this tick: it moves to the young end of the age list. `sample` is our address as it saw it, where it counts.
    mutating func heard(_ place: Place, tick: Int32, sample: Endpoint?) {
        slots[place.index].pinged = tick
        let index = Int(slots[place.index].entry)
        entries[index].node.seen = tick
        if let sample {
            entries[index].node.to = sample
            entries[index].node.sampled = tick
        }
        guard latestEntry != Int32(index) else { return }
        unlink(index)
        link(index)
    }

    mutating func insert(_ node: TableNode) -> Insertion {
        let row = row(of: node.id)
        guard row < 256 else { return .own }
        while counts.count <= row {
            counts.append(0)
            for _ in 0..<RoutingTable.k { slots.append(Slot(word: 0, entry: -1, pinged: 0, added: 0)) }
        }
        let (place, isThere) = position(of: node.id, in: row)
        if isThere { return .known }
        guard counts[row] < RoutingTable.k else { return .rowFull }
        let index: Int
        if let reused = free.popLast() {
            index = Int(reused)
            entries[index] = Entry(node: node)
        } else {
            index = entries.count
            entries.append(Entry(node: node))
        }
        var behind = range(row).upperBound
        while behind > place {
            slots[behind] = slots[behind - 1]
            behind -= 1
        }
        slots[place] = Slot(word: node.id.leadingWord, entry: Int32(index), pinged: node.pinged, added: node.added)
        counts[row] += 1
        link(index)
        count += 1
        return .inserted
    }

    @discardableResult
    mutating func remove(_ id: Bytes32) -> TableNode? {
        guard let place = find(id) else { return nil }
        let removed = node(slots[place.index])
        let row = row(of: id)
        let index = slots[place.index].entry
        for behind in place.index..<range(row).upperBound - 1 { slots[behind] = slots[behind + 1] }
        counts[row] -= 1
        unlink(Int(index))
        free.append(index)
        count -= 1
        return removed
    }

    /// Of the row that `id` belongs to, the node that was asked longest ago, and before the tick `tick`; of several the one known longest.
    func leastRecent(inRowOf id: Bytes32, before tick: Int32) -> TableNode? {
        let row = row(of: id)
        guard row < counts.count else { return nil }
        var best: Slot?
        for slot in slots[range(row)] where slot.pinged != tick {
            if let best, (best.pinged, best.added) <= (slot.pinged, slot.added) { continue }
            best = slot
        }
        return best.map { node($0) }
    }

    /// Up to `limit` nodes for a target, as a reply lists them. dht-rpc.md section 7.2, DHT-14.
    ///
    /// A table that fits into the reply is listed in the reference's order: rows d, d-1, ..., 0, then d+1, ..., each in byte order of ids,
    /// where d is the row that the target would stand in. Of a larger table the nodes nearest by XOR are chosen, the nearest first: the
    /// reference cuts its list in row order and so leaves near nodes out, and a requester stops at the first entry that is no nearer.
    func closest(to target: Bytes32, _ limit: Int = RoutingTable.k) -> [TableNode] { choose(target, limit) { node($0) } }

    /// As `closest`, addresses alone.
    func closestEndpoints(to target: Bytes32, _ limit: Int = RoutingTable.k) -> [Endpoint] {
        choose(target, limit) { entries[Int($0.entry)].node.endpoint }
    }

    private func choose<T>(_ target: Bytes32, _ limit: Int, _ make: (Slot) -> T) -> [T] {
        guard count > 0, limit > 0 else { return [] }
        let start = row(of: target)
        if count <= limit {
            var result: [T] = []
            result.reserveCapacity(count)
            for row in stride(from: min(start, counts.count - 1), through: 0, by: -1) {
                for slot in slots[range(row)] { result.append(make(slot)) }
            }
            for row in counts.indices.dropFirst(start + 1) { for slot in slots[range(row)] { result.append(make(slot)) } }
            return result
        }
        // Row d is nearest: it shares the bit in which the target differs from us. Then come those that are nearer to us, all in one
        // group; then each lower row.
        return withUnsafeTemporaryAllocation(of: Slot.self, capacity: limit) { chosen in
            var count = 0
            if start < counts.count { choose(start..<start + 1, target, chosen, &count) }
            if count < limit, start + 1 < counts.count { choose(start + 1..<counts.count, target, chosen, &count) }
            var row = min(start, counts.count) - 1
            while row >= 0, count < limit {
                choose(row..<row + 1, target, chosen, &count)
                row -= 1
            }
            return chosen[..<count].map(make)
        }
    }

    /// Adds a group's nodes by distance, as far as there is room: each is put where it belongs among those of its group.
    private func choose(_ group: Range<Int>, _ target: Bytes32, _ chosen: UnsafeMutableBufferPointer<Slot>, _ count: inout Int) {
        let begin = count
        let word = target.leadingWord
        for row in group {
            for index in range(row) {
                let slot = slots[index]
                var at = count
                if at >= chosen.count {
                    guard at > begin, isNearer(slot, chosen[at - 1], word, target) else { continue }
                    at -= 1
                } else {
                    count += 1
                }
                while at > begin, isNearer(slot, chosen[at - 1], word, target) {
                    chosen[at] = chosen[at - 1]
                    at -= 1
                }
                chosen[at] = slot
            }
        }
    }

    @inline(__always)
    private func isNearer(_ a: Slot, _ b: Slot, _ word: UInt64, _ target: Bytes32) -> Bool {
        if a.word != b.word { return a.word ^ word < b.word ^ word }
        return entries[Int(a.entry)].node.id ^ target < entries[Int(b.entry)].node.id ^ target
    }

    /// The node at `index` in row order; nil beyond the end.
    func nth(_ index: Int) -> TableNode? {
        var left = index
        for row in counts.indices {
            if left < Int(counts[row]) { return left >= 0 ? node(slots[row * RoutingTable.k + left]) : nil }
            left -= Int(counts[row])
        }
        return nil
    }

    /// All nodes in row order.
    var nodes: [TableNode] { counts.indices.flatMap { slots[range($0)].map { node($0) } } }

    // MARK: Age

    /// The entry's node with what its row knows of it.
    private func complete(_ index: Int32) -> TableNode {
        let bare = entries[Int(index)].node
        return node(bare.id) ?? bare
    }

    var oldest: TableNode? { oldestEntry < 0 ? nil : complete(oldestEntry) }

    /// From the node that was touched longest ago on.
    func oldestFirst(_ limit: Int) -> [TableNode] {
        var result: [TableNode] = []
        var index = oldestEntry
        while index >= 0, result.count < limit {
            result.append(complete(index))
            index = entries[Int(index)].newer
        }
        return result
    }

    /// From the node that was touched last on.
    func latestFirst(_ limit: Int) -> [TableNode] {
        var result: [TableNode] = []
        var index = latestEntry
        while index >= 0, result.count < limit {
            result.append(complete(index))
            index = entries[Int(index)].older
        }
        return result
    }

    private mutating func link(_ index: Int) {
        entries[index].older = latestEntry
        entries[index].newer = -1
        if latestEntry >= 0 { entries[Int(latestEntry)].newer = Int32(index) } else { oldestEntry = Int32(index) }
        latestEntry = Int32(index)
    }

    private mutating func unlink(_ index: Int) {
        let older = entries[index].older
        let newer = entries[index].newer
        if older >= 0 { entries[Int(older)].newer = newer } else { oldestEntry = newer }
        if newer >= 0 { entries[Int(newer)].older = older } else { latestEntry = older }
    }
}
