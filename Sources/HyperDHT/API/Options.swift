import CompactEncoding
import HyperCrypto
import SansIO

/// Who signs records.
public enum Signer: Sendable {
    case keyPair(KeyPair)
    /// The key is elsewhere: each signature is asked for with the event `.signature`.
    case external(publicKey: Bytes32)

    public var publicKey: Bytes32 {
        switch self {
        case .keyPair(let pair): pair.publicKey
        case .external(let key): key
        }
    }
}

/// What an incoming handshake meets before it is answered. HDHT-44.
public enum FirewallPolicy: Sendable {
    case accept
    /// Silence for everybody.
    case reject
    /// The event `.firewall` asks the owner, who answers with `decide`.
    case ask
}

/// Whether a server or client punches holes.
public enum HolepunchPolicy: Sendable {
    case allow
    /// Negotiates, then aborts when it comes to punching.
    case refuse
    /// Never offers it (server: `holepunch: false`).
    case never
}

/// How a server listens. hyperdht.md section 12.
public struct ServerOptions: Sendable {
    public var firewall = FirewallPolicy.accept
    public var holepunch = HolepunchPolicy.allow
    /// Whether clients on the same LAN learn our local addresses.
    public var sharesLocalAddress = true
    public var reusableSocket = false
    /// Keys of blind relays, one of which is offered.
    public var relayThrough: [Bytes32] = []
    public var relayKeepAlive = Interval.seconds(5)
    /// How long an answered handshake is remembered after its end.
    public var handshakeClearWait = Interval.seconds(10)
    /// Whether peers may pair through this node. hyperdht.md section 15.
    public var servesRelaying = false
    /// Keeps one connection per remote key. HDHT-65.
    public var pool: ConnectionPoolID?
    /// Signs this server's announces; nil: its key pair.
    public var signer: Signer?

    public init() {}
}

/// How a connection is made. hyperdht.md section 13.
public struct ConnectOptions: Sendable {
    /// nil: the node's default key pair.
    public var keyPair: KeyPair?
    /// DHT nodes to try before and beside the search.
    public var relayAddresses: [Endpoint] = []
    public var relayThrough: [Bytes32] = []
    public var relayKeepAlive = Interval.seconds(5)
    public var reusableSocket = false
    /// Whether to try addresses on the same LAN.
    public var localConnection = true
    /// Whether to open our NAT towards the server before the first round. HDHT-59.
    public var fastOpen = true
    public var holepunch = HolepunchPolicy.allow
    public var pool: ConnectionPoolID?

    public init() {}
}

/// A set of connections with at most one per remote key.
public struct ConnectionPoolID: Hashable, Sendable {
    public let number: UInt64
    public init(number: UInt64) { self.number = number }
}

/// How an announce is made. hyperdht.md section 3.9.
public struct AnnounceOptions: Sendable {
    /// Milliseconds since 1970; 0: none.
    public var bump: UInt64 = 0
    /// Takes back older records of the key on the way.
    public var clears = false
    /// Nodes to start from.
    public var nodes: [Endpoint] = []

    public init() {}
}

/// How a mutable record is read. hyperdht.md section 4.1.
public struct MutableGetOptions: Sendable {
    /// The lowest sequence number that is of use.
    public var seq: UInt64 = 0
    /// True waits for the whole query and takes the highest; false takes the first valid one.
    public var latest = true
    /// Whether the result is stored again at the closest nodes.
    public var refreshes = false

    public init() {}
}
