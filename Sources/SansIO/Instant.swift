/// A point in virtual or real time: microseconds since an epoch that the driver chooses.
public struct Instant: Hashable, Comparable, Sendable {
    public let microseconds: Int64

    @inlinable public init(microseconds: Int64) { self.microseconds = microseconds }

    /// The driver's epoch.
    public static let zero = Instant(microseconds: 0)
    /// Later than every wake-up: "never".
    public static let distantFuture = Instant(microseconds: .max)

    /// Whole milliseconds since the epoch, rounded down as the reference's clock does.
    @inlinable public var milliseconds: Int64 { microseconds / 1000 }

    @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.microseconds < b.microseconds }

    /// Saturates at `distantFuture` and never traps.
    @inlinable public static func + (a: Instant, b: Interval) -> Instant {
        let (sum, overflow) = a.microseconds.addingReportingOverflow(b.microseconds)
        return overflow ? (b.microseconds > 0 ? .distantFuture : Instant(microseconds: .min)) : Instant(microseconds: sum)
    }

    @inlinable public static func - (a: Instant, b: Interval) -> Instant { a + Interval(microseconds: 0 &- b.microseconds) }

    @inlinable public static func - (a: Instant, b: Instant) -> Interval {
        let (difference, overflow) = a.microseconds.subtractingReportingOverflow(b.microseconds)
        return Interval(microseconds: overflow ? (a > b ? .max : .min) : difference)
    }
}

/// A span of time in microseconds.
public struct Interval: Hashable, Comparable, Sendable {
    public let microseconds: Int64

    @inlinable public init(microseconds: Int64) { self.microseconds = microseconds }

    public static let zero = Interval(microseconds: 0)

    @inlinable public static func microseconds(_ n: Int64) -> Interval { Interval(microseconds: n) }
    @inlinable public static func milliseconds(_ n: Int64) -> Interval {
        let (product, overflow) = n.multipliedReportingOverflow(by: 1000)
        return Interval(microseconds: overflow ? (n > 0 ? .max : .min) : product)
    }
    @inlinable public static func seconds(_ n: Int64) -> Interval {
        let (product, overflow) = n.multipliedReportingOverflow(by: 1_000_000)
        return Interval(microseconds: overflow ? (n > 0 ? .max : .min) : product)
    }

    /// Whole milliseconds, rounded towards zero.
    @inlinable public var milliseconds: Int64 { microseconds / 1000 }

    @inlinable public static func < (a: Interval, b: Interval) -> Bool { a.microseconds < b.microseconds }
    @inlinable public static func + (a: Interval, b: Interval) -> Interval {
        let (sum, overflow) = a.microseconds.addingReportingOverflow(b.microseconds)
        return Interval(microseconds: overflow ? (b.microseconds > 0 ? .max : .min) : sum)
    }
    @inlinable public static func * (a: Interval, n: Int64) -> Interval {
        let (product, overflow) = a.microseconds.multipliedReportingOverflow(by: n)
        return Interval(microseconds: overflow ? .max : product)
    }
}
