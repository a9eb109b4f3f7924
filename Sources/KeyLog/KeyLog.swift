import CompactEncoding
import SansIO
import StrictJSON

/// The secrets of one run, `hyperswarm-keylog/2`: what a captured packet can be opened and checked with.
///
/// A file is JSON lines; the first is a header with the schema. Reading is strict: another schema, an unknown type or key, a missing or
/// malformed value is an error that names line and offset. Files written one after the other may be joined: further headers are accepted.
public struct KeyLog: Sendable {
    public static let schema = "hyperswarm-keylog/2"

    public var entries: [KeyLogEntry]

    public init(entries: [KeyLogEntry] = []) { self.entries = entries }

    public init(parsing text: [UInt8], file: String) throws(KeyLogError) {
        let lines = try StrictLine.parse(text, file: file)
        guard let first = lines.first else {
            throw KeyLogError("the key log is empty: a header is expected", file: file, line: 0, offset: 0)
        }
        var entries: [KeyLogEntry] = []
        for (index, value) in lines.enumerated() {
            var line = try StrictLine(value.json, file: file, line: value.line)
            let type = try line.string("type")
            let time = Instant(microseconds: try line.integer("t"))
            if type == "header" {
                let schema = try line.string("schema")
                guard schema == KeyLog.schema else {
                    throw line.failure("schema \"\(KeyLog.schema)\" is expected, not \"\(schema)\"", at: "schema")
                }
            } else if index == 0 {
                throw KeyLogError("the first line must be the header", file: file, line: first.line, offset: first.json.offset)
            } else {
                entries.append(KeyLogEntry(time: time, record: try KeyLogRecord(type: type, &line)))
            }
            try line.finish()
        }
        self.entries = entries
    }

    /// The file's text, header first. `headerTime` is the header's `t`.
    public func text(headerTime: Instant) -> String {
        var text = KeyLog.header(at: headerTime) + "\n"
        for entry in entries { text += entry.line + "\n" }
        return text
    }

    /// The first line of a file, without its line end.
    public static func header(at time: Instant) -> String {
        JSON.object(JSONObject(["type": "header", "t": .integer(time.microseconds), "schema": .string(schema)])).text()
    }

    /// Without what outlives the run: long-term secret keys are left out of `noise` and `noise-ephemeral` lines. What the lines say of
    /// sessions stays, so finished handshakes can no longer be recomputed but streams can still be opened.
    public func withoutStaticSecrets() -> KeyLog {
        KeyLog(
            entries: entries.map { entry in
                var entry = entry
                switch entry.record {
                case .noiseEphemeral(var record):
                    record.staticSecretKey = nil
                    entry.record = .noiseEphemeral(record)
                case .noise(var record):
                    record.staticSecretKey = nil
                    entry.record = .noise(record)
                default: break
                }
                return entry
            })
    }

    /// True if a line holds a long-term secret key.
    public var holdsStaticSecrets: Bool {
        entries.contains { entry in
            switch entry.record {
            case .noiseEphemeral(let record): record.staticSecretKey != nil
            case .noise(let record): record.staticSecretKey != nil
            default: false
            }
        }
    }
}

/// One line of a key log.
public struct KeyLogEntry: Sendable, Equatable {
    /// Microseconds since 1970, in the captures' clock.
    public var time: Instant
    public var record: KeyLogRecord

    public init(time: Instant, record: KeyLogRecord) {
        self.time = time
        self.record = record
    }

    /// The line's text, without its line end.
    public var line: String {
        var object = JSONObject(["type": .string(record.type), "t": .integer(time.microseconds)])
        record.write(to: &object)
        return JSON.object(object).text()
    }
}
