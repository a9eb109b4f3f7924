import CompactEncoding
import PacketCapture

/// Prints packets as protocol trees, for people.
public struct TreePrinter: Sendable {
    public enum Detail: Sendable {
        /// One line a packet.
        case summary
        /// All layers with all fields.
        case tree
        /// As `tree`, with byte offsets and whole values.
        case bytes
    }

    public var detail: Detail
    public var colours: Bool
    private let start: Int64

    /// `start`: time of the first packet, in nanoseconds.
    public init(detail: Detail = .tree, colours: Bool = false, start: Int64) {
        self.detail = detail
        self.colours = colours
        self.start = start
    }

    private func paint(_ text: String, _ code: String) -> String { colours ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text }

    public func text(_ packet: DissectedPacket, issues: [Issue] = []) -> String {
        var lines = [headline(packet)]
        if detail != .summary {
            for unit in packet.units { append(unit, &lines) }
        }
        for issue in issues {
            lines.append("      " + paint("! \(issue.field)\(issue.offset.map { " at byte \($0)" } ?? ""): \(issue.message)", "31;1"))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func headline(_ packet: DissectedPacket) -> String {
        let passed = packet.packet.timeNanoseconds - start
        let number = String(packet.number)
        let seconds = passed / 1_000_000_000
        let micro = String(passed % 1_000_000_000 / 1000)
        let time = "\(seconds)." + String(repeating: "0", count: max(0, 6 - micro.count)) + micro
        var line = String(repeating: " ", count: max(0, 5 - number.count)) + paint(number, "1") + "  " + time + "  "
        line += "\(packet.packet.source) > \(packet.packet.destination)  "
        line += paint(packet.summary.isEmpty ? packet.kind.name : packet.summary, color(packet))
        if packet.packet.timeToLive > 0, packet.packet.timeToLive < 32 { line += "  ttl \(packet.packet.timeToLive)" }
        if !packet.labels.isEmpty { line += "  " + paint("(" + packet.labels.joined(separator: "; ") + ")", "2") }
        return line
    }

    private func color(_ packet: DissectedPacket) -> String {
        switch packet.kind {
        case .udx: "36"
        case .dhtRequest: "33"
        case .dhtResponse: "32"
        case .kadepy: "31"
        default: "35"
        }
    }

    private func append(_ unit: Unit, _ lines: inout [String]) {
        let origin = unit.isWire ? "" : "  " + paint("decrypted", "2")
        let notes = unit.notes.isEmpty ? "" : "  " + paint("[" + unit.notes.joined(separator: "; ") + "]", "2")
        lines.append("      " + paint(unit.layer.rawValue, "1") + "  \(unit.name)\(origin)\(notes)")
        let width = unit.fields.reduce(0) { max($0, $1.name.description.count + 2 * Int($1.depth) + ($1.index >= 0 ? 4 : 0)) }
        for record in unit.fields {
            let indent = String(repeating: "  ", count: Int(record.depth))
            let name = record.name.description + (record.index >= 0 ? "[\(record.index)]" : "")
            let label = indent + name
            let value = record.value == .group ? "" : text(record, unit)
            var line = "        " + label + String(repeating: " ", count: max(1, width + 2 - label.count)) + value
            if detail == .bytes { line += "  " + paint("[\(record.prefixStart)..\(record.end))", "2") }
            lines.append(line.hasSuffix(" ") ? String(line.reversed().drop { $0 == " " }.reversed()) : line)
        }
    }

    private func text(_ record: FieldRecord, _ unit: Unit) -> String {
        switch record.value {
        case .uint(let value): return FieldText.meaning(record.name.description, value, unit).map { "\(value)  (\($0))" } ?? "\(value)"
        case .int(let value): return "\(value)"
        case .double(let value): return "\(value)"
        case .bool(let value): return "\(value)"
        case .endpoint(let value): return "\(value)"
        case .address(let value): return "\(value)"
        case .group: return ""
        case .string:
            return "\"" + String(decoding: unit.bytes[record.range.clamped(to: 0..<unit.bytes.count)], as: UTF8.self) + "\""
        case .bytes: return bytes(Array(unit.bytes[record.range.clamped(to: 0..<unit.bytes.count)]))
        }
    }

    private func bytes(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "(empty)" }
        let limit = detail == .bytes ? 4096 : 32
        var text = Hex.encode(bytes.prefix(limit))
        if bytes.count > limit { text += "... \(bytes.count) bytes" }
        if bytes.count <= 256, bytes.count >= 3, bytes.allSatisfy({ (32..<127).contains($0) }) {
            text += "  \"" + String(decoding: bytes, as: UTF8.self) + "\""
        }
        return text
    }
}
