import CompactEncoding
import SansIO
import SecretStream
import UDX

/// Encrypted streams over raw ones: start, data, end. hyperdht.md section 16.
extension HyperDHTNode {
    func makeSecretStream(isInitiator: Bool, id: ConnectionID, keepAlive: Interval? = nil) -> SecretStream {
        var configuration = SecretStream.Configuration()
        /// HDHT-70.
        configuration.keepAlive = keepAlive ?? config.connectionKeepAlive ?? .zero
        if Mutation.hyperDHT(70).isActive { configuration.keepAlive = configuration.keepAlive == .zero ? .seconds(5) : .seconds(60) }
        return SecretStream(isInitiator: isInitiator, configuration: configuration, entropy: entropy, context: id.number)
    }

    // MARK: Commands

    /// One message; it waits while the connection is being made. False: more should wait for `.drained`.
    @discardableResult
    public func write(_ id: ConnectionID, _ message: [UInt8]) -> Bool {
        guard let connection = connections[id], !connection.isClosed else { return false }
        /// RELAY-13. The relay sees ciphertext only.
        if Mutation.blindRelay(13).isActive, connection.isRelayed { try? udx.send(connection.streamID, message: message, now: now) }
        try? connection.secret.write(message, at: now)
        touch(connection)
        settle()
        return !connection.isCongested
    }

    /// Ends our direction after what was written.
    public func end(_ id: ConnectionID) {
        guard let connection = connections[id] else { return }
        connection.secret.end(at: now)
        touch(connection)
        settle()
    }

    /// Closes at once.
    public func destroy(_ id: ConnectionID, reason: HyperDHTError? = nil) {
        guard let connection = connections[id] else { return }
        closeConnection(connection, reason)
        settle()
    }

    /// An unordered message, which may be lost; false before the connection is open.
    @discardableResult
    public func send(_ id: ConnectionID, message: [UInt8]) -> Bool {
        guard let connection = connections[id] else { return false }
        let isSent = connection.secret.sendUnordered(message)
        touch(connection)
        settle()
        return isSent
    }

    /// nil turns keepalives off.
    public func setKeepAlive(_ id: ConnectionID, _ interval: Interval?) {
        guard let connection = connections[id] else { return }
        connection.secret.setKeepAlive(interval ?? .zero, at: now)
        touch(connection)
        settle()
    }

    /// An empty message now, to see whether the path still works.
    public func sendKeepAlive(_ id: ConnectionID) {
        guard let connection = connections[id] else { return }
        connection.secret.sendKeepAlive(at: now)
        touch(connection)
        settle()
    }

    /// nil for a connection that is not open yet, or no more.
    public func info(of id: ConnectionID) -> ConnectionInfo? {
        guard let connection = connections[id], connection.isStarted else { return nil }
        return connection.info
    }

    /// Counters and estimates of the stream under a connection; nil when it is closed.
    public func streamStatistics(of id: ConnectionID) -> StreamStatistics? { connections[id].flatMap { udx.statistics(of: $0.streamID) } }

    // MARK: Paths

    /// Connects the raw stream and starts the encrypted one.
    func startStream(_ connection: Connection, _ socket: SocketID, _ remoteID: StreamID, _ remote: Endpoint, isRelayed: Bool) {
        guard let result = connection.handshakeResult, !connection.isStarted, !connection.isClosed else { return }
        do {
            try udx.connect(connection.streamID, socket, to: remoteID, at: remote, now: now)
        } catch {
            return closeConnection(connection, .peerConnectionFailed)
        }
        connection.isStarted = true
        connection.isRelayed = isRelayed
        connection.remoteStreamID = remoteID.rawValue
        occupy(connection, socket, remote)
        connection.handshakeResult = nil
        noteSecrets(connection, result)
        connection.secret.start(handshake: result, at: now)
        connection.awaitsFlushes = !connection.flushTokens.isEmpty
        statistics.connectionsOpened += 1
        touch(connection)
        guard admitToPool(connection) else { return }
        guard connection.relayFor == nil else { return relayConnectionOpened(connection) }
        if let server = connection.server {
            events.append(.connection(server, connection.id, connection.info))
            if servers[server]?.options.servesRelaying ?? false { serveRelay(connection) }
        } else {
            events.append(.connected(connection.id, connection.info))
        }
    }

    private func occupy(_ connection: Connection, _ socket: SocketID, _ remote: Endpoint) {
        connection.socket = socket
        connection.remoteAddress = remote
        if let old = connection.pooledSocket, sockets.streamEnded(old, now) { closePuncherSocket(old) }
        connection.pooledSocket = nil
        if sockets.contains(socket) {
            sockets.streamStarted(socket)
            connection.pooledSocket = socket
        }
    }

    /// A relayed stream goes over to a direct path.
    func movePath(_ connection: Connection, _ socket: SocketID, _ remoteID: StreamID, _ remote: Endpoint) {
        guard !connection.isClosed else { return }
        let isComplete: Bool
        do {
            isComplete = try udx.changeRemote(connection.streamID, socket, to: remoteID, at: remote, now: now)
        } catch { return }
        connection.isRelayed = false
        connection.remoteStreamID = remoteID.rawValue
        occupy(connection, socket, remote)
        events.append(.pathChanged(connection.id, remote, isRelayed: false))
        connection.upgrade = .changing
        if isComplete { confirmUpgrade(connection) }
    }

    /// An empty message shows the peer the direct path.
    private func confirmUpgrade(_ connection: Connection) {
        guard case .changing = connection.upgrade else { return }
        connection.upgrade = .confirming
        try? udx.send(connection.streamID, message: [], now: now)
    }

    /// Data came; if it came over the direct path, the relay is not needed any more.
    private func sawTraffic(_ connection: Connection) {
        guard case .confirming = connection.upgrade else { return }
        guard connection.isValidUpgrade else {
            connection.isValidUpgrade = true
            return
        }
        connection.upgrade = .none
        endRelay(connection)
    }

    func rememberRoute(_ connection: Connection, _ socket: SocketID, _ address: Endpoint) {
        connection.wantsReusableSocket = true
        // Routes over an ordinary socket end with nothing: without a bound they would pile up, one for each key that ever connected.
        if routesBySocket[connection.remotePublicKey] == nil, routesBySocket.count < config.limits.rememberedRelays {
            routesBySocket[connection.remotePublicKey] = (socket, address)
        }
        sockets.setReusable(socket, true)
    }

    /// A packet for a stream that has no path yet, or came outside it. HDHT-75.
    func decideStreamPacket(_ stream: StreamID, _ source: Endpoint, _ socket: SocketID) -> FirewallVerdict {
        guard source.port != 0 || Mutation.hyperDHT(75).isActive else {
            statistics.drop(.streamFromPortZero)
            return .deny
        }
        switch streamOwners[stream] {
        case nil: return .allow
        case .handshake(let handshake):
            serverPath(handshake, socket, source)
            return .allow
        case .connection(let connection):
            if isRelayPath(connection, source, socket) {
                connection.isValidUpgrade = false
                return .allow
            }
            connection.isValidUpgrade = true
            if let handshake = connection.handshake, !handshake.hasPath {
                serverPath(handshake, socket, source)
            } else if let attempt = connection.attempt, !attempt.hasPath {
                if attempt.accepted != nil {
                    clientPath(connection.id, socket, source)
                } else {
                    attempt.early = (socket, source)
                }
            }
            return .allow
        }
    }

    // MARK: Raw stream events

    func handle(_ event: UDXEvent) {
        guard case .connection(let connection) = streamOwners[event.stream] else {
            if case .closed(let stream, _) = event { relayStreamClosed(stream) }
            if case .closed(let stream, _) = event, case .handshake(let handshake) = streamOwners.removeValue(forKey: stream) {
                handshake.hasPath = true
                clearLater(handshake)
            }
            return
        }
        switch event {
        case .data(_, let bytes):
            sawTraffic(connection)
            connection.secret.receive(bytes, at: now)
            if let handshake = connection.handshake, !handshake.isProven, connection.secret.isReading {
                servers[handshake.server]?.prove(handshake)
            }
        case .message(_, let bytes):
            sawTraffic(connection)
            if !bytes.isEmpty { connection.secret.receiveUnordered(bytes) }
        case .end: connection.secret.receiveEnd(at: now)
        case .closed(_, let reason):
            switch reason {
            case .finished, .destroyed, .relayClosed: connection.secret.rawClosed(nil)
            case .reset:
                connection.closeReason = connection.closeReason ?? .connectionReset
                connection.secret.rawClosed(HyperDHTError.connectionReset.rawValue)
            case .timedOut:
                connection.closeReason = connection.closeReason ?? .connectionTimedOut
                connection.secret.rawClosed(HyperDHTError.connectionTimedOut.rawValue)
            }
            rawStreamGone(connection)
        case .drained:
            connection.isCongested = false
            if connection.relayFor == nil { events.append(.drained(connection.id)) }
        case .flushed(_, let token): if connection.relayFor == nil { events.append(.flushed(connection.id, token: token)) }
        case .remoteChanged: confirmUpgrade(connection)
        case .firewall, .connected: break
        }
        touch(connection)
    }

    // MARK: Secret stream output

    /// The connection's secret stream may have output.
    func touch(_ connection: Connection) {
        if connection.isPending { return }
        connection.isPending = true
        pending.append(connection)
    }

    func streamTimer(_ id: ConnectionID) {
        guard let connection = connections[id] else { return }
        connection.timer = nil
        connection.timerDue = .distantFuture
        if connection.secret.nextWakeUp <= now { connection.secret.advance(to: now) }
        touch(connection)
    }

    /// Carries out what the secret stream wants, and passes on what it tells.
    func pump(_ connection: Connection) {
        connection.isPending = false
        for effect in connection.secret.takeEffects() {
            switch effect {
            case .write(let bytes):
                if let isRoomy = try? udx.write(connection.streamID, bytes, now: now), !isRoomy { connection.isCongested = true }
            case .sendUnordered(let bytes): try? udx.send(connection.streamID, message: bytes, now: now)
            case .end: _ = try? udx.end(connection.streamID, now: now)
            case .destroy: try? udx.destroy(connection.streamID, now: now)
            }
        }
        if connection.awaitsFlushes {
            connection.awaitsFlushes = false
            for token in connection.flushTokens { try? udx.flush(connection.streamID, token: token) }
            connection.flushTokens = []
        }
        for event in connection.secret.takeEvents() { tell(connection, event) }
        let due = connection.secret.nextWakeUp
        if due < connection.timerDue {
            timers.cancel(&connection.timer)
            connection.timerDue = due
            connection.timer = timers.set(due, .stream(connection.id))
        }
    }

    private func tell(_ connection: Connection, _ event: SecretStream.Event) {
        if connection.relayChannel != nil, relayChannelTook(connection, event) { return }
        switch event {
        case .opened: break
        case .message(let bytes): if connection.relayFor == nil { events.append(.data(connection.id, bytes)) }
        case .unordered(let bytes): if connection.relayFor == nil { events.append(.message(connection.id, bytes)) }
        case .end: if connection.relayFor == nil { events.append(.ended(connection.id)) }
        case .closed(let error): secretClosed(connection, error)
        }
    }

    private func secretClosed(_ connection: Connection, _ error: SecretStreamError?) {
        var reason = connection.closeReason
        if reason == nil, let error, error.kind != .destroyed, error.kind != .rawStreamFailed { reason = .streamInvalid }
        finishConnection(connection, reason)
    }

    // MARK: The end

    /// Closes a connection in whatever state it is.
    func closeConnection(_ connection: Connection, _ reason: HyperDHTError?) {
        guard !connection.isClosed else { return }
        connection.closeReason = connection.closeReason ?? reason
        if connection.isStarted {
            connection.secret.destroy()
            touch(connection)
        } else {
            try? udx.destroy(connection.streamID, now: now)
            finishConnection(connection, connection.closeReason)
        }
    }

    /// Tells the owner, and forgets what only an open connection needs. Raw streams may linger below.
    private func finishConnection(_ connection: Connection, _ reason: HyperDHTError?) {
        guard !connection.isClosed else { return }
        connection.isClosed = true
        if connection.isStarted { statistics.connectionsClosed += 1 }
        timers.cancel(&connection.timer)
        if let attempt = connection.attempt { endAttempt(attempt) }
        if let handshake = connection.handshake {
            handshake.hasPath = true
            destroyPuncher(handshake, silently: true)
            clearLater(handshake)
        }
        destroyRelay(connection)
        relayChannelClosed(connection)
        leavePool(connection)
        // They hold one another, and a server that has closed since has no timer left that would part them.
        if let handshake = connection.handshake { part(handshake) }
        connections[connection.id] = nil
        if connection.wantsReusableSocket, reason != nil, let socket = connection.socket {
            sockets.setReusable(socket, false)
            if routesBySocket[connection.remotePublicKey]?.socket == socket { routesBySocket[connection.remotePublicKey] = nil }
        }
        if let owner = connection.relayFor {
            relayConnectionClosed(owner, connection)
        } else {
            events.append(.connectionClosed(connection.id, reason))
        }
        if udx.statistics(of: connection.streamID) == nil { rawStreamGone(connection) }
    }

    private func rawStreamGone(_ connection: Connection) {
        streamOwners[connection.streamID] = nil
        if let socket = connection.pooledSocket {
            connection.pooledSocket = nil
            if sockets.streamEnded(socket, now) { closePuncherSocket(socket) }
        }
    }

    private func endAttempt(_ attempt: ConnectAttempt) {
        stopSearching(attempt)
        releaseRoute(attempt)
        endPunching(attempt)
        timers.cancel(&attempt.passiveTimer)
        timers.cancel(&attempt.pauseTimer)
    }
}
