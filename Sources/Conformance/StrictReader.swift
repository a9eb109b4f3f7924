import StrictJSON

/// Reads our own JSON formats without mercy: every key is known, every value has its type, every complaint names file and offset.
public struct StrictReader: Sendable {
    public let file: String

    public init(file: String) { self.file = file }

    public func error(_ message: String, at value: JSON?) -> CorpusError {
        CorpusError(message, file: file, offset: value.flatMap { $0.offset >= 0 ? $0.offset : nil })
    }

    public func parse(_ text: [UInt8]) throws -> JSON {
        do { return try JSON.parse(text) } catch { throw CorpusError(error.message, file: file, offset: error.offset) }
    }

    /// An object that has every one of `keys`, perhaps some of `optional`, and nothing else.
    public func object(_ value: JSON, keys: [String], optional: [String] = []) throws -> StrictObject {
        guard let object = value.object else { throw error("an object is expected", at: value) }
        if let unknown = object.firstUnknown(Set(keys + optional)) {
            throw CorpusError("unknown key \"\(unknown.key)\"", file: file, offset: unknown.offset)
        }
        if let missing = keys.first(where: { object[$0] == nil }) { throw error("the key \"\(missing)\" is missing", at: value) }
        return StrictObject(reader: self, value: value)
    }

    /// A string that is one of the cases' raw values.
    public func choice<T: RawRepresentable>(_ value: JSON, _ cases: [T], _ what: String) throws -> T where T.RawValue == String {
        guard let text = value.string else { throw error("a \(what) is expected", at: value) }
        guard let found = cases.first(where: { $0.rawValue == text }) else {
            throw error("unknown \(what) \"\(text)\": it must be one of \(cases.map(\.rawValue).joined(separator: ", "))", at: value)
        }
        return found
    }
}

/// An object whose keys have been checked.
public struct StrictObject: Sendable {
    public let reader: StrictReader
    public let value: JSON

    public subscript(_ key: String) -> JSON? { value[key] }

    public func member(_ key: String) throws -> JSON {
        guard let member = value[key] else { throw reader.error("the key \"\(key)\" is missing", at: value) }
        return member
    }

    public func string(_ key: String) throws -> String {
        guard let text = try member(key).string else { throw reader.error("\"\(key)\" must be a string", at: value[key]) }
        return text
    }

    public func optionalString(_ key: String) throws -> String? {
        guard let member = value[key] else { return nil }
        guard let text = member.string else { throw reader.error("\"\(key)\" must be a string", at: member) }
        return text
    }

    /// A non-negative integer.
    public func count(_ key: String) throws -> Int {
        guard let number = try member(key).integer, number >= 0 else {
            throw reader.error("\"\(key)\" must be an integer that is not negative", at: value[key])
        }
        return Int(number)
    }

    public func number(_ key: String) throws -> Double {
        guard let number = try member(key).double else { throw reader.error("\"\(key)\" must be a number", at: value[key]) }
        return number
    }

    public func optionalNumber(_ key: String) throws -> Double? { try member(key).isNull ? nil : try number(key) }

    public func array(_ key: String) throws -> [JSON] {
        guard let array = try member(key).array else { throw reader.error("\"\(key)\" must be an array", at: value[key]) }
        return array
    }

    public func strings(_ key: String) throws -> [String] {
        try array(key).map {
            guard let text = $0.string else { throw reader.error("\"\(key)\" must hold strings", at: $0) }
            return text
        }
    }
}
