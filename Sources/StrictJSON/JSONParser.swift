/// Why a text is not the JSON that we accept.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    public let message: String
    /// Byte offset in the text.
    public let offset: Int

    public init(_ message: String, at offset: Int) {
        self.message = message
        self.offset = offset
    }

    public var description: String { "\(message) at offset \(offset)" }
}

extension JSON {
    /// Parses exactly one value. Doubled keys, trailing bytes, invalid UTF-8, and nesting deeper than 64 are errors:
    /// other parsers take the first or the last of two equal keys, so a file that has them says two things.
    public static func parse(_ text: [UInt8]) throws(JSONError) -> JSON {
        var parser = JSONParser(text: text)
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.offset == text.count else { throw JSONError("unexpected bytes after the JSON value", at: parser.offset) }
        return value
    }

    public static func parse(_ text: String) throws(JSONError) -> JSON { try parse(Array(text.utf8)) }

    /// One value a line; empty lines are skipped. Offsets are those of the whole text.
    public static func parseLines(_ text: [UInt8]) throws(JSONError) -> [JSON] {
        var values: [JSON] = []
        var start = 0
        while start < text.count {
            let end = text[start...].firstIndex(of: 10) ?? text.count
            var parser = JSONParser(text: text, offset: start, end: end)
            parser.skipSpace()
            if parser.offset < end {
                values.append(try parser.value(depth: 0))
                parser.skipSpace()
                guard parser.offset == end else { throw JSONError("unexpected bytes after the JSON value", at: parser.offset) }
            }
            start = end + 1
        }
        return values
    }
}

struct JSONParser {
    let text: [UInt8]
    var offset = 0
    let end: Int

    init(text: [UInt8], offset: Int = 0, end: Int? = nil) {
        self.text = text
        self.offset = offset
        self.end = end ?? text.count
    }

    private var current: UInt8? { offset < end ? text[offset] : nil }

    mutating func skipSpace() {
        while let byte = current, byte == 32 || byte == 9 || byte == 10 || byte == 13 { offset += 1 }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSON {
        guard depth <= 64 else { throw JSONError("nested deeper than 64", at: offset) }
        skipSpace()
        let at = offset
        guard let first = current else { throw JSONError("a value is missing", at: offset) }
        switch first {
        case UInt8(ascii: "{"): return JSON(.object(try object(depth: depth)), offset: at)
        case UInt8(ascii: "["): return JSON(.array(try array(depth: depth)), offset: at)
        case UInt8(ascii: "\""): return JSON(.string(try string()), offset: at)
        case UInt8(ascii: "t"): return JSON(try word("true", .bool(true)), offset: at)
        case UInt8(ascii: "f"): return JSON(try word("false", .bool(false)), offset: at)
        case UInt8(ascii: "n"): return JSON(try word("null", .null), offset: at)
        case UInt8(ascii: "-"), 48...57: return JSON(try number(), offset: at)
        default: throw JSONError("unexpected byte 0x\(String(first, radix: 16))", at: offset)
        }
    }

    private mutating func word(_ text: String, _ kind: JSON.Kind) throws(JSONError) -> JSON.Kind {
        let bytes = Array(text.utf8)
        guard offset + bytes.count <= end, Array(self.text[offset..<offset + bytes.count]) == bytes else {
            throw JSONError("unexpected text", at: offset)
        }
        offset += bytes.count
        return kind
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        offset += 1
        var result = JSONObject()
        var seen: Set<String> = []
        skipSpace()
        if current == UInt8(ascii: "}") {
            offset += 1
            return result
        }
        while true {
            skipSpace()
            let at = offset
            guard current == UInt8(ascii: "\"") else { throw JSONError("a key is missing", at: offset) }
            let key = try string()
            guard seen.insert(key).inserted else { throw JSONError("the key \"\(key)\" stands twice in one object", at: at) }
            skipSpace()
            guard current == UInt8(ascii: ":") else { throw JSONError("':' is missing after the key \"\(key)\"", at: offset) }
            offset += 1
            result.append(.init(key: key, value: try value(depth: depth + 1), offset: at))
            skipSpace()
            switch current {
            case UInt8(ascii: ","): offset += 1
            case UInt8(ascii: "}"):
                offset += 1
                return result
            default: throw JSONError("',' or '}' is missing", at: offset)
            }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSON] {
        offset += 1
        var result: [JSON] = []
        skipSpace()
        if current == UInt8(ascii: "]") {
            offset += 1
            return result
        }
        while true {
            result.append(try value(depth: depth + 1))
            skipSpace()
            switch current {
            case UInt8(ascii: ","): offset += 1
            case UInt8(ascii: "]"):
                offset += 1
                return result
            default: throw JSONError("',' or ']' is missing", at: offset)
            }
        }
    }

    private mutating func number() throws(JSONError) -> JSON.Kind {
        let at = offset
        var integral = true
        if current == UInt8(ascii: "-") { offset += 1 }
        let digits = offset
        while let byte = current, (48...57).contains(byte) { offset += 1 }
        guard offset > digits else { throw JSONError("a digit is missing", at: offset) }
        if text[digits] == 48, offset - digits > 1 { throw JSONError("a number must not begin with 0", at: digits) }
        if current == UInt8(ascii: ".") {
            integral = false
            offset += 1
            let fraction = offset
            while let byte = current, (48...57).contains(byte) { offset += 1 }
            guard offset > fraction else { throw JSONError("a digit is missing", at: offset) }
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            integral = false
            offset += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            let exponent = offset
            while let byte = current, (48...57).contains(byte) { offset += 1 }
            guard offset > exponent else { throw JSONError("a digit is missing", at: offset) }
        }
        let literal = String(decoding: text[at..<offset], as: UTF8.self)
        if integral, let value = Int64(literal) { return .integer(value) }
        guard let value = Double(literal), value.isFinite else { throw JSONError("the number \(literal) is out of range", at: at) }
        return .number(value)
    }

    private mutating func string() throws(JSONError) -> String {
        let at = offset
        offset += 1
        var bytes: [UInt8] = []
        while let byte = current {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let result = String(validating: bytes, as: UTF8.self) else { throw JSONError("invalid UTF-8 in a string", at: at) }
                return result
            case UInt8(ascii: "\\"):
                guard let escape = current else { throw JSONError("unfinished escape", at: offset) }
                offset += 1
                switch escape {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(escape)
                case UInt8(ascii: "b"): bytes.append(8)
                case UInt8(ascii: "f"): bytes.append(12)
                case UInt8(ascii: "n"): bytes.append(10)
                case UInt8(ascii: "r"): bytes.append(13)
                case UInt8(ascii: "t"): bytes.append(9)
                case UInt8(ascii: "u"):
                    var scalar = try hex4()
                    if (0xd800..<0xdc00).contains(scalar) {
                        guard current == UInt8(ascii: "\\"), offset + 1 < end, text[offset + 1] == UInt8(ascii: "u") else {
                            throw JSONError("half a surrogate pair", at: offset)
                        }
                        offset += 2
                        let low = try hex4()
                        guard (0xdc00..<0xe000).contains(low) else { throw JSONError("half a surrogate pair", at: offset) }
                        scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
                    }
                    guard let unicode = Unicode.Scalar(scalar) else { throw JSONError("half a surrogate pair", at: offset) }
                    bytes.append(contentsOf: String(Character(unicode)).utf8)
                default: throw JSONError("unknown escape", at: offset - 1)
                }
            case 0..<32: throw JSONError("a control character in a string", at: offset - 1)
            default: bytes.append(byte)
            }
        }
        throw JSONError("a string without its end", at: at)
    }

    private mutating func hex4() throws(JSONError) -> UInt32 {
        // Digits alone: a number may begin with a sign, an escape may not.
        guard offset + 4 <= end, text[offset..<offset + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let value = UInt32(String(decoding: text[offset..<offset + 4], as: UTF8.self), radix: 16)
        else { throw JSONError("four hexadecimal digits are missing", at: offset) }
        offset += 4
        return value
    }
}
