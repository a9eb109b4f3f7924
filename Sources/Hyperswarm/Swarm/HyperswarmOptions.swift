import DHTRPC
import HyperCrypto
import HyperDHT
import HyperswarmCore
import SansIO

/// How a swarm is set up.
public struct HyperswarmOptions: Sendable {
    /// The node under it: bootstrap, sockets, key pair (which is the swarm's identity).
    public var dht = HyperDHTOptions()
    /// Limits, firewall, relays, retries.
    public var swarm = SwarmOptions()
    /// Of the swarm's server; its firewall is the swarm's.
    public var server = ServerOptions()
    /// Of the swarm's dials.
    public var connect = ConnectOptions()

    public init(bootstrap: [Endpoint] = [], keyPair: KeyPair? = nil) {
        dht = HyperDHTOptions(bootstrap: bootstrap.map { BootstrapEntry($0) }, keyPair: keyPair)
    }

    /// Bootstrap nodes as people write them: "address:port", "name:port". Throws for anything else.
    public init(bootstrap: [String], keyPair: KeyPair? = nil) throws {
        dht = try HyperDHTOptions(bootstrap: bootstrap, keyPair: keyPair)
    }
}
