import BlindRelay
import CompactEncoding
import Protomux
import SansIO
import SecretStream
import UDX

/// Connections through a blind relay, beside punching. hyperdht.md section 15, protomux.md part B. HDHT-68, HDHT-69.
extension HyperDHTNode {
    // MARK: Agreeing

    func startServerRelay(_ server: Server, _ handshake: ServerHandshake, ours: Bytes32?) {
        let own = ours.flatMap { key in handshake.relayToken.map { RelayOffer(relayPublicKey: key, token: $0) } }
        let theirs = handshake.remotePayload?.relayThrough.map { RelayOffer(relayPublicKey: $0.publicKey, token: $0.token) }
        let serverOffer = Mutation.hyperDHT(68).isActive && theirs != nil ? nil : own
        guard let agreement = RelayAgreement(serverOffer: serverOffer, clientOffer: theirs, isServer: true) else { return }
        handshake.relayToken = agreement.offer.token
        let link = RelayLink(owner: .server(server.id, handshake.number), agreement: agreement)
        handshake.relay = link
        connectToRelay(link, keepAlive: server.options.relayKeepAlive)
    }

    func startClientRelay(_ attempt: ConnectAttempt, _ payload: NoisePayload) {
        let own = attempt.relayKey.flatMap { key in attempt.relayToken.map { RelayOffer(relayPublicKey: key, token: $0) } }
        let theirs = payload.relayThrough.map { RelayOffer(relayPublicKey: $0.publicKey, token: $0.token) }
        let serverOffer = Mutation.hyperDHT(68).isActive && own != nil ? nil : theirs
        guard let agreement = RelayAgreement(serverOffer: serverOffer, clientOffer: own, isServer: false) else { return }
        attempt.relayToken = agreement.offer.token
        let link = RelayLink(owner: .client(attempt.id), agreement: agreement)
        attempt.relay = link
        connections[attempt.id]?.relay = link
        connectToRelay(link, keepAlive: attempt.options.relayKeepAlive)
    }

    private func connectToRelay(_ link: RelayLink, keepAlive: Interval) {
        statistics.relaying.attempts += 1
        /// HDHT-69, RELAY-10.
        let wait = Mutation.hyperDHT(69).isActive || Mutation.blindRelay(10).isActive ? Interval.seconds(600) : BlindRelay.pairingTimeout
        link.timer = timers.set(now + wait, .relayTimeout(link.owner))
        var options = ConnectOptions()
        options.relayKeepAlive = Mutation.blindRelay(15).isActive ? .zero : keepAlive
        link.connection = connect(link.relayKey, options, relayFor: link.owner)
    }

    private func link(of owner: RelayOwner) -> RelayLink? {
        switch owner {
        case .client(let id): connections[id]?.relay
        case .server(let server, let number): servers[server]?.byNumber[number]?.relay ?? relayedHandshakes[owner]?.relay
        }
    }

    // MARK: Pairing

    /// Our connection to the relay is open: ask for the pairing.
    func relayConnectionOpened(_ connection: Connection) {
        guard let owner = connection.relayFor, let link = link(of: owner), link.connection == connection.id else { return }
        let stream: StreamID?
        switch owner {
        case .client(let id): stream = connections[id]?.streamID
        case .server(let server, let number): stream = servers[server]?.byNumber[number]?.streamID
        }
        let mux = Protomux()
        guard let stream, let client = try? BlindRelayClient(mux: mux, publicKey: connection.publicKey, pairingTimeout: .seconds(3600))
        else { return }
        connection.relayChannel = RelayChannel(mux: mux, role: .client(client))
        client.pair(isInitiator: link.isInitiator, token: link.token, streamID: stream.rawValue, at: now)
        pumpRelayChannel(connection)
    }

    private func paired(_ owner: RelayOwner, _ remoteID: UInt64, through relay: Connection) {
        guard let link = link(of: owner), let socket = relay.socket, let address = relay.remoteAddress else { return }
        timers.cancel(&link.timer)
        let remote = StreamID(UInt32(truncatingIfNeeded: remoteID))
        switch owner {
        case .client(let id):
            guard let connection = connections[id], let attempt = connection.attempt, !attempt.hasPath, !connection.isStarted else {
                return relayAborted(owner)
            }
            link.isPaired = true
            statistics.relaying.successes += 1
            startStream(connection, socket, remote, address, isRelayed: true)
        case .server(let id, let number):
            guard let server = servers[id], let handshake = server.byNumber[number], !handshake.hasPath, handshake.connection == nil,
                let stream = handshake.streamID, let connection = makeServerConnection(server, handshake, stream)
            else { return relayAborted(owner) }
            link.isPaired = true
            statistics.relaying.successes += 1
            timers.cancel(&handshake.prepunchTimer)
            connection.relay = link
            relayedHandshakes[owner] = handshake
            startStream(connection, socket, remote, address, isRelayed: true)
        }
    }

    func relayTimedOut(_ owner: RelayOwner) {
        link(of: owner)?.timer = nil
        relayAborted(owner)
    }

    /// The relay can't help. What else is under way goes on.
    private func relayAborted(_ owner: RelayOwner) {
        guard let link = link(of: owner) else { return }
        if !link.isPaired { statistics.relaying.aborts += 1 }
        switch owner {
        case .client(let id):
            guard let connection = connections[id] else { return }
            destroyRelay(connection)
            if connection.attempt?.hasPath ?? false { connection.attempt = nil }
            fail(id, .relayAborted)
        case .server(let server, let number):
            guard let handshake = servers[server]?.byNumber[number] else { return }
            drop(link)
            handshake.relay = nil
            handshake.relayToken = nil
            handshake.connection?.relay = nil
            if handshake.isAborted, !handshake.hasPath, handshake.connection == nil {
                dropStream(handshake)
                clearLater(handshake)
            }
        }
    }

    private func drop(_ link: RelayLink) {
        timers.cancel(&link.timer)
        guard let id = link.connection else { return }
        link.connection = nil
        if let connection = connections[id] { closeConnection(connection, nil) }
    }

    /// A handshake is forgotten whose relay has not paired.
    func abandonRelay(_ handshake: ServerHandshake) {
        guard let link = handshake.relay, !link.isPaired else { return }
        handshake.relay = nil
        drop(link)
    }

    func relayConnectionClosed(_ owner: RelayOwner, _ connection: Connection) {
        guard let link = link(of: owner), link.connection == connection.id else { return }
        link.connection = nil
        if !link.isPaired { relayAborted(owner) }
    }

    /// The relayed connection is over, or its relay is not needed any more.
    func destroyRelay(_ connection: Connection) {
        guard let link = connection.relay ?? connection.attempt?.relay else { return }
        forget(link, connection)
        drop(link)
    }

    /// RELAY-14. The direct path is proved: the connection to the relay ends.
    func endRelay(_ connection: Connection) {
        guard let link = connection.relay, !Mutation.blindRelay(14).isActive else { return }
        forget(link, connection)
        connection.attempt = nil
        timers.cancel(&link.timer)
        guard let id = link.connection else { return }
        link.connection = nil
        end(id)
    }

    private func forget(_ link: RelayLink, _ connection: Connection) {
        connection.relay = nil
        connection.attempt?.relay = nil
        connection.handshake?.relay = nil
        connection.attempt?.relayToken = nil
        relayedHandshakes[link.owner] = nil
    }

    /// Whether a packet came from the relay: it is no proof of a direct path.
    func isRelayPath(_ connection: Connection, _ source: Endpoint, _ socket: SocketID) -> Bool {
        guard let id = connection.relay?.connection, let relay = connections[id] else { return false }
        return relay.socket == socket && relay.remoteAddress == source
    }

    // MARK: The channel

    /// True if the event was the channel's.
    func relayChannelTook(_ connection: Connection, _ event: SecretStream.Event) -> Bool {
        guard let channel = connection.relayChannel else { return false }
        switch event {
        case .message(let bytes): channel.mux.receive(bytes)
        case .end: channel.mux.receiveEnd()
        default: return false
        }
        pumpRelayChannel(connection)
        return true
    }

    func relayChannelClosed(_ connection: Connection) {
        guard let channel = connection.relayChannel else { return }
        channel.mux.carrierClosed()
        pumpRelayChannel(connection)
        connection.relayChannel = nil
        if case .server(let session) = channel.role { relaySessions[session] = nil }
    }

    private func pumpRelayChannel(_ connection: Connection) {
        guard let channel = connection.relayChannel else { return }
        for event in channel.mux.takeEvents() {
            switch channel.role {
            case .client(let client): client.receive(event)
            case .server(let session):
                /// HDHT-67.
                if Mutation.hyperDHT(67).isActive, case .message(_, Unpair.type, _) = event { continue }
                relayServer.receive(event, from: session, at: now)
            }
        }
        if case .client(let client) = channel.role, let owner = connection.relayFor {
            for event in client.takeEvents() { handle(event, owner, connection) }
        }
        serveRelayEvents()
        flush(channel.mux, connection)
    }

    private func flush(_ mux: Protomux, _ connection: Connection) {
        for effect in mux.takeEffects() {
            switch effect {
            case .send(let bytes): try? connection.secret.write(bytes, at: now)
            case .pause, .resume: break
            case .end: connection.secret.end(at: now)
            case .destroy: closeConnection(connection, .streamInvalid)
            }
        }
        touch(connection)
    }

    private func handle(_ event: BlindRelayClient.Event, _ owner: RelayOwner, _ connection: Connection) {
        switch event {
        case .paired(_, _, let remoteStreamID): paired(owner, remoteStreamID, through: connection)
        case .failed: relayAborted(owner)
        case .closed: if let link = link(of: owner), !link.isPaired { relayAborted(owner) }
        }
    }

    // MARK: Serving

    /// The peer of a server's connection may pair through this node. RELAY-3.
    func serveRelay(_ connection: Connection) {
        let mux = Protomux()
        guard let session = try? relayServer.accept(mux: mux, clientPublicKey: connection.remotePublicKey) else { return }
        connection.relayChannel = RelayChannel(mux: mux, role: .server(session))
        relaySessions[session] = connection
        pumpRelayChannel(connection)
    }

    /// Makes and ends the streams of links. RELAY-6, RELAY-7, RELAY-8.
    private func serveRelayEvents() {
        for event in relayServer.takeEvents() {
            switch event {
            case .matched(let link): join(link)
            case .destroyStream(let id):
                relayStreams.remove(StreamID(id))
                try? udx.destroy(StreamID(id), now: now)
            case .sessionClosed: break
            }
        }
    }

    private func join(_ link: BlindRelayServer.Link) {
        let first = StreamID(UInt32(truncatingIfNeeded: link.initiator.remoteStreamID))
        let second = StreamID(UInt32(truncatingIfNeeded: link.responder.remoteStreamID))
        guard let initiator = try? udx.createStream(firewall: .connectToSource(first), at: now) else { return }
        guard let responder = try? udx.createStream(firewall: .connectToSource(second), at: now) else {
            try? udx.destroy(initiator, now: now)
            return
        }
        try? udx.relay(initiator, to: responder)
        /// HDHT-66.
        if !Mutation.hyperDHT(66).isActive { try? udx.relay(responder, to: initiator) }
        relayStreams.insert(initiator)
        relayStreams.insert(responder)
        relayServer.activate(link, initiatorStream: initiator.rawValue, responderStream: responder.rawValue)
        for session in [link.initiator.session, link.responder.session] {
            if let connection = relaySessions[session], let channel = connection.relayChannel { flush(channel.mux, connection) }
        }
    }

    func relayStreamClosed(_ stream: StreamID) {
        guard relayStreams.remove(stream) != nil else { return }
        relayServer.streamClosed(stream.rawValue)
        serveRelayEvents()
    }

    /// Whether a relayed connection of ours is the pairing's initiator; nil if it is not relayed.
    public func isPairingInitiator(_ id: ConnectionID) -> Bool? { connections[id]?.relay?.isInitiator }

    /// Links that others have through this node, and pairings that wait.
    public var relayCounts: (links: Int, pending: Int) { (relayServer.linkCount, relayServer.pendingCount) }
}
