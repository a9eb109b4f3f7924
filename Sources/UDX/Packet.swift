import CompactEncoding

/// One whole UDX packet with owned contents: for dissection, comparison and tests. The stack itself works on header and layout without copying.
public struct Packet: Hashable, Sendable {
    public var header: PacketHeader
    public var sacks: [SACKBlock]
    /// MTU padding, or bytes after the last whole SACK block. Senders write zeros.
    public var padding: [UInt8]
    public var payload: [UInt8]

    /// A packet from its parts; `header.dataOffset` counts SACK blocks and padding only where the caller set it so.
    public init(_ header: PacketHeader, sacks: [SACKBlock] = [], padding: [UInt8] = [], payload: [UInt8] = []) {
        self.header = header
        self.sacks = sacks
        self.padding = padding
        self.payload = payload
    }
}

extension Packet: CompactCodable {
    /// Reads to the reader's end. Fails with field `dataOffset` when the offset lies beyond it (UDX-7); such a header still decodes alone.
    public init(from reader: inout Reader) throws(DecodingFailure) {
        let start = reader.offset
        let header = try PacketHeader(from: &reader)
        guard let layout = PacketLayout(header, packetLength: reader.end - start) else {
            throw reader.failure(.outOfBounds, "dataOffset", at: start + 3)
        }
        self.header = header
        sacks = []
        if layout.sackCount > 0 {
            sacks.reserveCapacity(layout.sackCount)
            sacks = try reader.group("sacks") { (reader: inout Reader) throws(DecodingFailure) in
                var blocks: [SACKBlock] = []
                for _ in 0..<layout.sackCount {
                    blocks.append(
                        try reader.group("block") { (reader: inout Reader) throws(DecodingFailure) in try SACKBlock(from: &reader) })
                }
                return blocks
            }
        }
        padding = layout.padding.isEmpty ? [] : try reader.fixed(layout.padding.count, "padding")
        if layout.overlaps {
            // The same bytes are blocks and payload; they are recorded once, as blocks.
            payload = Array(reader.bytes[start + layout.payload.lowerBound..<start + layout.payload.upperBound])
        } else {
            payload = reader.remaining > 0 ? reader.raw("payload") : []
        }
    }

    public func encode(to writer: inout Writer) {
        header.encode(to: &writer)
        let start = writer.bytes.count
        for block in sacks { block.encode(to: &writer) }
        writer.raw(padding)
        // Blocks that are the payload's own bytes are not written twice.
        let overlaps = header.type.contains(.sack) && header.dataOffset == 0 && !sacks.isEmpty && !payload.isEmpty
        writer.raw(overlaps ? Array(payload.dropFirst(writer.bytes.count - start)) : payload)
    }
}
