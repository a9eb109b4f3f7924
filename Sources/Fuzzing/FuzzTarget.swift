import CompactEncoding

/// Code that takes a peer's bytes: whatever they are, it must neither trap nor hang, and what it promises about them must hold.
public struct FuzzTarget: Sendable {
    /// `layer.message`, as in `udx.packet`.
    public let name: String
    /// Inputs to start from: small valid ones reach deep.
    public let seeds: @Sendable () -> [[UInt8]]
    /// Returns nil, or the sentence that says which promise was broken.
    public let run: @Sendable ([UInt8]) -> String?

    public init(_ name: String, seeds: @escaping @Sendable () -> [[UInt8]], run: @escaping @Sendable ([UInt8]) -> String?) {
        self.name = name
        self.seeds = seeds
        self.run = run
    }

    /// A codec's promises: it decodes with and without a recorder alike; each recorded range lies in the bytes;
    /// and what it encodes decodes to something that encodes to the same bytes.
    public static func codec<Message: CompactCodable & Equatable & Sendable>(
        _ name: String, _ type: Message.Type, seeds: @escaping @Sendable () -> [[UInt8]]
    ) -> FuzzTarget {
        FuzzTarget(name, seeds: seeds) { bytes in
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
            let encoded = message.encoded
            guard let again = try? Message(decoding: encoded) else { return "its own encoding does not decode: \(Hex.encode(encoded))" }
            // Senders have one form for what means the same (an empty list and an absent one): the second encoding settles on it.
            return again.encoded == encoded ? nil : "changes when encoded and decoded again: \(Hex.encode(encoded))"
        }
    }
}
