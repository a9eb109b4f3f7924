import CompactEncoding
import SansIO

/// The value of PEER_HANDSHAKE. hyperdht.md section 6.
public struct HandshakeMessage: Hashable, Sendable, CompactCodable {
    public var mode: RelayMode
    /// One Noise message.
    public var noise: [UInt8]
    /// The client's address on the way to the server and back to the relay; the server's address in a REPLY.
    public var peerAddress: Endpoint?
    /// Where the server must send its answer (FROM_SECOND_RELAY), or an explicit next hop (FROM_CLIENT).
    public var relayAddress: Endpoint?

    public init(mode: RelayMode, noise: [UInt8], peerAddress: Endpoint? = nil, relayAddress: Endpoint? = nil) {
        self.mode = mode
        self.noise = noise
        self.peerAddress = peerAddress
        self.relayAddress = relayAddress
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let flags = try reader.uint("flags")
        mode = RelayMode(rawValue: try reader.uint("mode"))
        noise = try reader.buffer("noise")
        peerAddress = flags & 1 != 0 ? try reader.ipv4Address("peerAddress") : nil
        relayAddress = flags & 2 != 0 ? try reader.ipv4Address("relayAddress") : nil
    }

    public func encode(to writer: inout Writer) {
        writer.uint((peerAddress != nil ? 1 : 0) | (relayAddress != nil ? 2 : 0))
        writer.uint(mode.rawValue)
        writer.buffer(noise)
        if let peerAddress { writer.address(peerAddress) }
        if let relayAddress { writer.address(relayAddress) }
    }
}
