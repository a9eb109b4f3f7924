import CompactEncoding

/// What dissections of variants of one capture have in common, so that it is worked out once: packets that did not change, signatures that
/// were judged before, handshakes recomputed. For campaigns that damage one byte at a time; not for use from two threads at once.
public final class DissectionMemory {
    var packets: [(packet: DissectedPacket, issues: [Issue])] = []
    /// By everything that the verdict depends on.
    var signatures: [[UInt8]: Bool] = [:]
    /// By index in the key log.
    var recomputations: [Int: TraceDissector.Recomputation] = [:]
    var tokens: [Bytes32: TraceDissector.TokenOrigin]?

    public init() {}

    func signature(_ key: @autoclosure () -> [UInt8], _ judge: () -> Bool) -> Bool {
        let key = key()
        if let known = signatures[key] { return known }
        let verdict = judge()
        if signatures.count < 100_000 { signatures[key] = verdict }
        return verdict
    }
}
