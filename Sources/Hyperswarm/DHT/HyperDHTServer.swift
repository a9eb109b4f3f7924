import CompactEncoding
import HyperDHT
import SansIO

/// A server under one public key. Iterate over `connections`.
public final class HyperDHTServer: Sendable {
    let id: ServerID
    /// What peers connect to.
    public let publicKey: Bytes32
    private let driver: NodeDriver
    /// Connections that peers have made, open and authenticated.
    public var connections: Arrivals<PeerConnection> { accepted.arrivals }
    private let accepted = Mailbox<PeerConnection>()
    let firewall: ServerFirewall?
    private let listening = Promise<Result<Void, StreamFailure>>()
    private let closing = Promise<Bool>()
    private let judged: @Sendable (Bytes32, Bool) -> Void

    init(
        id: ServerID, publicKey: Bytes32, driver: NodeDriver, firewall: ServerFirewall?,
        judged: @escaping @Sendable (Bytes32, Bool) -> Void
    ) {
        self.id = id
        self.publicKey = publicKey
        self.driver = driver
        self.firewall = firewall
        self.judged = judged
    }

    /// The DHT nodes that hold the announce and pass handshakes on.
    public func relayAddresses() async throws -> [Endpoint] { try await driver.command { [id] in $0.relays(of: id) } }

    /// Unannounces and takes no more connections; those that exist live on.
    public func close() async throws {
        try await driver.command { [id] in $0.close(id) }
        _ = try await closing.value()
    }

    /// Announces anew, after a change of network.
    public func refresh() { driver.post { $0.refreshServers() } }

    func waitUntilListening() async throws { try await listening.value().get() }

    // MARK: On the loop

    func didListen() { listening.fulfil(.success(())) }
    func didConnect(_ connection: PeerConnection) { accepted.yield(connection) }
    func didJudge(_ key: Bytes32, _ accepted: Bool) { judged(key, accepted) }

    func didClose(_ failure: StreamFailure?) {
        listening.fulfil(.failure(failure ?? StreamFailure(.nodeDestroyed)))
        accepted.finish()
        closing.fulfil(true)
    }
}

/// True refuses: the handshake then gets no answer at all. The key is authenticated; the address is only where the message came from.
public typealias ServerFirewall = @Sendable (_ remotePublicKey: Bytes32, _ address: Endpoint) async -> Bool
