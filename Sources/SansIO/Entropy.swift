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
    /// The same draw as `bytes`, up to eight of them as one little-endian integer: for draws too frequent for an array each.
    func word(_ count: Int, for label: EntropyLabel) -> UInt64
}

extension Entropy {
    public func word(_ count: Int, for label: EntropyLabel) -> UInt64 {
        bytes(min(8, count), for: label).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    public func uint32(for label: EntropyLabel) -> UInt32 { UInt32(truncatingIfNeeded: word(4, for: label)) }

    public func uint64(for label: EntropyLabel) -> UInt64 { word(8, for: label) }

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
    @exclusivity(unchecked) private var streams: [EntropyLabel: UInt64] = [:]
    /// Streams of labels without a context, by purpose.
    @exclusivity(unchecked) private var plain: [UInt64?] = []
    @exclusivity(unchecked) private var injected: [EntropyLabel.Purpose: [[UInt8]]] = [:]

    public init(seed: UInt64) { self.seed = seed }

    /// The next draw for this purpose, whatever its context, returns these bytes (cut or zero-padded to the length asked for).
    public func inject(_ bytes: [UInt8], for purpose: EntropyLabel.Purpose) { injected[purpose, default: []].append(bytes) }

    /// Injected draws that nothing has asked for.
    public func pending(for purpose: EntropyLabel.Purpose) -> Int { injected[purpose]?.count ?? 0 }

    public func bytes(_ count: Int, for label: EntropyLabel) -> [UInt8] {
        if let next = takeInjected(label.purpose) {
            return Array(next.prefix(count)) + [UInt8](repeating: 0, count: max(0, count - next.count))
        }
        var state = state(of: label)
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            state &+= SeededEntropy.step
            var word = SeededEntropy.mix(state)
            for _ in 0..<min(8, count - result.count) {
                result.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        keep(state, of: label)
        return result
    }

    public func word(_ count: Int, for label: EntropyLabel) -> UInt64 {
        let count = min(max(count, 0), 8)
        if let next = takeInjected(label.purpose) { return next.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        if count == 0 { return 0 }
        let state = state(of: label) &+ SeededEntropy.step
        keep(state, of: label)
        return SeededEntropy.mix(state) & (.max >> (64 - 8 * UInt64(count)))
    }

    private func takeInjected(_ purpose: EntropyLabel.Purpose) -> [UInt8]? {
        if injected.isEmpty { return nil }
        guard var queue = injected[purpose], !queue.isEmpty else { return nil }
        defer { injected[purpose] = queue }
        return queue.removeFirst()
    }

    private func state(of label: EntropyLabel) -> UInt64 {
        if label.context == 0 {
            let index = Int(label.purpose.rawValue)
            if index < plain.count, let state = plain[index] { return state }
        } else if let state = streams[label] {
            return state
        }
        return SeededEntropy.mix(
            seed &+ SeededEntropy.mix(UInt64(label.purpose.rawValue) &+ 1) &+ SeededEntropy.mix(label.context ^ 0x5bd1_e995))
    }

    private func keep(_ state: UInt64, of label: EntropyLabel) {
        guard label.context == 0 else {
            streams[label] = state
            return
        }
        let index = Int(label.purpose.rawValue)
        while plain.count <= index { plain.append(nil) }
        plain[index] = state
    }

    private static let step: UInt64 = 0x9e37_79b9_7f4a_7c15

    /// The finaliser of SplitMix64.
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
