import CompactEncoding
import DHTRPC
import HyperCrypto
import Noise
import SansIO
import SecretStream
import UDX

/// Connecting to a key: the search for a way to it, and the handshake. hyperdht.md section 13, steps 1 to 6. HDHT-54, HDHT-55, HDHT-72.
extension HyperDHTNode {
    /// Connects to a public key. Ends with `.connected` or `.connectionClosed`; what is written before waits.
    @discardableResult
    public func connect(_ publicKey: Bytes32, options: ConnectOptions = ConnectOptions()) -> ConnectionID {
        let id = connect(publicKey, options, relayFor: nil)
        settle()
        return id
    }

    /// Connects to an address form of a key: 32 bytes, or more with nodes.
    @discardableResult
    public func connect(_ address: PeerAddress, options: ConnectOptions = ConnectOptions()) -> ConnectionID {
        var options = options
        if options.relayAddresses.isEmpty { options.relayAddresses = Mutation.hyperDHT(72).isActive ? [] : address.nodes }
        return connect(address.publicKey, options: options)
    }

    func connect(_ publicKey: Bytes32, _ options: ConnectOptions, relayFor: RelayOwner?) -> ConnectionID {
        let id = ConnectionID(number: takeNumber())
        let refusal = connectRefusal
        /// HDHT-73.
        if let refusal, !Mutation.hyperDHT(73).isActive {
            events.append(.connectionClosed(id, refusal))
            return id
        }
        if let pool = options.pool, let existing = pools[pool]?[publicKey] { return existing }
        let keyPair = options.keyPair ?? defaultKeyPair
        guard let stream = try? udx.createStream(firewall: .ask, at: now),
            let noise = try? HandshakeState(
                pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: keyPair, remoteStatic: publicKey,
                entropy: entropy, context: id.number)
        else {
            events.append(.connectionClosed(id, .tooMany))
            return id
        }
        let connection = Connection(
            id: id, isInitiator: true, publicKey: keyPair.publicKey, remotePublicKey: publicKey, streamID: stream,
            secret: makeSecretStream(isInitiator: true, id: id, keepAlive: relayFor != nil ? options.relayKeepAlive : nil), server: nil,
            relayFor: relayFor)
        let attempt = ConnectAttempt(
            id: id, remotePublicKey: publicKey, keyPair: keyPair, options: options, streamID: stream, noise: noise)
        connection.attempt = attempt
        connection.pool = options.pool
        connections[id] = connection
        streamOwners[stream] = .connection(connection)
        if let pool = options.pool { pools[pool, default: [:]][publicKey] = id }
        if !options.relayThrough.isEmpty { attempt.relayToken = Bytes32(entropy.bytes(32, for: EntropyLabel(.relayToken, id.number))) }
        startConnecting(connection, attempt)
        return id
    }

    private var connectRefusal: HyperDHTError? {
        switch life {
        case .suspending, .suspended: .suspended
        case .closing, .destroyed: .nodeDestroyed
        case .running: connections.count >= config.limits.connecting + config.streams.maximumStreams ? .tooMany : nil
        }
    }

    private func startConnecting(_ connection: Connection, _ attempt: ConnectAttempt) {
        if attempt.options.reusableSocket, let route = routesBySocket[attempt.remotePublicKey],
            sockets.contains(route.socket) || route.socket == rpc.outgoingSocket
        {
            attempt.isTryingRoute = true
            attempt.routeSocket = route.socket
            sockets.retain(route.socket)
            requestHandshake(attempt, route.address, socket: route.socket, isPreconnect: false)
            return
        }
        findAndConnect(attempt)
    }

    // MARK: The search

    private func findAndConnect(_ attempt: ConnectAttempt) {
        let limit = config.limits.candidatesPerConnect
        var known = Array(attempt.options.relayAddresses.prefix(limit))
        if known.isEmpty { known = relayCache.get(attempt.remotePublicKey) ?? [] }
        if store != nil, case .relay(let address) = routes.route(attempt.target)?.destination { known = [address] }
        attempt.preconnect = known.filter { $0.port != 0 }
        attempt.seeds = attempt.preconnect
        attempt.searchesWanted = attempt.preconnect.isEmpty ? 1 : 2
        if !attempt.preconnect.isEmpty {
            attempt.preconnectIsRunning = true
            attempt.preconnectQueue = attempt.preconnect[...]
            attempt.running += 1
            tryNextPreconnect(attempt)
        }
        search(attempt)
    }

    private func search(_ attempt: ConnectAttempt) {
        var options = QueryOptions()
        options.retries = 3
        options.nodes = attempt.searches == 0 ? attempt.seeds : []
        attempt.searches += 1
        let query = rpc.query(target: attempt.target, command: HyperDHTCommand.findPeer.rawValue, options: options)
        attempt.query = query
        queries[query] = .connect(attempt.id)
    }

    private func tryNextPreconnect(_ attempt: ConnectAttempt) {
        guard attempt.accepted == nil, let next = attempt.preconnectQueue.popFirst() else {
            attempt.preconnectIsRunning = false
            return slotFreed(attempt)
        }
        attempt.triedRelays.append(next)
        requestHandshake(attempt, next, socket: nil, isPreconnect: true)
    }

    /// A replier to FIND_PEER. HDHT-76: a record that can't be decoded makes no candidate.
    func connectReplied(_ id: ConnectionID, _ reply: ReceivedResponse) {
        guard let attempt = connections[id]?.attempt, attempt.accepted == nil, let value = reply.value else { return }
        guard (try? PeerRecord(decoding: value)) != nil else { return statistics.drop(.undecodableReply) }
        guard attempt.candidates.count < config.limits.candidatesPerConnect else { return }
        attempt.candidates.append(reply.from)
        tryCandidates(attempt)
    }

    private func tryCandidates(_ attempt: ConnectAttempt) {
        while attempt.accepted == nil, attempt.running < attempt.slots, !attempt.candidates.isEmpty {
            let next = attempt.candidates.removeFirst()
            // Those known beforehand are being tried already.
            if attempt.searches == 1, attempt.preconnect.contains(next) { continue }
            attempt.triedRelays.append(next)
            attempt.attempts += 1
            attempt.running += 1
            requestHandshake(attempt, next, socket: nil, isPreconnect: false)
        }
    }

    private func slotFreed(_ attempt: ConnectAttempt) {
        attempt.running -= 1
        tryCandidates(attempt)
        concludeSearch(attempt)
    }

    func connectSearchEnded(_ id: ConnectionID) {
        guard let attempt = connections[id]?.attempt else { return }
        attempt.query = nil
        concludeSearch(attempt)
    }

    /// The search is over and nothing is being tried: once more without seeds, or that was it.
    private func concludeSearch(_ attempt: ConnectAttempt) {
        guard attempt.accepted == nil, attempt.query == nil, attempt.candidates.isEmpty, !attempt.isTryingRoute else { return }
        if attempt.searches < attempt.searchesWanted, attempt.running == 0 || attempt.attempts == 0 { return search(attempt) }
        guard attempt.running == 0 else { return }
        fail(attempt.id, attempt.attempts > 0 ? .peerConnectionFailed : .peerNotFound)
    }

    // MARK: The handshake

    private func requestHandshake(_ attempt: ConnectAttempt, _ relay: Endpoint, socket: SocketID?, isPreconnect: Bool) {
        if attempt.request == nil || Mutation.hyperDHT(55).isActive { attempt.request = firstMessage(attempt) }
        guard let noise = attempt.request else { return fail(attempt.id, .handshakeInvalid) }
        let value = HandshakeMessage(mode: .fromClient, noise: noise).encoded
        attempt.requests.insert(
            request(
                .peerHandshake, to: relay, target: attempt.target, value: value, socket: socket,
                for: .handshake(attempt.id, relay, isPreconnect: isPreconnect)))
    }

    /// HDHT-55. Made once, whatever the number of relays.
    private func firstMessage(_ attempt: ConnectAttempt) -> [UInt8]? {
        let own = publicAddress
        var addresses: [Endpoint] = []
        if let own { addresses.append(own) }
        if attempt.options.localConnection { addresses += localAddresses }
        attempt.firewall = own != nil ? .open : .unknown
        var payload = NoisePayload(
            firewall: attempt.firewall, addresses4: addresses,
            udx: NoisePayload.UDXInfo(reusableSocket: attempt.options.reusableSocket, id: UInt64(attempt.streamID.rawValue)),
            secretStream: NoisePayload.SecretStreamInfo())
        let relays = attempt.options.relayThrough
        if let token = attempt.relayToken, !relays.isEmpty {
            let chosen = relays[Int(entropy.uniform(below: UInt64(relays.count), for: EntropyLabel(.relayChoice)))]
            attempt.relayKey = chosen
            payload.relayThrough = NoisePayload.RelayThroughInfo(publicKey: chosen, token: token)
        }
        if Mutation.hyperDHT(55).isActive, attempt.request != nil {
            attempt.noise = try? HandshakeState(
                pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: attempt.keyPair,
                remoteStatic: attempt.remotePublicKey, entropy: entropy, context: takeNumber())
        }
        return try? attempt.noise?.write(payload: payload.encoded)
    }

    func handshakeAnswered(
        _ id: ConnectionID, _ requestID: RequestID, _ relay: Endpoint, _ isPreconnect: Bool, _ response: ReceivedResponse
    ) {
        guard let connection = connections[id], let attempt = connection.attempt else { return }
        guard attempt.accepted == nil else { return }
        attempt.requests.remove(requestID)
        /// HDHT-54. An answer counts only from the node that was asked, as a REPLY with a Noise message.
        guard let message = response.value.flatMap({ try? HandshakeMessage(decoding: $0) }),
            message.mode == .reply, response.from == relay,
            !message.noise.isEmpty
        else {
            statistics.drop(.foreignReply)
            return relayGivenUp(attempt, isPreconnect)
        }
        // A forged message 2 changes nothing: the state that took it is a copy.
        guard let noise = attempt.noise, let plaintext = try? noise.read(message.noise), let result = noise.result,
            let payload = try? NoisePayload(decoding: plaintext)
        else {
            statistics.drop(.invalidNoise)
            return relayGivenUp(attempt, isPreconnect)
        }
        guard payload.version == 1 else { return fail(id, .serverIncompatible) }
        guard payload.error == .none, payload.udx != nil else { return fail(id, .serverError) }
        attempt.accepted = ConnectAttempt.Accepted(
            relayAddress: relay, serverAddress: message.peerAddress ?? relay, clientAddress: response.to,
            isRelayed: message.peerAddress != nil, payload: payload, result: result)
        connection.handshakeResult = result
        attempt.noise = nil
        stopSearching(attempt)
        handshakeDone(connection, attempt, response.socket)
        // Only now: the stream may be what keeps the socket of a remembered route open.
        releaseRoute(attempt)
    }

    func handshakeFailed(_ id: ConnectionID, _ requestID: RequestID, _ relay: Endpoint, _ isPreconnect: Bool) {
        guard let attempt = connections[id]?.attempt, attempt.accepted == nil else { return }
        attempt.requests.remove(requestID)
        relayGivenUp(attempt, isPreconnect)
    }

    private func relayGivenUp(_ attempt: ConnectAttempt, _ isPreconnect: Bool) {
        if attempt.isTryingRoute {
            releaseRoute(attempt)
            return findAndConnect(attempt)
        }
        if isPreconnect { tryNextPreconnect(attempt) } else { slotFreed(attempt) }
    }

    func releaseRoute(_ attempt: ConnectAttempt) {
        guard attempt.isTryingRoute else { return }
        attempt.isTryingRoute = false
        guard let socket = attempt.routeSocket else { return }
        attempt.routeSocket = nil
        if sockets.release(socket, now) { closePuncherSocket(socket) }
    }

    /// Cancels every other way to the same peer.
    func stopSearching(_ attempt: ConnectAttempt) {
        if let query = attempt.query { cancel(query) }
        attempt.query = nil
        attempt.candidates = []
        for request in attempt.requests.sorted() { cancel(request) }
        attempt.requests = []
    }

    private func handshakeDone(_ connection: Connection, _ attempt: ConnectAttempt, _ socket: SocketID) {
        guard let accepted = attempt.accepted else { return }
        attempt.box = HolepunchBox(secret: accepted.result.holepunchSecret)
        attempt.localSecret = entropy.bytes(32, for: EntropyLabel(.holepunchSecret, attempt.id.number))
        startClientRelay(attempt, accepted.payload)
        if let early = attempt.early { return clientPath(attempt.id, early.socket, early.from) }
        if !accepted.isRelayed { return clientPath(attempt.id, socket, accepted.relayAddress) }
        holepunch(connection, attempt)
    }

    // MARK: Paths

    /// The stream has a direct path.
    func clientPath(_ id: ConnectionID, _ socket: SocketID, _ address: Endpoint) {
        guard let connection = connections[id], let attempt = connection.attempt, let accepted = attempt.accepted, !attempt.hasPath,
            let info = accepted.payload.udx
        else { return }
        attempt.hasPath = true
        let remoteID = StreamID(UInt32(truncatingIfNeeded: info.id))
        if connection.isStarted {
            movePath(connection, socket, remoteID, address)
        } else {
            rememberRelays(attempt, accepted.payload)
            startStream(connection, socket, remoteID, address, isRelayed: false)
        }
        if attempt.options.reusableSocket, info.reusableSocket { rememberRoute(connection, socket, address) }
        endPunching(attempt)
        timers.cancel(&attempt.passiveTimer)
        timers.cancel(&attempt.pauseTimer)
        // An idle connection holds nothing of how it came about.
        if attempt.relay == nil { connection.attempt = nil }
    }

    private func rememberRelays(_ attempt: ConnectAttempt, _ payload: NoisePayload) {
        let theirs = payload.relayAddresses?.prefix(config.limits.holepunchRelays).filter { AddressClass.isRelayTarget($0) } ?? []
        if !theirs.isEmpty {
            relayCache.set(attempt.remotePublicKey, theirs)
        } else if !attempt.triedRelays.isEmpty {
            relayCache.set(attempt.remotePublicKey, Array(attempt.triedRelays.prefix(config.limits.holepunchRelays)))
        }
    }

    /// Whether the attempt is over, one way or the other. Waits for a relay or a puncher that may still succeed.
    func isDone(_ attempt: ConnectAttempt) -> Bool {
        guard let connection = connections[attempt.id], !connection.isClosed else { return true }
        if attempt.puncher?.isConnected ?? false { return true }
        guard connection.isStarted else { return false }
        if attempt.relay != nil, let puncher = attempt.puncher, !puncher.isConnected, !puncher.isDestroyed { return false }
        return true
    }

    /// The attempt has failed, unless something else may still bring it through.
    func fail(_ id: ConnectionID, _ error: HyperDHTError) {
        guard let connection = connections[id], let attempt = connection.attempt, !isDone(attempt), !connection.isStarted else { return }
        if attempt.relay != nil { return }
        if let puncher = attempt.puncher, !puncher.isDestroyed { return }
        closeConnection(connection, error)
    }
}
