import CompactEncoding
import KeyLog
import SansIO
import StrictJSON

/// What the run took in besides packets, `hyperswarm-inputs/1`: calls of the public API and random draws.
public struct RecordedInput: Sendable {
    public static let schema = "hyperswarm-inputs/1"

    public enum Kind: Sendable {
        /// A call of `method` on an `object` class; `id` tells which object.
        case call(object: String, id: JSON, method: String, arguments: [JSON])
        /// A random draw. `source` is the reference's function; `at`, `line`, `function` say where in the reference it was made.
        case draw(source: String, at: String, line: Int, function: String, value: Draw)
    }

    public enum Draw: Sendable, Equatable {
        case bytes([UInt8])
        /// Uniform in [0, 1).
        case unit(Double)
    }

    public let time: Instant
    public let kind: Kind
    /// Line number in the file.
    public let line: Int

    public static func parse(_ text: [UInt8], file: String) throws(KeyLogError) -> [RecordedInput] {
        var result: [RecordedInput] = []
        for (index, value) in try StrictLine.parse(text, file: file).enumerated() {
            var line = try StrictLine(value.json, file: file, line: value.line)
            let time = Instant(microseconds: try line.integer("t"))
            let kind = try line.string("kind")
            guard index > 0 || kind == "header" else { throw line.failure("the first line must be the header") }
            switch kind {
            case "header":
                let schema = try line.string("schema")
                guard schema == RecordedInput.schema else {
                    throw line.failure("schema \"\(RecordedInput.schema)\" is expected, not \"\(schema)\"", at: "schema")
                }
            case "call":
                guard let arguments = try line.value("args").array else { throw line.failure("\"args\" must be an array", at: "args") }
                result.append(
                    RecordedInput(
                        time: time,
                        kind: .call(
                            object: try line.string("object"), id: try line.value("id"), method: try line.string("method"),
                            arguments: arguments), line: value.line))
            case "draw":
                let draw: Draw
                if let value = line.optional("value") {
                    guard let number = value.double, (0..<1).contains(number) else {
                        throw line.failure("\"value\" must be a number from 0 up to, but not including, 1", at: "value")
                    }
                    draw = .unit(number)
                } else {
                    draw = .bytes(try line.bytes("bytes"))
                }
                result.append(
                    RecordedInput(
                        time: time,
                        kind: .draw(
                            source: try line.string("source"), at: try line.string("at"),
                            line: Int(clamping: try line.integer("line")), function: try line.string("function"), value: draw),
                        line: value.line))
            default: throw line.failure("unknown kind \"\(kind)\"", at: "kind")
            }
            try line.finish()
        }
        return result
    }
}

/// What an application saw or did. `t`, `who` and `event` are always there; the rest belongs to the event.
public struct RecordedEvent: Sendable {
    public let time: Instant
    /// The peer's name in the manifest.
    public let who: String
    public let event: String
    public let details: JSONObject
    public let line: Int

    public static func parse(_ text: [UInt8], file: String) throws(KeyLogError) -> [RecordedEvent] {
        var result: [RecordedEvent] = []
        for value in try StrictLine.parse(text, file: file) {
            var line = try StrictLine(value.json, file: file, line: value.line)
            let time = Instant(microseconds: try line.integer("t"))
            let who = try line.string("who")
            let event = try line.string("event")
            var details = JSONObject()
            for member in line.object.members where !["t", "who", "event"].contains(member.key) { details.set(member.key, member.value) }
            result.append(RecordedEvent(time: time, who: who, event: event, details: details, line: value.line))
        }
        return result
    }
}
