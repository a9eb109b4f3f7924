import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO

/// How a node is started. There is no default bootstrap list: name the nodes of your network.
public struct HyperDHTOptions: Sendable {
    /// Nodes to start from: address literals or names. Empty makes the first node of a network, which then must be told its own address.
    public var bootstrap: [BootstrapEntry] = []
    /// Where both sockets are bound. IPv4. nil: 127.0.0.1 where all of `bootstrap` is there, so that a node on a laptop never shows on another network;
    /// else every interface.
    public var host: IPAddress?
    /// nil: 49737, the four after it, then any.
    public var port: UInt16?
    /// Of the node's own identity; nil draws one.
    public var keyPair: KeyPair?
    /// Sizes and batching of the sockets.
    public var datagrams = DatagramOptions()
    public var loggers = Loggers()
    /// Everything else.
    public var node = HyperDHTConfig()

    public init(bootstrap: [BootstrapEntry] = [], keyPair: KeyPair? = nil) {
        self.bootstrap = bootstrap
        self.keyPair = keyPair
    }

    /// Bootstrap nodes as people write them: "address:port", "name:port". Throws for anything else.
    public init(bootstrap: [String], keyPair: KeyPair? = nil) throws {
        self.init(
            bootstrap: try bootstrap.map { text in
                guard let entry = BootstrapEntry(text) else {
                    throw StreamFailure(
                        code: "BAD_REQUEST", message: "bootstrap node \(text): address:port is expected, as 127.0.0.1:49737")
                }
                return entry
            }, keyPair: keyPair)
    }

    var bindHost: IPAddress {
        if let host { return host }
        return !bootstrap.isEmpty && bootstrap.allSatisfy { $0.endpoint?.address == .loopback } ? .loopback : .any
    }

    /// The first node of a network: persistent and open at once, at this address.
    public static func bootstrapper(_ address: Endpoint) -> HyperDHTOptions {
        var options = HyperDHTOptions()
        options.node = .bootstrapper(address)
        options.host = address.address
        options.port = address.port
        return options
    }
}
