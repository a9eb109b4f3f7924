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

    /// The nodes of the row that `id` belongs to, in byte order of their ids.
    func rowNodes(of id: Bytes32) -> [TableNode] {
        let row = row(of: id)
        return row < rows.count ? rows[row].map { entries[Int($0)].node } : []
    }

    /// Up to `limit` nodes for a target: rows d, d-1, ..., 0, then d+1, ..., each in byte order of ids, where d is the row that the target
    /// would stand in. dht-rpc.md section 7.2, DHT-14.
    func closest(to target: Bytes32, _ limit: Int = RoutingTable.k) -> [TableNode] {
        var result: [TableNode] = []
        guard count > 0, limit > 0 else { return result }
        result.reserveCapacity(min(limit, count))
        visit(target, limit) { result.append(entries[$0].node) }
        return result
    }

    /// As `closest`, addresses alone.
    func closestEndpoints(to target: Bytes32, _ limit: Int = RoutingTable.k) -> [Endpoint] {
        var result: [Endpoint] = []
        guard count > 0, limit > 0 else { return result }
        result.reserveCapacity(min(limit, count))
        visit(target, limit) { result.append(entries[$0].node.endpoint) }
        return result
    }

    private func visit(_ target: Bytes32, _ limit: Int, _ body: (Int) -> Void) {
        let start = row(of: target)
        var left = limit
        func take(_ row: Int) -> Bool {
            for index in rows[row] {
                body(Int(index))
                left -= 1
                if left == 0 { return false }
            }
            return true
        }
        for row in stride(from: min(start, rows.count - 1), through: 0, by: -1) where !take(row) { return }
        guard start + 1 < rows.count else { return }
        for row in (start + 1)..<rows.count where !take(row) { return }
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
