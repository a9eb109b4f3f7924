/// The 32-bit id that one end chose for its side of a stream. A packet carries the receiver's. udx.md section 1.
public struct StreamID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: UInt32

    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public var description: String { "\(rawValue)" }
    @inlinable public static func < (a: StreamID, b: StreamID) -> Bool { a.rawValue < b.rawValue }
}
