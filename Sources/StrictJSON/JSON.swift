/// A JSON value that remembers where it stood, so that every complaint can name file and offset.
public struct JSON: Sendable {
    public indirect enum Kind: Sendable {
        case null
        case bool(Bool)
        /// A number without fraction or exponent that fits.
        case integer(Int64)
        case number(Double)
        case string(String)
        case array([JSON])
        case object(JSONObject)
    }

    public let kind: Kind
    /// Byte offset of the value's first byte in the parsed text; -1 for values made in code.
    public let offset: Int

    public init(_ kind: Kind, offset: Int = -1) {
        self.kind = kind
        self.offset = offset
    }

    public var string: String? { if case .string(let value) = kind { value } else { nil } }
    public var integer: Int64? { if case .integer(let value) = kind { value } else { nil } }
    public var bool: Bool? { if case .bool(let value) = kind { value } else { nil } }
    public var array: [JSON]? { if case .array(let value) = kind { value } else { nil } }
    public var object: JSONObject? { if case .object(let value) = kind { value } else { nil } }
    public var isNull: Bool { if case .null = kind { true } else { false } }
    /// Any number.
    public var double: Double? {
        switch kind {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// A member of an object, or nil.
    public subscript(_ key: String) -> JSON? { object?[key] }
}

/// Members in the order in which they stood. Keys are unique: the parser refuses a doubled one.
public struct JSONObject: Sendable {
    public struct Member: Sendable {
        public let key: String
        public let value: JSON
        /// Offset of the key's opening quote.
        public let offset: Int
    }

    public private(set) var members: [Member] = []

    public init() {}
    public init(_ members: KeyValuePairs<String, JSON>) { for (key, value) in members { set(key, value) } }

    public var keys: [String] { members.map(\.key) }

    public subscript(_ key: String) -> JSON? { members.first { $0.key == key }?.value }

    /// Adds or replaces a member.
    public mutating func set(_ key: String, _ value: JSON) {
        let member = Member(key: key, value: value, offset: -1)
        if let index = members.firstIndex(where: { $0.key == key }) { members[index] = member } else { members.append(member) }
    }

    mutating func append(_ member: Member) { members.append(member) }

    /// The first member whose key is not in `known`.
    public func firstUnknown(_ known: Set<String>) -> Member? { members.first { !known.contains($0.key) } }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByFloatLiteral
{
    public init(stringLiteral value: String) { self.init(.string(value)) }
    public init(integerLiteral value: Int64) { self.init(.integer(value)) }
    public init(booleanLiteral value: Bool) { self.init(.bool(value)) }
    public init(floatLiteral value: Double) { self.init(.number(value)) }
    public init(nilLiteral: ()) { self.init(.null) }
    public init(arrayLiteral elements: JSON...) { self.init(.array(elements)) }
    public init(dictionaryLiteral elements: (String, JSON)...) {
        var object = JSONObject()
        for (key, value) in elements { object.set(key, value) }
        self.init(.object(object))
    }

    public static func string(_ value: String) -> JSON { JSON(.string(value)) }
    public static func integer(_ value: some BinaryInteger) -> JSON { JSON(.integer(Int64(clamping: value))) }
    public static func number(_ value: Double) -> JSON { JSON(.number(value)) }
    public static func bool(_ value: Bool) -> JSON { JSON(.bool(value)) }
    public static func array(_ value: [JSON]) -> JSON { JSON(.array(value)) }
    public static func object(_ value: JSONObject) -> JSON { JSON(.object(value)) }
    public static let null = JSON(.null)
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSON)...) { for (key, value) in elements { set(key, value) } }
}

/// Compares content, not offsets; members in any order.
extension JSON: Equatable {
    public static func == (a: JSON, b: JSON) -> Bool {
        switch (a.kind, b.kind) {
        case (.null, .null): true
        case (.bool(let x), .bool(let y)): x == y
        case (.integer(let x), .integer(let y)): x == y
        case (.number(let x), .number(let y)): x == y
        case (.string(let x), .string(let y)): x == y
        case (.array(let x), .array(let y)): x == y
        case (.object(let x), .object(let y)): x.members.count == y.members.count && x.members.allSatisfy { y[$0.key] == $0.value }
        default: false
        }
    }
}
