import CompactEncoding
import StrictJSON

/// One JSON object whose every key must be asked for: what nothing asked for is an error, so a misspelt key is never overlooked.
public struct StrictLine {
    public let object: JSONObject
    public let file: String
    public let line: Int
    public let offset: Int
    private var seen: Set<String> = []

    public init(_ json: JSON, file: String, line: Int) throws(KeyLogError) {
        guard let object = json.object else {
            throw KeyLogError("an object is expected", file: file, line: line, offset: json.offset)
        }
        self.object = object
        self.file = file
        self.line = line
        offset = json.offset
    }

    public func failure(_ message: String, at key: String? = nil) -> KeyLogError {
        KeyLogError(message, file: file, line: line, offset: key.flatMap { object[$0]?.offset } ?? offset)
    }

    /// The member, or nil if it is absent; marks the key as known either way.
    public mutating func optional(_ key: String) -> JSON? {
        seen.insert(key)
        return object[key]
    }

    public mutating func value(_ key: String) throws(KeyLogError) -> JSON {
        guard let value = optional(key) else { throw failure("the key \"\(key)\" is missing") }
        return value
    }

    public mutating func string(_ key: String) throws(KeyLogError) -> String {
        guard let text = try value(key).string else { throw failure("\"\(key)\" must be a string", at: key) }
        return text
    }

    public mutating func integer(_ key: String) throws(KeyLogError) -> Int64 {
        guard let number = try value(key).integer else { throw failure("\"\(key)\" must be an integer", at: key) }
        return number
    }

    public mutating func bool(_ key: String) throws(KeyLogError) -> Bool {
        guard let flag = try value(key).bool else { throw failure("\"\(key)\" must be true or false", at: key) }
        return flag
    }

    public mutating func port(_ key: String) throws(KeyLogError) -> UInt16 {
        guard let port = UInt16(exactly: try integer(key)) else { throw failure("\"\(key)\" must be 0...65535", at: key) }
        return port
    }

    /// Lower-case hexadecimal, of exactly `count` bytes if that is given.
    public mutating func bytes(_ key: String, count: Int? = nil) throws(KeyLogError) -> [UInt8] {
        try hex(try value(key), key, count)
    }

    /// As `bytes`, but null (or an absent key) gives nil.
    public mutating func optionalBytes(_ key: String, count: Int? = nil) throws(KeyLogError) -> [UInt8]? {
        guard let value = optional(key), !value.isNull else { return nil }
        return try hex(value, key, count)
    }

    public mutating func bytes32(_ key: String) throws(KeyLogError) -> Bytes32 {
        guard let value = Bytes32(try bytes(key, count: 32)) else { throw failure("\"\(key)\" must be 32 bytes", at: key) }
        return value
    }

    public mutating func optionalBytes32(_ key: String) throws(KeyLogError) -> Bytes32? {
        guard let bytes = try optionalBytes(key, count: 32) else { return nil }
        return Bytes32(bytes)
    }

    /// Decodes a JSON string of hexadecimal digits that belongs to `key`.
    public func hex(_ value: JSON, _ key: String, _ count: Int?) throws(KeyLogError) -> [UInt8] {
        guard let text = value.string, let bytes = Hex.decode(text) else {
            throw KeyLogError("\"\(key)\" must be bytes in hexadecimal", file: file, line: line, offset: value.offset)
        }
        if let count, bytes.count != count {
            throw KeyLogError("\"\(key)\" must be \(count) bytes, not \(bytes.count)", file: file, line: line, offset: value.offset)
        }
        return bytes
    }

    /// Throws for the first key that nothing asked for.
    public func finish() throws(KeyLogError) {
        if let unknown = object.firstUnknown(seen) {
            throw KeyLogError("unknown key \"\(unknown.key)\"", file: file, line: line, offset: unknown.offset)
        }
    }

    /// Parses JSON lines; the line numbers count empty lines too.
    public static func parse(_ text: [UInt8], file: String) throws(KeyLogError) -> [(json: JSON, line: Int)] {
        let values: [JSON]
        do { values = try JSON.parseLines(text) } catch {
            throw KeyLogError(error.message, file: file, line: lineNumber(of: error.offset, in: text), offset: error.offset)
        }
        var result: [(json: JSON, line: Int)] = []
        result.reserveCapacity(values.count)
        var line = 1
        var at = 0
        for value in values {
            while at < min(value.offset, text.count) {
                if text[at] == 10 { line += 1 }
                at += 1
            }
            result.append((value, line))
        }
        return result
    }

    private static func lineNumber(of offset: Int, in text: [UInt8]) -> Int {
        1 + text.prefix(max(0, min(offset, text.count))).reduce(0) { $0 + ($1 == 10 ? 1 : 0) }
    }
}
