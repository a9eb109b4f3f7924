import BlindRelay
import CompactEncoding
import DHTRPC
import HyperCrypto
import SansIO
import UDX

/// Bounds on what peers can make a node hold or do. None is reached by a peer that behaves. Each drop is counted under its name.
public struct HyperDHTLimits: Sendable {
    /// Handshakes that one server keeps at a time without a client that proved to be there: each costs Diffie-Hellman and ten seconds of memory.
    public var handshakesPerServer = 1024
    /// Handshakes that one server remembers in all, those of clients that connected too.
    public var handshakesRememberedPerServer = 16_384
    /// New handshakes that one server works out from one source host within a second; those of clients that connected do not count.
    public var handshakesPerSecondAndHost = 64
    /// Messages of others passed on (PEER_HANDSHAKE, PEER_HOLEPUNCH) within a second, in all and from one source host.
    public var relayedPerSecond = 4096
    public var relayedPerSecondAndHost = 512
    /// Source hosts counted at once; others share one count.
    public var countedHosts = 4096
    /// Relays of a server's payload that are looked at.
    public var holepunchRelays = 8
    /// Addresses of a payload that are looked at.
    public var addresses = 8
    /// Unfinished operations and connects.
    public var operations = 4096
    public var connecting = 4096
    /// Keys whose relay addresses are remembered.
    public var rememberedRelays = 512
    /// Candidates that one connect tries.
    public var candidatesPerConnect = 64
    public var stores = StoreLimits()
    /// Of a node that serves as a blind relay.
    public var relaying = BlindRelayServer.Limits()

    public init() {}
}

/// How a HyperDHT node is started. hyperdht.md sections 2 and 18.
public struct HyperDHTConfig: Sendable {
    /// Sockets, bootstrap nodes, persistence.
    public var rpc = NodeConfig()
    public var streams = UDXLimits()
    public var limits = HyperDHTLimits()
    /// nil draws one.
    public var defaultKeyPair: KeyPair?
    /// An empty encrypted message after this time without writes; nil: none. HDHT-70.
    public var connectionKeepAlive: Interval? = .seconds(5)
    public var randomPunchInterval = Interval.seconds(20)
    /// Counts the time of the start as the end of a random punch.
    public var defersRandomPunch = false
    /// The host's IPv4 addresses, without internal ones, for connections on one LAN. With a node bound to 127.0.0.1 that alone counts.
    public var localAddresses: [IPAddress] = []
    /// The wall clock at the node's first instant, in milliseconds since 1970: bumps are judged by it.
    public var unixMilliseconds: UInt64 = 0

    /// 49737, the port that nodes try first.
    public static let defaultPort: UInt16 = 49737

    public init() {
        rpc.port = .from(HyperDHTConfig.defaultPort)
        rpc.blockedNodes = HyperDHTConfig.blockedNodes
    }

    /// A node that is persistent and open at once at this address: the first of a network.
    public static func bootstrapper(_ publicAddress: Endpoint) -> HyperDHTConfig {
        var config = HyperDHTConfig()
        config.rpc = .bootstrapper(publicAddress)
        config.rpc.blockedNodes = HyperDHTConfig.blockedNodes
        config.rpc.bindHost = publicAddress.address
        return config
    }

    /// Test networks that once leaked into the public one. hyperdht.md section 2.
    static let blockedNodes: [Endpoint] = [
        Endpoint(.v4(0x86d1_1c62), 49738), Endpoint(.v4(0xa763_8eb9), 49738), Endpoint(.v4(0x23e9_2ffc), 9400),
    ]
}
