import CompactEncoding

/// The value of ANNOUNCE and UNANNOUNCE. hyperdht.md section 3.2.
public struct AnnounceMessage: Hashable, Sendable, CompactCodable {
    public var peer: PeerRecord?
    public var refresh: Bytes32?
    /// 64 bytes.
    public var signature: [UInt8]?
    /// Milliseconds since 1970; 0 is not sent. Not covered by the signature.
    public var bump: UInt64

    public init(peer: PeerRecord? = nil, refresh: Bytes32? = nil, signature: [UInt8]? = nil, bump: UInt64 = 0) {
        self.peer = peer
        self.refresh = refresh
        self.signature = signature
        self.bump = bump
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let flags = try reader.uint("flags")
        peer =
            flags & 1 != 0
            ? try reader.group("peer") { reader throws(DecodingFailure) in try PeerRecord(from: &reader) } : nil
        refresh = flags & 2 != 0 ? try reader.fixed32("refresh") : nil
        signature = flags & 4 != 0 ? try reader.fixed(64, "signature") : nil
        bump = flags & 8 != 0 ? try reader.uint("bump") : 0
    }

    public func encode(to writer: inout Writer) {
        let sent = signature.flatMap { $0.count == 64 ? $0 : nil }
        let flags = (peer != nil ? 1 : 0) | (refresh != nil ? 2 : 0) | (sent != nil ? 4 : 0) | (bump != 0 ? 8 : 0)
        writer.uint(flags)
        peer?.encode(to: &writer)
        if let refresh { writer.fixed32(refresh) }
        if let sent { writer.fixed(sent) }
        if bump != 0 { writer.uint(bump) }
    }
}
