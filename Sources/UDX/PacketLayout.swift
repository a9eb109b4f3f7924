import SansIO

/// Where the parts of a packet's body stand: computed in one place for the stack, the codec and whoever dissects. udx.md sections 2.3 and 6.2.
public struct PacketLayout: Hashable, Sendable {
    /// SACK blocks, whole ones only. May coincide with the payload when DATA and SACK are set with data offset 0.
    public let sackCount: Int
    /// Offset of the first SACK block in the packet.
    public let sackStart: Int
    /// What neither SACK blocks nor payload account for inside the extension area: padding, or the 1...7 bytes after the last block.
    public let padding: Range<Int>
    /// Stream bytes or a message.
    public let payload: Range<Int>

    /// Nil when the data offset lies beyond the packet's end: nothing in such a packet may be used. UDX-7.
    public init?(_ header: PacketHeader, packetLength: Int) {
        let remaining = packetLength - PacketHeader.size
        var offset = Int(header.dataOffset)
        guard remaining >= 0 else { return nil }
        /// UDX-7.
        if Mutation.udx(7).isActive { offset = min(offset, remaining) }
        /// UDX-6.
        if Mutation.udx(6).isActive && offset > 0 && offset == remaining { return nil }
        /// UDX-5.
        if Mutation.udx(5).isActive && !header.type.contains(.sack) { offset = 0 }
        guard offset <= remaining else { return nil }
        sackStart = PacketHeader.size
        if header.type.contains(.sack) {
            // With an offset of 0, or of all that is left, the whole rest is blocks.
            let whole = offset == 0 || offset == remaining
            let area = whole ? remaining : offset
            sackCount = area / 8
            padding = PacketHeader.size + sackCount * 8..<PacketHeader.size + area
            let carriesPayload = !header.type.isDisjoint(with: [.data, .message])
            payload = whole && !carriesPayload ? packetLength..<packetLength : PacketHeader.size + offset..<packetLength
        } else {
            sackCount = 0
            padding = PacketHeader.size..<PacketHeader.size + offset
            payload = PacketHeader.size + offset..<packetLength
        }
    }

    /// True when a SACK area and the payload are the same bytes: DATA+SACK or MESSAGE+SACK with data offset 0. Accepted, never sent. UDX-26b.
    @inlinable public var overlaps: Bool { sackCount > 0 && payload.lowerBound == PacketHeader.size && !payload.isEmpty }
}
