/// Why bytes do not decode: kind, where, and which field was being read.
public struct DecodingFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        /// Fewer bytes remain than the field needs.
        case outOfBounds = "out of bounds"
        /// An integer above 2^53 - 1, which the reference refuses.
        case integerTooLarge = "integer above 2^53-1"
        /// An array count above 0x100000.
        case arrayTooLong = "array too long"
        /// A value that the message's rules do not allow.
        case invalidValue = "invalid value"
        /// A version or magic that is not ours.
        case unknownVersion = "unknown version"
        /// Text that is not UTF-8 where it must be.
        case invalidText = "invalid text"
        /// Bytes after the end where none may be.
        case trailingBytes = "trailing bytes"
    }

    public let kind: Kind
    /// Offset in the bytes that were decoded.
    public let offset: Int
    public let field: String

    public init(_ kind: Kind, at offset: Int, field: StaticString) {
        self.kind = kind
        self.offset = offset
        self.field = field.description
    }

    public var description: String { "\(kind.rawValue) at offset \(offset), field \(field)" }
}
