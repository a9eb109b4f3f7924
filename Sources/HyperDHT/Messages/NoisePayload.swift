import CompactEncoding
import SansIO

/// What both Noise messages of a connect carry. hyperdht.md section 8.
///
/// A version other than 1 ends the decoding: everything else then has its default.
public struct NoisePayload: Hashable, Sendable, CompactCodable {
    public var version: UInt64
    public var error: PeerErrorCode
    public var firewall: Firewall
    public var holepunch: HolepunchInfo?
    /// Where the sender may be reached directly, IPv4.
    public var addresses4: [Endpoint]
    public var addresses6: [Endpoint]
    public var udx: UDXInfo?
    public var secretStream: SecretStreamInfo?
    public var relayThrough: RelayThroughInfo?
    /// DHT nodes (or the server itself) that may serve as relays of later handshakes.
    public var relayAddresses: [Endpoint]?

    /// The only version there is.
    public static let currentVersion: UInt64 = 1

    public init(
        version: UInt64 = NoisePayload.currentVersion, error: PeerErrorCode = .none, firewall: Firewall = .unknown,
        holepunch: HolepunchInfo? = nil, addresses4: [Endpoint] = [], addresses6: [Endpoint] = [], udx: UDXInfo? = nil,
        secretStream: SecretStreamInfo? = nil, relayThrough: RelayThroughInfo? = nil, relayAddresses: [Endpoint]? = nil
    ) {
        self.version = version
        self.error = error
        self.firewall = firewall
        self.holepunch = holepunch
        self.addresses4 = addresses4
        self.addresses6 = addresses6
        self.udx = udx
        self.secretStream = secretStream
        self.relayThrough = relayThrough
        self.relayAddresses = relayAddresses
    }

    /// The server's handshake slot and the DHT nodes through which it may be punched.
    public struct HolepunchInfo: Hashable, Sendable {
        public var id: UInt64
        public var relays: [Relay]

        public init(id: UInt64, relays: [Relay]) {
            self.id = id
            self.relays = relays
        }

        /// `relayAddress` is the DHT node, `peerAddress` the server as that node sees it.
        public struct Relay: Hashable, Sendable {
            public var relayAddress: Endpoint
            public var peerAddress: Endpoint

            public init(relayAddress: Endpoint, peerAddress: Endpoint) {
                self.relayAddress = relayAddress
                self.peerAddress = peerAddress
            }
        }
    }

    /// The sender's raw stream: `id` is what the remote must put in its packets.
    public struct UDXInfo: Hashable, Sendable {
        public var version: UInt64
        public var reusableSocket: Bool
        public var id: UInt64
        public var seq: UInt64

        public init(version: UInt64 = 1, reusableSocket: Bool = false, id: UInt64, seq: UInt64 = 0) {
            self.version = version
            self.reusableSocket = reusableSocket
            self.id = id
            self.seq = seq
        }
    }

    /// The version of the secret-stream that follows.
    public struct SecretStreamInfo: Hashable, Sendable {
        public var version: UInt64
        public init(version: UInt64 = 1) { self.version = version }
    }

    /// A blind relay, and the token under which both sides pair there.
    public struct RelayThroughInfo: Hashable, Sendable {
        public var version: UInt64
        public var publicKey: Bytes32
        public var token: Bytes32

        public init(version: UInt64 = 1, publicKey: Bytes32, token: Bytes32) {
            self.version = version
            self.publicKey = publicKey
            self.token = token
        }
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        let version = try reader.uint("version")
        guard version == NoisePayload.currentVersion else {
            self.init(version: version)
            return
        }
        let flags = try reader.uint("flags")
        self.init(
            version: version, error: PeerErrorCode(rawValue: try reader.uint("error")),
            firewall: Firewall(rawValue: try reader.uint("firewall")))
        if flags & 1 != 0 { holepunch = try reader.group("holepunch", NoisePayload.decodeHolepunch) }
        if flags & 2 != 0 {
            addresses4 = try reader.array("addresses4") { reader throws(DecodingFailure) in try reader.ipv4Address("address") }
        }
        if flags & 4 != 0 {
            addresses6 = try reader.array("addresses6") { reader throws(DecodingFailure) in try reader.ipv6Address("address") }
        }
        if flags & 8 != 0 { udx = try reader.group("udx", NoisePayload.decodeUDX) }
        if flags & 16 != 0 {
            secretStream = try reader.group("secretStream") { reader throws(DecodingFailure) in
                SecretStreamInfo(version: try reader.uint("version"))
            }
        }
        if flags & 32 != 0 { relayThrough = try reader.group("relayThrough", NoisePayload.decodeRelayThrough) }
        if flags & 64 != 0 {
            relayAddresses = try reader.array("relayAddresses") { reader throws(DecodingFailure) in try reader.ipv4Address("relayAddress") }
        }
    }

    private static func decodeHolepunch(_ reader: inout Reader) throws(DecodingFailure) -> HolepunchInfo {
        let id = try reader.uint("id")
        let relays = try reader.array("relays") { reader throws(DecodingFailure) in
            try reader.group("relay") { reader throws(DecodingFailure) in
                let relayAddress = try reader.ipv4Address("relayAddress")
                return HolepunchInfo.Relay(relayAddress: relayAddress, peerAddress: try reader.ipv4Address("peerAddress"))
            }
        }
        return HolepunchInfo(id: id, relays: relays)
    }

    private static func decodeUDX(_ reader: inout Reader) throws(DecodingFailure) -> UDXInfo {
        let version = try reader.uint("version")
        let features = try reader.uint("features")
        let id = try reader.uint("id")
        return UDXInfo(version: version, reusableSocket: features & 1 != 0, id: id, seq: try reader.uint("seq"))
    }

    private static func decodeRelayThrough(_ reader: inout Reader) throws(DecodingFailure) -> RelayThroughInfo {
        let version = try reader.uint("version")
        _ = try reader.uint("flags")
        let publicKey = try reader.fixed32("publicKey")
        return RelayThroughInfo(version: version, publicKey: publicKey, token: try reader.fixed32("token"))
    }

    /// Empty address lists are not sent; an empty `relayAddresses` is not either. A version other than 1 is written alone.
    public func encode(to writer: inout Writer) {
        writer.uint(version)
        guard version == NoisePayload.currentVersion else { return }
        let relayAddresses = relayAddresses.flatMap { $0.isEmpty ? nil : $0 }
        writer.uint(
            (holepunch != nil ? 1 : 0) | (addresses4.isEmpty ? 0 : 2) | (addresses6.isEmpty ? 0 : 4) | (udx != nil ? 8 : 0)
                | (secretStream != nil ? 16 : 0) | (relayThrough != nil ? 32 : 0) | (relayAddresses != nil ? 64 : 0))
        writer.uint(error.rawValue)
        writer.uint(firewall.rawValue)
        /// HDHT-46. The order of the fields is fixed.
        if Mutation.hyperDHT(46).isActive, let relayAddresses { writer.array(relayAddresses) { $0.address($1) } }
        if let holepunch {
            writer.uint(holepunch.id)
            writer.array(holepunch.relays) {
                $0.address($1.relayAddress)
                $0.address($1.peerAddress)
            }
        }
        if !addresses4.isEmpty { writer.array(addresses4) { $0.address($1) } }
        if !addresses6.isEmpty { writer.array(addresses6) { $0.address($1) } }
        if let udx {
            writer.uint(udx.version)
            writer.uint(udx.reusableSocket ? 1 : 0)
            writer.uint(udx.id)
            writer.uint(udx.seq)
        }
        if let secretStream { writer.uint(secretStream.version) }
        if let relayThrough {
            writer.uint(relayThrough.version)
            writer.uint(0)
            writer.fixed32(relayThrough.publicKey)
            writer.fixed32(relayThrough.token)
        }
        if let relayAddresses, !Mutation.hyperDHT(46).isActive { writer.array(relayAddresses) { $0.address($1) } }
    }
}
