import CompactEncoding
import DHTRPC
import SansIO

/// From an accepted handshake to a path: direct, on the LAN, or punched. hyperdht.md section 13, steps 7 to 12. HDHT-56 to HDHT-60.
extension HyperDHTNode {
    static let passiveWait = Interval.seconds(10)

    func holepunch(_ connection: Connection, _ attempt: ConnectAttempt) {
        guard let accepted = attempt.accepted else { return }
        let payload = accepted.payload
        let isPunchable = !(payload.holepunch?.relays.isEmpty ?? true)
        let isRelayed = accepted.serverAddress != accepted.relayAddress
        /// HDHT-56, HDHT-57.
        if payload.firewall == .open || (isRelayed && !isPunchable && !Mutation.hyperDHT(57).isActive), let socket = rpc.outgoingSocket {
            let offered = payload.addresses4.prefix(config.limits.addresses).first {
                !AddressClass.isBogon($0.address) || Mutation.hyperDHT(56).isActive
            }
            statistics.punches.open += 1
            return clientPath(attempt.id, socket, offered ?? accepted.serverAddress)
        }
        if attempt.firewall == .open {
            attempt.passiveTimer = timers.set(now + HyperDHTNode.passiveWait, .passiveConnect(attempt.id))
            return
        }
        if attempt.options.localConnection, isRelayed, accepted.clientAddress.address == accepted.serverAddress.address {
            let theirs = payload.addresses4.prefix(config.limits.addresses).filter { !AddressClass.isReserved($0.address) }
            if let first = theirs.first {
                let address = AddressClass.bestMatch(ours: localAddresses, theirs: Array(theirs)) ?? first
                ping(address, for: .lanPing(attempt.id, address))
                if !isPunchable { return }
            }
        }
        guard isPunchable, let relay = attempt.serverRelay else { return fail(attempt.id, .cannotHolepunch) }
        attempt.puncher = Puncher(isInitiator: true, remoteFirewall: payload.firewall, budget: budget, environment) {
            [unowned self] in openPuncherSocket()
        }
        puncherWorked(.client(attempt.id))
        probe(attempt, attempt.options.fastOpen ? accepted.serverAddress : nil, relay, retry: true)
    }

    func passiveConnectTimedOut(_ id: ConnectionID) {
        connections[id]?.attempt?.passiveTimer = nil
        fail(id, .holepunchAborted)
    }

    /// The LAN's answer, in a race with punching.
    func lanPinged(_ id: ConnectionID, _ address: Endpoint, _ isAlive: Bool) {
        guard let attempt = connections[id]?.attempt, !isDone(attempt) else { return }
        if isAlive, let server = rpc.sockets?.server {
            clientPath(id, server, address)
        } else if attempt.accepted?.payload.holepunch?.relays.isEmpty ?? true {
            fail(id, .holepunchAborted)
        }
    }

    // MARK: Round 0

    /// Opens our NAT towards the server, and asks it, through its relay, what its own is like.
    private func probe(_ attempt: ConnectAttempt, _ server: Endpoint?, _ relay: NoisePayload.HolepunchInfo.Relay, retry: Bool) {
        guard let puncher = attempt.puncher else { return }
        if let server { puncher.openSession(server) }
        puncherWorked(.client(attempt.id))
        attempt.punch = .probing(retry: retry, server: server)
        let payload = HolepunchPayload(
            firewall: puncher.nat.firewall, round: nextRound(attempt), addresses: puncher.nat.addresses, remoteAddress: server)
        sendRound(attempt, payload, through: relay.relayAddress, peerAddress: relay.peerAddress)
    }

    private func nextRound(_ attempt: ConnectAttempt) -> UInt64 {
        defer { attempt.round += 1 }
        return attempt.round
    }

    private func sendRound(_ attempt: ConnectAttempt, _ payload: HolepunchPayload, through relay: Endpoint, peerAddress: Endpoint) {
        let nonce = entropy.bytes(HolepunchBox.nonceLength, for: EntropyLabel(.holepunchNonce, attempt.id.number))
        guard let accepted = attempt.accepted, let id = accepted.payload.holepunch?.id, let socket = attempt.puncher?.socket,
            let sealed = attempt.box?.seal(payload, nonce: nonce)
        else { return }
        attempt.lastSent = payload
        attempt.lastPeer = peerAddress
        let message = HolepunchMessage(mode: .fromClient, id: id, payload: sealed, peerAddress: peerAddress)
        attempt.requests.insert(
            request(
                .peerHolepunch, to: relay, target: attempt.target, value: message.encoded, socket: socket,
                for: .holepunch(attempt.id, relay)))
    }

    /// An answer to a round.
    func holepunchAnswered(_ id: ConnectionID, _ relay: Endpoint, _ response: ReceivedResponse) {
        guard let attempt = connections[id]?.attempt, let puncher = attempt.puncher else { return }
        if case .aborting(let error) = attempt.punch { return punchFailed(attempt, error) }
        guard !isDone(attempt) else { return }
        guard let message = response.value.flatMap({ try? HolepunchMessage(decoding: $0) }), message.mode == .reply, response.from == relay
        else { return punchFailed(attempt, .badHolepunchReply) }
        guard let remote = attempt.box?.openPayload(message.payload), let sent = attempt.lastSent else {
            return punchFailed(attempt, .holepunchInvalid)
        }
        if remote.error == .tryLater, attempt.relayToken != nil || attempt.relay != nil, sent.punching { return triedTooEarly(attempt) }
        guard remote.error == .none else { return punchFailed(attempt, .remoteAborted) }
        let isEchoed = sent.token != nil && remote.remoteToken == sent.token
        puncher.updateRemote(
            punching: remote.punching, firewall: remote.firewall, addresses: remote.addresses,
            verified: isEchoed ? attempt.lastPeer?.address : nil)
        switch attempt.punch {
        case .probing(let retry, let server):
            puncher.add(response.to, from: response.from, environment)
            let probe = ConnectAttempt.PunchPhase.Probe(
                retry: retry, server: server, token: remote.token, peerAddress: message.peerAddress ?? relay)
            puncherWorked(.client(id))
            if puncher.remoteFirewall == .unknown {
                attempt.punch = .waitingForRemote(probe)
                attempt.pauseTimer = timers.set(now + .seconds(1), .connectPause(id))
            } else {
                analyse(attempt, probe)
            }
        case .announcing(let plan): waitToRetry(attempt, plan)
        case .punching(let plan, _): roundAnswered(attempt, plan)
        default: break
        }
    }

    func holepunchFailed(_ id: ConnectionID, _ error: HyperDHTError) {
        guard let attempt = connections[id]?.attempt, attempt.puncher != nil else { return }
        if case .aborting(let reason) = attempt.punch { return punchFailed(attempt, reason) }
        punchFailed(attempt, error)
    }

    func connectPauseOver(_ id: ConnectionID) {
        guard let attempt = connections[id]?.attempt else { return }
        attempt.pauseTimer = nil
        guard !isDone(attempt) else { return }
        switch attempt.punch {
        case .waitingForRemote(let probe): analyse(attempt, probe)
        case .waitingToRetry(let plan, let delayed): punchRound(attempt, plan, delayed: delayed)
        default: break
        }
    }

    // MARK: Analysis

    private func analyse(_ attempt: ConnectAttempt, _ probe: ConnectAttempt.PunchPhase.Probe) {
        attempt.punch = .analysing(probe)
        attempt.puncher?.analyse(waiter: 0, allowReopen: false, environment)
        puncherWorked(.client(attempt.id))
    }

    func clientAnalysed(_ id: ConnectionID, _ isStable: Bool) {
        guard let attempt = connections[id]?.attempt, !isDone(attempt), let puncher = attempt.puncher, !puncher.isDestroyed,
            let relay = attempt.serverRelay
        else { return }
        switch attempt.punch {
        case .analysing(let probe):
            if isStable { return probed(attempt, puncher, probe, relay) }
            attempt.punch = .reopening(probe)
            puncher.analyse(waiter: 0, allowReopen: true, environment)
            puncherWorked(.client(id))
        case .reopening(let probe):
            if isStable { return self.probe(attempt, probe.server, relay, retry: false) }
            probed(attempt, puncher, probe, relay)
        default: break
        }
    }

    private func probed(
        _ attempt: ConnectAttempt, _ puncher: Puncher, _ probe: ConnectAttempt.PunchPhase.Probe,
        _ relay: NoisePayload.HolepunchInfo.Relay
    ) {
        guard let accepted = attempt.accepted else { return }
        if puncher.remoteFirewall == .unknown || probe.token == nil, probe.retry {
            return self.probe(attempt, probe.server, relay, retry: false)
        }
        if puncher.remoteFirewall == .unknown || puncher.nat.firewall == .unknown {
            return abort(attempt, relay, .holepunchProbeTimeout)
        }
        /// HDHT-60. Two random NATs can't meet.
        if puncher.remoteFirewall.isRandom, puncher.nat.firewall.isRandom, !Mutation.hyperDHT(60).isActive {
            return abort(attempt, relay, .holepunchDoubleRandomizedNATs)
        }
        var server = accepted.serverAddress
        // With one relay for both, the address that it saw the answer come from is the newer one.
        if relay.relayAddress == accepted.relayAddress, probe.peerAddress != server {
            server = probe.peerAddress
            puncher.openSession(server)
            puncherWorked(.client(attempt.id))
        }
        guard attempt.options.holepunch == .allow else { return abort(attempt, relay, .holepunchAborted) }
        punchRound(attempt, ConnectAttempt.PunchPhase.Plan(server: server, token: probe.token), delayed: false)
    }

    /// Tells the server that it came to nothing, and gives up when it has answered or not.
    private func abort(_ attempt: ConnectAttempt, _ relay: NoisePayload.HolepunchInfo.Relay, _ error: HyperDHTError) {
        attempt.punch = .aborting(error)
        let payload = HolepunchPayload(error: .aborted, round: nextRound(attempt))
        sendRound(attempt, payload, through: relay.relayAddress, peerAddress: relay.peerAddress)
    }

    // MARK: Round n

    private func punchRound(_ attempt: ConnectAttempt, _ plan: ConnectAttempt.PunchPhase.Plan, delayed: Bool) {
        guard let puncher = attempt.puncher, let accepted = attempt.accepted, let relay = attempt.serverRelay else { return }
        var plan = plan
        puncher.freeze()
        let isRandom = puncher.remoteFirewall.isRandom || puncher.nat.firewall.isRandom
        if isRandom, budget.isBusy(now) {
            guard attempt.relay != nil else { return punchFailed(attempt, .holepunchAborted) }
            if delayed { return waitToRetry(attempt, plan) }
            attempt.punch = .announcing(plan)
            let payload = HolepunchPayload(
                firewall: puncher.nat.firewall, round: nextRound(attempt), addresses: puncher.nat.addresses,
                token: token(attempt, plan.server), remoteToken: plan.token)
            return sendRound(attempt, payload, through: accepted.relayAddress, peerAddress: plan.server)
        }
        if isRandom {
            budget.start()
            plan.reserved = true
        }
        attempt.punch = .punching(plan, delayed: delayed)
        let payload = HolepunchPayload(
            firewall: puncher.nat.firewall, round: nextRound(attempt), punching: true, addresses: puncher.nat.addresses,
            token: delayed ? nil : token(attempt, plan.server), remoteToken: plan.token)
        sendRound(
            attempt, payload, through: delayed ? relay.relayAddress : accepted.relayAddress,
            peerAddress: delayed ? relay.peerAddress : plan.server)
    }

    private func token(_ attempt: ConnectAttempt, _ server: Endpoint) -> Bytes32 {
        HolepunchBox.token(localSecret: attempt.localSecret, host: server.address)
    }

    /// Gives back the slot that was held until punching started.
    private func unreserve(_ attempt: ConnectAttempt) {
        guard case .punching(var plan, let delayed) = attempt.punch, plan.reserved else { return }
        plan.reserved = false
        attempt.punch = .punching(plan, delayed: delayed)
        budget.cancel()
    }

    private func triedTooEarly(_ attempt: ConnectAttempt) {
        guard case .punching(let plan, _) = attempt.punch else { return }
        unreserve(attempt)
        waitToRetry(attempt, plan)
    }

    private func waitToRetry(_ attempt: ConnectAttempt, _ plan: ConnectAttempt.PunchPhase.Plan) {
        var plan = plan
        plan.reserved = false
        attempt.punch = .waitingToRetry(plan, delayed: true)
        let extra = Int64(entropy.uniform(below: 10_001, for: EntropyLabel(.jitter, attempt.id.number)))
        timers.cancel(&attempt.pauseTimer)
        attempt.pauseTimer = timers.set(now + .milliseconds(10_000 + extra), .connectPause(attempt.id))
    }

    private func roundAnswered(_ attempt: ConnectAttempt, _ plan: ConnectAttempt.PunchPhase.Plan) {
        guard let puncher = attempt.puncher else { return }
        unreserve(attempt)
        guard puncher.remoteIsPunching else { return punchFailed(attempt, .remoteNotHolepunching) }
        guard punch(puncher) else { return punchFailed(attempt, .remoteNotHolepunchable) }
        attempt.punch = .over
        puncherWorked(.client(attempt.id))
    }

    // MARK: The end

    private func punchFailed(_ attempt: ConnectAttempt, _ error: HyperDHTError) {
        unreserve(attempt)
        attempt.punch = .over
        // Destroying the puncher runs its abort first, so the application hears HOLEPUNCH_ABORTED whatever the error was.
        attempt.puncher?.destroy(now)
        puncherWorked(.client(attempt.id))
        fail(attempt.id, error)
    }

    func clientPuncherAborted(_ id: ConnectionID) {
        guard let attempt = connections[id]?.attempt else { return }
        attempt.punch = .over
        for request in attempt.requests.sorted() { cancel(request) }
        attempt.requests = []
        fail(id, .holepunchAborted)
    }

    /// Punching is over because there is a path, or because the connection is gone.
    func endPunching(_ attempt: ConnectAttempt) {
        unreserve(attempt)
        attempt.punch = .over
        timers.cancel(&attempt.punchTimer)
        guard let puncher = attempt.puncher else { return }
        for request in attempt.requests.sorted() { cancel(request) }
        attempt.requests = []
        puncher.silence()
        puncher.destroy(now)
        puncherWorked(.client(attempt.id))
    }
}
