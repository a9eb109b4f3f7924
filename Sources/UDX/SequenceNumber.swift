import SansIO

/// A packet's number: 32 bits that wrap, ordered by signed distance. udx.md section 1.
///
/// `a` is after `b` when the signed difference a - b is positive. The order is not transitive over more than 2^31 numbers,
/// so the type is not `Comparable`.
public struct SequenceNumber: Hashable, Sendable, CustomStringConvertible {
    public var rawValue: UInt32

    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// 0, where both directions of a stream begin unless told otherwise.
    public static let zero = SequenceNumber(0)

    /// Of two numbers that lie 2^31 apart each is before the other and neither is after, as in the reference.
    @inlinable public func isBefore(_ other: SequenceNumber) -> Bool { other.distance(to: self) < 0 }
    /// See `isBefore(_:)`.
    @inlinable public func isAfter(_ other: SequenceNumber) -> Bool { other.distance(to: self) > 0 }

    /// UDX-9. How many steps lead from here to `other`: negative when `other` is before.
    @inlinable public func distance(to other: SequenceNumber) -> Int {
        if Mutation.udx(9).isActive { return Int(other.rawValue) - Int(rawValue) }
        return Int(Int32(bitPattern: other.rawValue &- rawValue))
    }

    /// Modulo 2^32.
    @inlinable public func advanced(by count: Int) -> SequenceNumber {
        SequenceNumber(rawValue &+ UInt32(truncatingIfNeeded: count))
    }

    public var description: String { "\(rawValue)" }
}

extension SequenceNumber {
    @inlinable static func later(_ a: SequenceNumber, _ b: SequenceNumber) -> SequenceNumber { a.isAfter(b) ? a : b }
}
