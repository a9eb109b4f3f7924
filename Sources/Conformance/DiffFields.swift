import CompactEncoding
import Dissection

/// A leaf field of a unit, with its full path.
struct DiffField {
    /// "closerNodes[2]", "peer.publicKey".
    let path: String
    /// The same without indices: what rules are written for.
    let pattern: String
    let record: FieldRecord

    /// The value as text; bytes in hexadecimal.
    func text(_ bytes: [UInt8]) -> String {
        switch record.value {
        case .uint(let value): return "\(value)"
        case .int(let value): return "\(value)"
        case .double(let value): return "\(value)"
        case .bool(let value): return "\(value)"
        case .endpoint(let value): return "\(value)"
        case .address(let value): return "\(value)"
        case .string: return "\"\(String(decoding: bytes[record.range.clamped(to: 0..<bytes.count)], as: UTF8.self))\""
        case .bytes, .group: return Hex.encode(bytes[record.range.clamped(to: 0..<bytes.count)])
        }
    }

    /// All leaves of a unit in the order of the bytes.
    static func all(of unit: Unit) -> [DiffField] {
        var stack: [FieldRecord] = []
        var result: [DiffField] = []
        result.reserveCapacity(unit.fields.count)
        // A path that stands twice (blocks of a list without index) gets a number.
        var seen: [String: Int] = [:]
        for record in unit.fields {
            while let last = stack.last, last.depth >= record.depth { stack.removeLast() }
            stack.append(record)
            if record.value == .group { continue }
            var path = ""
            var pattern = ""
            for part in stack {
                if part.index >= 0 {
                    path += "[\(part.index)]"
                    pattern += "[]"
                } else {
                    let separator = path.isEmpty ? "" : "."
                    path += separator + part.name.description
                    pattern += separator + part.name.description
                }
            }
            let count = seen[path, default: 0]
            seen[path] = count + 1
            if count > 0 { path += "#\(count)" }
            result.append(DiffField(path: path, pattern: pattern, record: record))
        }
        return result
    }
}

extension Unit {
    /// The unit's name without what varies from run to run ("frame of 12 bytes" is "frame of N bytes").
    var kindName: String {
        var result = ""
        var inNumber = false
        for character in name {
            if character.isNumber {
                if !inNumber { result += "N" }
                inNumber = true
            } else {
                result.append(character)
                inNumber = false
            }
        }
        return result
    }
}
