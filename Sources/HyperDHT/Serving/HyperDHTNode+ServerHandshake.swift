import CompactEncoding
import DHTRPC
import HyperCrypto
import Noise
import SansIO
import SecretStream
import UDX

/// Handshakes with clients. hyperdht.md section 12. HDHT-40 to HDHT-45.
extension HyperDHTNode {
    static let prepunchWait = Interval.seconds(10)

    func serverHandshake(
        _ id: ServerID, _ noise: [UInt8], _ peerAddress: Endpoint?, _ path: RoutingAction.AnswerPath, _ request: IncomingRequest
    ) {
        guard let server = servers[id], !server.isClosing, !server.isSuspended else { return }
        /// HDHT-41, NOISE-12. A copy of message 1 gets the very same answer, by whatever way it came.
        if let known = server.byNoise[noise], !Mutation.hyperDHT(41).isActive, !Mutation.noise(12).isActive {
            answer(known, path, request)
            return
        }
        guard server.unproven < config.limits.handshakesPerServer, server.byNumber.count < config.limits.handshakesRememberedPerServer
        else {
            return statistics.drop(.tooManyHandshakes)
        }
        let client = peerAddress ?? request.from
        guard server.gate.admits(client.address, now) else { return statistics.drop(.handshakesTooOften) }
        let handshake = ServerHandshake(
            number: takeNumber(), server: id, noise: noise, clientAddress: client, serverAddress: request.to, isDirect: peerAddress == nil,
            socket: request.socket)
        server.reserveSlot(handshake)
        handshake.waiting.append((request, path))
        readFirstMessage(server, handshake)
    }

    private func readFirstMessage(_ server: Server, _ handshake: ServerHandshake) {
        let state: HandshakeState
        let payload: NoisePayload
        do {
            state = try HandshakeState(
                pattern: .ik, isInitiator: false, prologue: Namespace.peerHandshake.bytes, staticKeys: server.keyPair, entropy: entropy,
                context: handshake.number)
            let plaintext = try state.read(handshake.noise)
            /// NOISE-16. Valid Noise around what is no payload: silence.
            guard let decoded = (try? NoisePayload(decoding: plaintext)) ?? (Mutation.noise(16).isActive ? NoisePayload() : nil) else {
                statistics.drop(.undecodablePayload)
                return silence(server, handshake)
            }
            payload = decoded
        } catch {
            /// HDHT-42. Another key, a broken tag, a point that is none: silence.
            statistics.drop(.invalidNoise)
            if Mutation.hyperDHT(42).isActive {
                handshake.state = .answered([0])
                return answerAll(handshake)
            }
            return silence(server, handshake)
        }
        guard let remote = state.remoteStatic else { return silence(server, handshake) }
        handshake.remotePayload = payload
        switch server.options.firewall {
        case .accept: firewallDecided(server, handshake, state, payload, remote, true)
        case .reject: firewallDecided(server, handshake, state, payload, remote, false)
        case .ask:
            handshake.state = .asking(state, payload)
            handshake.askTimer = timers.set(now + HyperDHTNode.prepunchWait, .firewallQuestion(server.id, handshake.number))
            let question = QuestionID(number: takeNumber())
            firewallQuestions[question] = (server.id, handshake.number)
            events.append(
                .firewall(
                    FirewallQuestion(
                        id: question, server: server.id, remotePublicKey: remote, payload: payload, clientAddress: handshake.clientAddress))
            )
        }
    }

    /// Answers a `firewall` question. A hook that throws refuses. HDHT-44.
    ///
    /// - Parameter relayThrough: relays to offer in this handshake alone; nil: those of the server's options.
    public func decide(_ question: QuestionID, accept: Bool, relayThrough: [Bytes32]? = nil) {
        defer { settle() }
        guard let (id, number) = firewallQuestions.removeValue(forKey: question), let server = servers[id],
            let handshake = server.byNumber[number], case .asking(let state, let payload) = handshake.state,
            let remote = state.remoteStatic
        else { return }
        timers.cancel(&handshake.askTimer)
        handshake.relays = relayThrough
        firewallDecided(server, handshake, state, payload, remote, accept)
    }

    /// No decision is a refusal: the client has given up by now.
    func firewallUnanswered(_ server: ServerID, _ number: UInt64) {
        for (question, asked) in firewallQuestions where asked.server == server && asked.handshake == number {
            firewallQuestions[question] = nil
        }
        guard let server = servers[server], let handshake = server.byNumber[number], case .asking = handshake.state else { return }
        handshake.askTimer = nil
        statistics.drop(.firewalled)
        silence(server, handshake)
    }

    private func firewallDecided(
        _ server: Server, _ handshake: ServerHandshake, _ state: HandshakeState, _ payload: NoisePayload, _ remote: Bytes32,
        _ isAccepted: Bool
    ) {
        if server.options.firewall != .ask {
            events.append(
                .firewallDecided(server.id, remotePublicKey: remote, clientAddress: handshake.clientAddress, accepted: isAccepted))
        }
        guard isAccepted || Mutation.hyperDHT(44).isActive else {
            statistics.drop(.firewalled)
            return silence(server, handshake)
        }
        writeSecondMessage(server, handshake, state, payload)
        answerAll(handshake)
        if handshake.mayRelay { startServerRelay(server, handshake, ours: handshake.offeredRelay) }
    }

    private func silence(_ server: Server, _ handshake: ServerHandshake) {
        handshake.state = .silent
        handshake.waiting = []
        clearLater(handshake)
    }

    // MARK: The answer

    private func writeSecondMessage(_ server: Server, _ handshake: ServerHandshake, _ state: HandshakeState, _ payload: NoisePayload) {
        /// HDHT-43.
        var error: PeerErrorCode = payload.version != 1 ? .versionMismatch : payload.udx == nil ? .aborted : .none
        if Mutation.hyperDHT(43).isActive { error = .none }
        let own = publicAddress
        var addresses: [Endpoint] = []
        if let own { addresses.append(own) }
        if server.options.sharesLocalAddress { addresses += localAddresses }
        if error == .none {
            handshake.streamID = try? udx.createStream(firewall: .ask, at: now)
            if let stream = handshake.streamID { streamOwners[stream] = .handshake(handshake) }
        }
        let relays = handshake.relays ?? server.options.relayThrough
        let relay = relays.isEmpty ? nil : relays[Int(entropy.uniform(below: UInt64(relays.count), for: EntropyLabel(.relayChoice)))]
        if relay != nil { handshake.relayToken = Bytes32(entropy.bytes(32, for: EntropyLabel(.relayToken, handshake.number))) }
        var answer = NoisePayload(
            error: error, firewall: own != nil ? .open : .unknown, addresses4: addresses,
            udx: NoisePayload.UDXInfo(reusableSocket: server.options.reusableSocket, id: UInt64(handshake.streamID?.rawValue ?? 0)),
            secretStream: NoisePayload.SecretStreamInfo(), relayAddresses: server.announcer.relayAddresses)
        if own == nil { answer.holepunch = NoisePayload.HolepunchInfo(id: handshake.slot, relays: server.announcer.relays) }
        if let relay, let token = handshake.relayToken {
            answer.relayThrough = NoisePayload.RelayThroughInfo(publicKey: relay, token: token)
        }
        /// HDHT-40.
        if Mutation.hyperDHT(40).isActive { answer.udx = nil }
        guard let message = try? state.write(payload: answer.encoded), let result = state.result else {
            dropStream(handshake)
            return silence(server, handshake)
        }
        handshake.result = result
        handshake.state = .answered(message)
        statistics.handshakesAnswered += 1
        guard error == .none, handshake.streamID != nil else { return clearLater(handshake) }
        if payload.firewall == .open || handshake.isDirect {
            statistics.punches.open += 1
            let socket = handshake.isDirect ? handshake.socket : rpc.outgoingSocket ?? handshake.socket
            return serverPath(handshake, socket, handshake.clientAddress)
        }
        handshake.offeredRelay = relay
        handshake.mayRelay = true
        awaitClient(server, handshake, isOpen: own != nil)
    }

    /// hyperdht.md section 12, step 5, c to e.
    private func awaitClient(_ server: Server, _ handshake: ServerHandshake, isOpen: Bool) {
        guard let payload = handshake.remotePayload, let result = handshake.result else { return }
        let prepareAbort = { [self] in
            handshake.prepunchTimer = timers.set(now + HyperDHTNode.prepunchWait, .prepunch(server.id, handshake.number))
        }
        if handshake.clientAddress.address == handshake.serverAddress.address, server.options.sharesLocalAddress {
            let theirs = payload.addresses4.prefix(config.limits.addresses).filter { AddressClass.isPrivate($0.address) }
            if AddressClass.bestMatch(ours: localAddresses, theirs: Array(theirs)) != nil {
                preparePuncher(handshake, payload, result)
                return prepareAbort()
            }
        }
        if isOpen || server.options.holepunch == .never { return prepareAbort() }
        preparePuncher(handshake, payload, result)
        handshake.repliesFromPuncher = true
        prepareAbort()
    }

    private func preparePuncher(_ handshake: ServerHandshake, _ payload: NoisePayload, _ result: HandshakeResult) {
        handshake.box = HolepunchBox(secret: result.holepunchSecret)
        handshake.localSecret = entropy.bytes(32, for: EntropyLabel(.holepunchSecret, handshake.number))
        handshake.puncher = Puncher(isInitiator: false, remoteFirewall: payload.firewall, budget: budget, environment) {
            [unowned self] in openPuncherSocket()
        }
        puncherWorked(.server(handshake.server, handshake.number))
    }

    private func answerAll(_ handshake: ServerHandshake) {
        let waiting = handshake.waiting
        handshake.waiting = []
        for (request, path) in waiting { answer(handshake, path, request) }
    }

    /// Sends the answer the way that the copy came, or remembers the copy until there is one.
    private func answer(_ handshake: ServerHandshake, _ path: RoutingAction.AnswerPath, _ request: IncomingRequest) {
        switch handshake.state {
        case .new, .asking:
            if handshake.waiting.count < 8 { handshake.waiting.append((request, path)) }
        case .silent: break
        case .answered(let noise):
            var socket: SocketID?
            if handshake.repliesFromPuncher {
                guard let own = handshake.puncher?.socket else { return }
                socket = own
            }
            switch path {
            case .nowhere: break
            case .reply:
                let value = HandshakeMessage(mode: .reply, noise: noise).encoded
                rpc.reply(to: request, value: value, token: false, closerNodes: false, on: socket)
            case .relay(let to, let peerAddress):
                guard AddressClass.isRelayTarget(to) else { return statistics.drop(.unfitRelayTarget) }
                let value = HandshakeMessage(mode: .fromServer, noise: noise, peerAddress: peerAddress).encoded
                rpc.relay(request, to: to, value: value, on: socket)
            }
        }
    }

    // MARK: Paths

    /// The stream has a direct path: from a first packet, an open client, or a direct request.
    func serverPath(_ handshake: ServerHandshake, _ socket: SocketID, _ address: Endpoint) {
        guard !handshake.hasPath, let server = servers[handshake.server], let stream = handshake.streamID,
            let payload = handshake.remotePayload, let udxInfo = payload.udx
        else { return }
        handshake.hasPath = true
        clearLater(handshake)
        timers.cancel(&handshake.prepunchTimer)
        let remoteID = StreamID(UInt32(truncatingIfNeeded: udxInfo.id))
        if let connection = handshake.connection {
            movePath(connection, socket, remoteID, address)
        } else if let connection = makeServerConnection(server, handshake, stream) {
            startStream(connection, socket, remoteID, address, isRelayed: false)
        }
        if server.options.reusableSocket, udxInfo.reusableSocket, let connection = handshake.connection {
            rememberRoute(connection, socket, address)
        }
        destroyPuncher(handshake, silently: true)
    }

    func makeServerConnection(_ server: Server, _ handshake: ServerHandshake, _ stream: StreamID) -> Connection? {
        guard let result = handshake.result, let remote = result.remotePublicKey else { return nil }
        let id = ConnectionID(number: takeNumber())
        let connection = Connection(
            id: id, isInitiator: false, publicKey: result.publicKey, remotePublicKey: remote, streamID: stream,
            secret: makeSecretStream(isInitiator: false, id: id), server: server.id, relayFor: nil)
        connection.pool = server.options.pool
        connection.handshake = handshake
        connection.handshakeResult = result
        handshake.connection = connection
        connections[id] = connection
        streamOwners[stream] = .connection(connection)
        return connection
    }

    /// The stream is gone before there was a connection.
    func dropStream(_ handshake: ServerHandshake) {
        guard let stream = handshake.streamID else { return }
        handshake.hasPath = true
        streamOwners[stream] = nil
        try? udx.destroy(stream, now: now)
    }

    // MARK: Forgetting

    func clearLater(_ handshake: ServerHandshake) {
        guard handshake.clearTimer == nil, let server = servers[handshake.server] else { return }
        handshake.clearTimer = timers.set(
            now + server.options.handshakeClearWait, .clearHandshake(handshake.server, handshake.number))
    }

    func clearHandshake(_ server: ServerID, _ number: UInt64) {
        guard let server = servers[server], let handshake = server.byNumber[number] else { return }
        handshake.clearTimer = nil
        abandonRelay(handshake)
        server.forget(handshake)
        if handshake.relay == nil { part(handshake) }
    }

    /// The connection goes on, or ends, without the handshake that made it.
    func part(_ handshake: ServerHandshake) {
        handshake.connection?.handshake = nil
        handshake.connection = nil
    }

    /// Neither a punch nor a packet came in time.
    func prepunchTimedOut(_ server: ServerID, _ number: UInt64) {
        guard let handshake = servers[server]?.byNumber[number] else { return }
        handshake.prepunchTimer = nil
        if handshake.puncher != nil { destroyPuncher(handshake, silently: false) } else { serverAborted(handshake) }
    }

    /// Punching came to nothing. A relayed connection goes on; otherwise the stream ends.
    func serverAborted(_ handshake: ServerHandshake) {
        guard !handshake.isAborted else { return }
        handshake.isAborted = true
        timers.cancel(&handshake.prepunchTimer)
        destroyPuncher(handshake, silently: true)
        if handshake.hasPath { return clearLater(handshake) }
        if handshake.relay == nil {
            dropStream(handshake)
            clearLater(handshake)
        }
    }
}
