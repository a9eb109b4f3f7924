import CompactEncoding
import Protomux
import SansIO

/// What both ends of a relay connection share. protomux.md part B.
public enum BlindRelay {
    public static let protocolName = "blind-relay"
    /// Pair and unpair.
    public static let messageCount = 2
    /// How long a side waits to be paired before it gives the relay up. RELAY-10.
    public static let pairingTimeout = Interval.seconds(15)

    /// Keepalive of the connection to a relay. RELAY-15.
    public static var connectionKeepAlive: Interval { Mutation.blindRelay(15).isActive ? .zero : .seconds(5) }

    /// The channel's key: the connecting peer's public key on that connection. RELAY-1.
    public static func channelKey(clientPublicKey: Bytes32) -> ChannelKey {
        ChannelKey(protocolName, id: Mutation.blindRelay(1).isActive ? nil : clientPublicKey.bytes)
    }

    static func options(clientPublicKey: Bytes32) -> ChannelOptions {
        ChannelOptions(channelKey(clientPublicKey: clientPublicKey), messageCount: messageCount)
    }
}

/// A relay that one side of a connection offers inside its Noise payload.
public struct RelayOffer: Hashable, Sendable {
    public var relayPublicKey: Bytes32
    public var token: Bytes32

    public init(relayPublicKey: Bytes32, token: Bytes32) {
        self.relayPublicKey = relayPublicKey
        self.token = token
    }
}

/// Which relay and token two sides use, and who pairs as initiator. protomux.md B2.
public struct RelayAgreement: Hashable, Sendable {
    public let offer: RelayOffer
    /// Our role in the pair message; the other side has the opposite one.
    public let isPairInitiator: Bool

    /// The server's relay wins; whoever's relay is used pairs as initiator. nil if nobody offers one. RELAY-11, RELAY-12.
    public init?(serverOffer: RelayOffer?, clientOffer: RelayOffer?, isServer: Bool) {
        let serverWins = Mutation.blindRelay(11).isActive ? clientOffer == nil : serverOffer != nil
        guard let offer = serverWins ? serverOffer : clientOffer else { return nil }
        self.offer = offer
        isPairInitiator = !serverWins && Mutation.blindRelay(12).isActive ? isServer : serverWins == isServer
    }
}
