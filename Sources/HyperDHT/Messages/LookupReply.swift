import CompactEncoding
import SansIO

/// The value of a LOOKUP reply: the records, then the highest bump. hyperdht.md section 3.8.
public struct LookupReply: Hashable, Sendable, CompactCodable {
    public var peers: [PeerRecord]
    /// Milliseconds since 1970; 0 if there is none.
    public var bump: UInt64

    public init(peers: [PeerRecord], bump: UInt64 = 0) {
        self.peers = peers
        self.bump = bump
    }

    /// HDHT-20. Nodes older than hyperdht 6.24.0 end before `bump`.
    public init(from reader: inout Reader) throws(DecodingFailure) {
        peers = try reader.array("peers") { reader throws(DecodingFailure) in
            try reader.group("peer") { reader throws(DecodingFailure) in try PeerRecord(from: &reader) }
        }
        if Mutation.hyperDHT(20).isActive {
            bump = try reader.uint("bump")
        } else {
            bump = reader.isAtEnd ? 0 : try reader.uint("bump")
        }
    }

    public func encode(to writer: inout Writer) {
        writer.array(peers) { $1.encode(to: &$0) }
        writer.uint(bump)
    }
}
