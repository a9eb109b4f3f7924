import CompactEncoding
import HyperCrypto
import SansIO

/// Listening and closing. hyperdht.md section 12.
extension HyperDHTNode {
    /// Listens under a key (default: the node's). Then `.listening` comes once it is announced.
    public func listen(_ keyPair: KeyPair? = nil, options: ServerOptions = ServerOptions()) throws(HyperDHTError) -> ServerID {
        guard life != .destroyed, life != .closing else { throw .nodeDestroyed }
        let keyPair = keyPair ?? defaultKeyPair
        guard !servers.values.contains(where: { $0.keyPair.publicKey == keyPair.publicKey }) else { throw .keyPairAlreadyUsed }
        let server = Server(id: ServerID(number: takeNumber()), keyPair: keyPair, options: options, limits: config.limits)
        servers[server.id] = server
        routes.setServer(server.target, server: server.id.number, record: server.announcer.record.encoded)
        server.isSuspended = isSuspended
        if rpc.sockets != nil { startAnnouncing(server) }
        settle()
        return server.id
    }

    /// The nodes that hold a server's announce.
    public func relays(of server: ServerID) -> [Endpoint] { servers[server]?.announcer.current ?? [] }

    /// Takes back the announces and forgets every unfinished handshake; open connections stay. Ends with `.serverClosed`.
    public func close(_ id: ServerID) {
        guard let server = servers[id] else { return }
        beginClosing(server)
        settle()
    }

    func beginClosing(_ server: Server) {
        guard !server.isClosing else { return }
        server.isClosing = true
        routes.removeServer(server.target)
        clearHandshakes(server)
        server.announcer.isStopped = true
        takeBackAnnounces(server)
    }

    /// Everything was taken back.
    func serverStopped(_ server: Server) {
        if server.isClosing {
            servers[server.id] = nil
            events.append(.serverClosed(server.id))
        }
        continueLife()
    }

    var serversInOrder: [Server] { servers.values.sorted { $0.id < $1.id } }

    /// Asks for new announces at once, after a change of network.
    public func refreshServers() {
        for server in serversInOrder { refreshAnnounce(server) }
        settle()
    }

    func clearHandshakes(_ server: Server) {
        firewallQuestions = firewallQuestions.filter { $0.value.server != server.id }
        for handshake in server.byNumber.values.sorted(by: { $0.number < $1.number }) {
            timers.cancel(&handshake.clearTimer)
            timers.cancel(&handshake.askTimer)
            timers.cancel(&handshake.prepunchTimer)
            destroyPuncher(handshake, silently: true)
            abandonRelay(handshake)
            if !handshake.hasPath, handshake.connection == nil { dropStream(handshake) }
            server.forget(handshake)
            if handshake.relay == nil { part(handshake) }
        }
    }
}
