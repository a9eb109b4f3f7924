import CompactEncoding
import SansIO

/// The plaintext inside a PEER_HOLEPUNCH message. hyperdht.md section 10.
public struct HolepunchPayload: Hashable, Sendable, CompactCodable {
    public var error: PeerErrorCode
    public var firewall: Firewall
    /// Counts up by one per PEER_HOLEPUNCH of the client; an answer repeats the round of its request.
    public var round: UInt64
    public var connected: Bool
    public var punching: Bool
    /// Written whenever known, also when empty.
    public var addresses: [Endpoint]?
    public var remoteAddress: Endpoint?
    /// Proves that its receiver can be reached at the host that it was made for.
    public var token: Bytes32?
    /// The last token of the other side, echoed.
    public var remoteToken: Bytes32?

    public init(
        error: PeerErrorCode = .none, firewall: Firewall = .unknown, round: UInt64 = 0, connected: Bool = false,
        punching: Bool = false, addresses: [Endpoint]? = nil, remoteAddress: Endpoint? = nil, token: Bytes32? = nil,
        remoteToken: Bytes32? = nil
    ) {
        self.error = error
        self.firewall = firewall
        self.round = round
        self.connected = connected
        self.punching = punching
        self.addresses = addresses
        self.remoteAddress = remoteAddress
        self.token = token
        self.remoteToken = remoteToken
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let flags = try reader.uint("flags")
        error = PeerErrorCode(rawValue: try reader.uint("error"))
        firewall = Firewall(rawValue: try reader.uint("firewall"))
        round = try reader.uint("round")
        connected = flags & 1 != 0
        punching = flags & 2 != 0
        addresses =
            flags & 4 != 0
            ? try reader.array("addresses") { reader throws(DecodingFailure) in try reader.ipv4Address("address") } : nil
        remoteAddress = flags & 8 != 0 ? try reader.ipv4Address("remoteAddress") : nil
        token = flags & 16 != 0 ? try reader.fixed32("token") : nil
        remoteToken = flags & 32 != 0 ? try reader.fixed32("remoteToken") : nil
    }

    public func encode(to writer: inout Writer) {
        writer.uint(
            (connected ? 1 : 0) | (punching ? 2 : 0) | (addresses != nil ? 4 : 0) | (remoteAddress != nil ? 8 : 0)
                | (token != nil ? 16 : 0) | (remoteToken != nil ? 32 : 0))
        writer.uint(error.rawValue)
        writer.uint(firewall.rawValue)
        writer.uint(round)
        if let addresses { writer.array(addresses) { $0.address($1) } }
        if let remoteAddress { writer.address(remoteAddress) }
        if let token { writer.fixed32(token) }
        if let remoteToken { writer.fixed32(remoteToken) }
    }
}
