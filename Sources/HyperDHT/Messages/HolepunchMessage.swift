import CompactEncoding
import SansIO

/// The value of PEER_HOLEPUNCH. hyperdht.md section 9.
public struct HolepunchMessage: Hashable, Sendable, CompactCodable {
    public var mode: RelayMode
    /// The slot id from the server's noise payload; 0 in FROM_SERVER.
    public var id: UInt64
    /// A sealed `HolepunchPayload`.
    public var payload: [UInt8]
    public var peerAddress: Endpoint?

    public init(mode: RelayMode, id: UInt64, payload: [UInt8], peerAddress: Endpoint? = nil) {
        self.mode = mode
        self.id = id
        self.payload = payload
        self.peerAddress = peerAddress
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let flags = try reader.uint("flags")
        mode = RelayMode(rawValue: try reader.uint("mode"))
        id = try reader.uint("id")
        payload = try reader.buffer("payload")
        peerAddress = flags & 1 != 0 ? try reader.ipv4Address("peerAddress") : nil
    }

    public func encode(to writer: inout Writer) {
        writer.uint(peerAddress != nil ? 1 : 0)
        writer.uint(mode.rawValue)
        writer.uint(id)
        writer.buffer(payload)
        if let peerAddress { writer.address(peerAddress) }
    }
}
