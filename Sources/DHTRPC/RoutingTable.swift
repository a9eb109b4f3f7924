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

    private struct Entry {
        var node: TableNode
        var older: Int32 = -1
        var newer: Int32 = -1
    }

    let id: Bytes32
    private var entries: [Entry] = []
    private var free: [Int32] = []
    /// Entry numbers sorted by node id; only as many rows as are in use.
    private var rows: [[Int32]] = []
    private var oldestEntry: Int32 = -1
    private var latestEntry: Int32 = -1
    private(set) var count = 0

    init(id: Bytes32) { self.id = id }

    private func row(of id: Bytes32) -> Int { (id ^ self.id).leadingZeroBitCount }

    /// Where the id stands, or would stand, in its row.
    private func position(of id: Bytes32, in row: [Int32]) -> Int {
        var low = 0
        var high = row.count
        while low < high {
            let middle = (low + high) / 2
            if entries[Int(row[middle])].node.id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func find(_ id: Bytes32) -> Int? {
        let row = row(of: id)
        guard row < rows.count else { return nil }
        let position = position(of: id, in: rows[row])
        guard position < rows[row].count, entries[Int(rows[row][position])].node.id == id else { return nil }
        return Int(rows[row][position])
    }

    func node(_ id: Bytes32) -> TableNode? { find(id).map { entries[$0].node } }

    /// Changes a node in place; false if it is not in the table.
    @discardableResult
    mutating func update(_ id: Bytes32, _ change: (inout TableNode) -> Void) -> Bool {
        guard let index = find(id) else { return false }
        change(&entries[index].node)
        return true
    }

    /// Moves a node to the young end of the age list.
    mutating func touch(_ id: Bytes32) {
        guard let index = find(id) else { return }
        unlink(index)
        link(index)
    }

    mutating func insert(_ node: TableNode) -> Insertion {
        let row = row(of: node.id)
        guard row < 256 else { return .own }
        while rows.count <= row { rows.append([]) }
        let position = position(of: node.id, in: rows[row])
        if position < rows[row].count, entries[Int(rows[row][position])].node.id == node.id { return .known }
        guard rows[row].count < RoutingTable.k else { return .rowFull }
        let index: Int
        if let reused = free.popLast() {
            index = Int(reused)
            entries[index] = Entry(node: node)
        } else {
            index = entries.count
            entries.append(Entry(node: node))
        }
        rows[row].insert(Int32(index), at: position)
        link(index)
        count += 1
        return .inserted
    }

    @discardableResult
    mutating func remove(_ id: Bytes32) -> TableNode? {
        let row = row(of: id)
        guard row < rows.count else { return nil }
        let position = position(of: id, in: rows[row])
        guard position < rows[row].count, entries[Int(rows[row][position])].node.id == id else { return nil }
        let index = Int(rows[row].remove(at: position))
        unlink(index)
        free.append(Int32(index))
        count -= 1
        return entries[index].node
    }

    /// Of the row that `id` belongs to, the node that was asked longest ago, and before the tick `tick`; of several the one known longest.
    func leastRecent(inRowOf id: Bytes32, before tick: Int32) -> TableNode? {
        let row = row(of: id)
        guard row < rows.count else { return nil }
        var best: Int?
        for index in rows[row] where entries[Int(index)].node.pinged != tick {
            if let best {
                let (a, b) = (entries[best].node, entries[Int(index)].node)
                if (a.pinged, a.added) <= (b.pinged, b.added) { continue }
            }
            best = Int(index)
        }
        return best.map { entries[$0].node }
    }

    /// Up to `limit` nodes for a target, as a reply lists them. dht-rpc.md section 7.2, DHT-14.
    ///
    /// A table that fits into the reply is listed in the reference's order: rows d, d-1, ..., 0, then d+1, ..., each in byte order of ids,
    /// where d is the row that the target would stand in. Of a larger table the nodes nearest by XOR are chosen, the nearest first: the
    /// reference cuts its list in row order and so leaves near nodes out, and a requester stops at the first entry that is no nearer.
    func closest(to target: Bytes32, _ limit: Int = RoutingTable.k) -> [TableNode] { choose(target, limit).map { entries[Int($0)].node } }

    /// As `closest`, addresses alone.
    func closestEndpoints(to target: Bytes32, _ limit: Int = RoutingTable.k) -> [Endpoint] {
        choose(target, limit).map { entries[Int($0)].node.endpoint }
    }

    private func choose(_ target: Bytes32, _ limit: Int) -> [Int32] {
        guard count > 0, limit > 0 else { return [] }
        let start = row(of: target)
        var result: [Int32] = []
        result.reserveCapacity(min(limit, count))
        if count <= limit {
            for row in stride(from: min(start, rows.count - 1), through: 0, by: -1) { result += rows[row] }
            if start + 1 < rows.count { for row in rows[(start + 1)...] { result += row } }
            return result
        }
        // Row d is nearest: it shares the bit in which the target differs from us. Then come those that are nearer to us, all in one
        // group; then each lower row.
        if start < rows.count { append(rows[start], target, limit, &result) }
        if result.count < limit, start + 1 < rows.count { append(Array(rows[(start + 1)...].joined()), target, limit, &result) }
        var row = min(start, rows.count) - 1
        while row >= 0, result.count < limit {
            append(rows[row], target, limit, &result)
            row -= 1
        }
        return result
    }

    /// Appends a group's nodes by distance, up to the limit.
    private func append(_ group: [Int32], _ target: Bytes32, _ limit: Int, _ result: inout [Int32]) {
        if group.isEmpty { return }
        let sorted = group.map { (distance: entries[Int($0)].node.id ^ target, index: $0) }.sorted { $0.distance < $1.distance }
        for one in sorted.prefix(limit - result.count) { result.append(one.index) }
    }

    /// The node at `index` in row order; nil beyond the end.
    func nth(_ index: Int) -> TableNode? {
        var left = index
        for row in rows {
            if left < row.count { return left >= 0 ? entries[Int(row[left])].node : nil }
            left -= row.count
        }
        return nil
    }

    /// All nodes in row order.
    var nodes: [TableNode] { rows.flatMap { $0.map { entries[Int($0)].node } } }

    // MARK: Age

    var oldest: TableNode? { oldestEntry < 0 ? nil : entries[Int(oldestEntry)].node }

    /// From the node that was touched longest ago on.
    func oldestFirst(_ limit: Int) -> [TableNode] {
        var result: [TableNode] = []
        var index = oldestEntry
        while index >= 0, result.count < limit {
            result.append(entries[Int(index)].node)
            index = entries[Int(index)].newer
        }
        return result
    }

    /// From the node that was touched last on.
    func latestFirst(_ limit: Int) -> [TableNode] {
        var result: [TableNode] = []
        var index = latestEntry
        while index >= 0, result.count < limit {
            result.append(entries[Int(index)].node)
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
