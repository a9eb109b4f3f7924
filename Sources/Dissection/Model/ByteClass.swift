/// What is known of one byte of a captured payload. Ordered: a byte's class only ever rises.
public enum ByteClass: UInt8, Sendable, CaseIterable, Comparable {
    /// Nothing accounts for it. A capture with such bytes proves nothing.
    case unexplained = 0
    /// Known to be beyond reading, for a reason that is given: ciphertext without a key, another project's cipher.
    case opaque
    /// Part of a decoded field.
    case field
    /// A hash, a tag or a signature over it was checked.
    case verified
    /// Opened with a key; its tag was checked.
    case decrypted

    public var name: String {
        switch self {
        case .unexplained: "unexplained"
        case .opaque: "opaque"
        case .field: "field"
        case .verified: "verified"
        case .decrypted: "decrypted"
        }
    }

    public static func < (a: ByteClass, b: ByteClass) -> Bool { a.rawValue < b.rawValue }
}

/// The class of each byte of one payload.
public struct ByteAccount: Sendable {
    public private(set) var classes: [ByteClass]
    /// Why bytes are opaque: reason and count, in the order in which they came up.
    public private(set) var opaqueReasons: [(reason: String, count: Int)] = []

    public init(count: Int) { classes = [ByteClass](repeating: .unexplained, count: count) }

    public mutating func mark(_ range: Range<Int>, _ kind: ByteClass) {
        for index in range.clamped(to: 0..<classes.count) where classes[index] < kind { classes[index] = kind }
    }

    public mutating func markOpaque(_ range: Range<Int>, _ reason: String) {
        var count = 0
        for index in range.clamped(to: 0..<classes.count) where classes[index] < .opaque {
            classes[index] = .opaque
            count += 1
        }
        if count > 0 { opaqueReasons.append((reason, count)) }
    }

    public func count(of kind: ByteClass) -> Int { classes.reduce(0) { $0 + ($1 == kind ? 1 : 0) } }
}
