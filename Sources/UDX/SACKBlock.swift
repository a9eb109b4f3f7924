import CompactEncoding

/// Received sequence numbers `start ..< end`, in serial arithmetic. udx.md section 6.2.
public struct SACKBlock: Hashable, Sendable, CustomStringConvertible {
    /// Bytes on the wire.
    public static let size = 8
    /// Most blocks that a packet carries. UDX-19.
    public static let maximumCount = 50

    /// First received.
    public var start: SequenceNumber
    /// One past the last received.
    public var end: SequenceNumber

    @inlinable public init(_ start: SequenceNumber, _ end: SequenceNumber) {
        self.start = start
        self.end = end
    }

    public var description: String { "[\(start),\(end))" }
}

extension SACKBlock: CompactCodable {
    public init(from reader: inout Reader) throws(DecodingFailure) {
        start = SequenceNumber(try reader.uint32("start"))
        end = SequenceNumber(try reader.uint32("end"))
    }

    public func encode(to writer: inout Writer) {
        writer.uint32(start.rawValue)
        writer.uint32(end.rawValue)
    }
}
