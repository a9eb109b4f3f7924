import SansIO

/// The value of a recorded field. Bytes are not copied: their range in the record says where they are.
public enum FieldValue: Hashable, Sendable {
    case uint(UInt64)
    case int(Int64)
    case double(Double)
    case bool(Bool)
    /// Bytes or text: exactly the record's `range`, without a length prefix.
    case bytes
    case string
    case endpoint(Endpoint)
    case address(IPAddress)
    /// A structure, an array or another group: its fields follow with a greater depth.
    case group
}

/// One field of a decoded message: what it is called, where it stands, what it says.
public struct FieldRecord: Sendable {
    public let name: StaticString
    /// Nesting: fields of a group follow it with depth + 1.
    public let depth: UInt8
    /// Index inside an array group, or -1.
    public let index: Int32
    /// Offsets in the reader's bytes. For `.bytes` and `.string` the content alone; `start` may be preceded by a length prefix.
    public internal(set) var start: Int32
    public internal(set) var end: Int32
    /// Where the field begins including its length prefix.
    public let prefixStart: Int32
    public internal(set) var value: FieldValue

    public var range: Range<Int> { Int(start)..<Int(max(start, end)) }
    public var wholeRange: Range<Int> { Int(prefixStart)..<Int(max(prefixStart, end)) }
}

/// Collects the fields that a decoder reads. The stack decodes without one, dissector, diff and fuzzer with one: there is no second parser.
public final class FieldRecorder {
    @exclusivity(unchecked) public private(set) var records: [FieldRecord] = []
    @exclusivity(unchecked) private var depth: UInt8 = 0
    @exclusivity(unchecked) private var open: [Int] = []

    public init() {}

    /// Forgets everything but keeps the storage.
    public func reset() {
        records.removeAll(keepingCapacity: true)
        open.removeAll(keepingCapacity: true)
        depth = 0
    }

    func add(_ name: StaticString, index: Int32, prefixStart: Int, start: Int, end: Int, value: FieldValue) {
        records.append(
            FieldRecord(
                name: name, depth: depth, index: index, start: Int32(truncatingIfNeeded: start), end: Int32(truncatingIfNeeded: end),
                prefixStart: Int32(truncatingIfNeeded: prefixStart), value: value))
    }

    func begin(_ name: StaticString, index: Int32, at offset: Int) {
        open.append(records.count)
        add(name, index: index, prefixStart: offset, start: offset, end: offset, value: .group)
        depth &+= 1
    }

    func end(at offset: Int) {
        guard let index = open.popLast() else { return }
        depth &-= 1
        records[index].end = Int32(truncatingIfNeeded: offset)
    }
}
