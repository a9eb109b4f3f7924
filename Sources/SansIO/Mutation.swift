import CMutation

/// One wire bug that the harness can plant in the stack, named after the requirement that it breaks: `Mutation.udx(15)` breaks UDX-15.
///
/// A mutation point stands beside the line that carries the rule, so searching for the id finds both:
///
///     if Mutation.udx(15).isActive { return }  // no ACK
///
/// Points exist only where the package trait `MutationPoints` is on (the harness's default); for an application without it they fold away.
/// The active mutation belongs to a thread, so checks may run in parallel.
public struct Mutation: Hashable, Sendable {
    public enum Layer: UInt32, Sendable {
        case noise = 1, secretStream, protomux, blindRelay, udx, dhtRPC, hyperDHT, hyperswarm
    }

    public let code: UInt32

    /// `variant` tells several bugs against one requirement apart; lettered requirements (UDX-34b) use 1 for a, 2 for b, and so on.
    @inlinable public init(_ layer: Layer, _ number: UInt32, _ variant: UInt32 = 0) {
        code = layer.rawValue << 24 | (number & 0xffff) << 8 | variant & 0xff
    }

    /// A code that another process was told.
    public init(code: UInt32) { self.code = code }

    @inlinable public static func noise(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.noise, number, variant) }
    @inlinable public static func secretStream(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation {
        Mutation(.secretStream, number, variant)
    }
    @inlinable public static func protomux(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.protomux, number, variant) }
    @inlinable public static func blindRelay(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.blindRelay, number, variant) }
    @inlinable public static func udx(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.udx, number, variant) }
    @inlinable public static func dhtRPC(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.dhtRPC, number, variant) }
    @inlinable public static func hyperDHT(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.hyperDHT, number, variant) }
    @inlinable public static func hyperswarm(_ number: UInt32, _ variant: UInt32 = 0) -> Mutation { Mutation(.hyperswarm, number, variant) }

    /// True while the harness has planted this bug on the current thread.
    @inlinable public var isActive: Bool {
        #if MUTATION_POINTS
            hyperconform_mutation_get() == code
        #else
            false
        #endif
    }

    /// Whether this build has mutation points at all.
    public static var pointsExist: Bool {
        #if MUTATION_POINTS
            true
        #else
            false
        #endif
    }

    /// True while any bug is planted on the current thread: what was worked out before must not be reused.
    public static var isAnyActive: Bool {
        #if MUTATION_POINTS
            hyperconform_mutation_get() != 0
        #else
            false
        #endif
    }

    /// Plants this bug on every thread of the process for the rest of its life: a peer that lies, for tests of a harness.
    public func plantEverywhere() { hyperconform_mutation_set_everywhere(code) }

    /// Runs `body` with this bug planted on the current thread, and takes it out again.
    public func plant<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = hyperconform_mutation_get()
        hyperconform_mutation_set(code)
        defer { hyperconform_mutation_set(before) }
        return try body()
    }
}
