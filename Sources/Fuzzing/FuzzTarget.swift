import CompactEncoding
import SansIO

/// Code that takes a peer's bytes: whatever they are, it must neither trap nor hang, and what it promises about them must hold.
public struct FuzzTarget: Sendable {
    /// `layer.message`, as in `udx.packet`; scripts of whole machines are `layer.script`.
    public let name: String
    /// Inputs to start from: small valid ones reach deep.
    public let seeds: @Sendable () -> [[UInt8]]
    /// Returns nil, or the sentence that says which promise was broken.
    public let run: @Sendable ([UInt8]) -> String?
    /// The same with a bug planted: a fuzzer, or a replay of the corpus, that finds nothing here would find nothing at all.
    public let runPlanted: @Sendable ([UInt8]) -> String?

    public init(
        _ name: String, seeds: @escaping @Sendable () -> [[UInt8]], planted: @escaping @Sendable ([UInt8]) -> String?,
        run: @escaping @Sendable ([UInt8]) -> String?
    ) {
        self.name = name
        self.seeds = seeds
        self.run = run
        runPlanted = planted
    }

    /// The planted bug is one of the stack's own mutation points: the target's promises must notice it.
    public init(
        _ name: String, planting mutation: Mutation, seeds: @escaping @Sendable () -> [[UInt8]],
        run: @escaping @Sendable ([UInt8]) -> String?
    ) {
        self.init(name, seeds: seeds, planted: { bytes in mutation.plant { run(bytes) } }, run: run)
    }

    /// A codec's promises: it decodes with and without a recorder alike; each recorded range lies in the bytes;
    /// and what it encodes decodes to something that encodes to the same bytes.
    ///
    /// The planted bug is an encoder that loses the last byte of every message whose bytes add up to a multiple of eight.
    public static func codec<Message: CompactCodable & Equatable & Sendable>(
        _ name: String, _ type: Message.Type, seeds: @escaping @Sendable () -> [[UInt8]]
    ) -> FuzzTarget {
        FuzzTarget(name, seeds: seeds, planted: { check($0, type, losesByte: true) }, run: { check($0, type, losesByte: false) })
    }

    private static func check<Message: CompactCodable & Equatable & Sendable>(
        _ bytes: [UInt8], _ type: Message.Type, losesByte: Bool
    ) -> String? {
        let recorder = FieldRecorder()
        var recorded = Reader(bytes, recorder: recorder)
        var plain = Reader(bytes)
        let first = try? Message(from: &recorded)
        let second = try? Message(from: &plain)
        if first != second { return "decodes differently with a recorder" }
        for record in recorder.records
        where !(0...bytes.count).contains(record.wholeRange.upperBound) || record.wholeRange.lowerBound < 0 {
            return "the field \(record.name) lies outside the bytes"
        }
        guard let message = first else { return nil }
        let whole = message.encoded
        var encoded = whole
        if losesByte, !encoded.isEmpty, encoded.reduce(0, &+) & 7 == 0 { encoded.removeLast() }
        guard let again = try? Message(decoding: encoded) else { return "its own encoding does not decode: \(Hex.encode(encoded))" }
        // Senders have one form for what means the same (an empty list and an absent one): the second encoding settles on it.
        return again.encoded == whole ? nil : "changes when encoded and decoded again: \(Hex.encode(whole))"
    }
}
