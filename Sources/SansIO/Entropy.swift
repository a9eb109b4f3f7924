/// What a random draw is for. The reference's order of draws is not ours, so replay finds a recorded draw by its label.
public struct EntropyLabel: Hashable, Sendable, CustomStringConvertible {
    public enum Purpose: UInt8, Sendable, CaseIterable {
        case noiseEphemeral, keyPair, streamID, transactionID, firstTransactionID, tokenSecret, tableID, tick, refreshTick
        case holepunchNonce, holepunchSecret, punchPort, secretStreamHeader, boxCounter, relayToken, recordChoice, refreshTarget
        case jitter, shuffle, socketPort, relayChoice
        /// Draws of the simulator itself: loss, delay, order.
        case network
        /// Draws of tests.
        case test
    }

    public let purpose: Purpose
    /// Which one: a stream id, a handshake slot, a key's hash...; 0 where there is only one.
    public let context: UInt64

    @inlinable public init(_ purpose: Purpose, _ context: UInt64 = 0) {
        self.purpose = purpose
        self.context = context
    }

    public var description: String { "\(purpose)/\(context)" }
}

/// The only source of randomness of the protocol floors. A reference type, so that a node and its streams share one.
public protocol Entropy: AnyObject {
    /// `count` bytes for the labelled purpose.
    func bytes(_ count: Int, for label: EntropyLabel) -> [UInt8]
}

extension Entropy {
    public func uint32(for label: EntropyLabel) -> UInt32 {
        bytes(4, for: label).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    public func uint64(for label: EntropyLabel) -> UInt64 {
        bytes(8, for: label).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Uniform in 0 ..< bound; 0 if the bound is 0.
    public func uniform(below bound: UInt64, for label: EntropyLabel) -> UInt64 {
        guard bound > 1 else { return 0 }
        // The high half of a 128-bit product is uniform but for a bias below bound / 2^64.
        return uint64(for: label).multipliedFullWidth(by: bound).high
    }

    /// Uniform in [0, 1), 53 bits.
    public func unit(for label: EntropyLabel) -> Double { Double(uint64(for: label) >> 11) * 0x1p-53 }
}

/// Deterministic entropy for simulation and replay: each label has its own stream, so draws for one purpose never move another's.
/// Not cryptographic.
public final class SeededEntropy: Entropy {
    private let seed: UInt64
    private var streams: [EntropyLabel: UInt64] = [:]
    private var injected: [EntropyLabel.Purpose: [[UInt8]]] = [:]

    public init(seed: UInt64) { self.seed = seed }

    /// The next draw for this purpose, whatever its context, returns these bytes (cut or zero-padded to the length asked for).
    public func inject(_ bytes: [UInt8], for purpose: EntropyLabel.Purpose) { injected[purpose, default: []].append(bytes) }

    /// Injected draws that nothing has asked for.
    public func pending(for purpose: EntropyLabel.Purpose) -> Int { injected[purpose]?.count ?? 0 }

    public func bytes(_ count: Int, for label: EntropyLabel) -> [UInt8] {
        if var queue = injected[label.purpose], !queue.isEmpty {
            let next = queue.removeFirst()
            injected[label.purpose] = queue
            return Array(next.prefix(count)) + [UInt8](repeating: 0, count: max(0, count - next.count))
        }
        var state =
            streams[label]
            ?? SeededEntropy.mix(
                seed &+ SeededEntropy.mix(UInt64(label.purpose.rawValue) &+ 1) &+ SeededEntropy.mix(label.context ^ 0x5bd1_e995))
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = SeededEntropy.mix(state)
            for _ in 0..<min(8, count - result.count) {
                result.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        streams[label] = state
        return result
    }

    /// The finaliser of SplitMix64.
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
