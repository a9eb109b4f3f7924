import CompactEncoding
import DHTRPC
import SansIO

/// A server's holepunch rounds. hyperdht.md section 12.1. HDHT-48, HDHT-50 to HDHT-53.
extension HyperDHTNode {
    func serverHolepunch(_ id: ServerID, _ slot: UInt64, _ payload: [UInt8], _ peerAddress: Endpoint, _ request: IncomingRequest) {
        guard let server = servers[id], !server.isClosing, !server.isSuspended else { return }
        guard let handshake = server.handshake(slot: slot) else { return statistics.drop(.unknownSlot) }
        guard let box = handshake.box else {
            destroyPuncher(handshake, silently: false)
            return
        }
        guard let remote = box.openPayload(payload) else {
            if Mutation.hyperDHT(48, 1).isActive { abortRound(handshake, request, peerAddress, .aborted) }
            return statistics.drop(.invalidHolepunch)
        }
        guard let puncher = handshake.puncher, puncher.socket != nil else {
            return abortRound(handshake, request, peerAddress, .aborted)
        }
        guard remote.error == .none || Mutation.hyperDHT(50).isActive else {
            handshake.round = max(handshake.round, remote.round)
            return abortRound(handshake, request, peerAddress, .aborted)
        }
        /// HDHT-51. A token proves its worth only on the way through our own relay.
        let isOwnRelay = server.announcer.isRelay(request.from) || Mutation.hyperDHT(51).isActive
        let token = HolepunchBox.token(localSecret: handshake.localSecret, host: peerAddress.address)
        let isEchoed = isOwnRelay && remote.remoteToken == token
        if puncher.owns(request.socket) { puncher.add(request.to, from: request.from, environment) }
        if remote.round >= handshake.round {
            handshake.round = remote.round
            puncher.updateRemote(
                punching: remote.punching, firewall: remote.firewall, addresses: remote.addresses,
                verified: isEchoed ? peerAddress.address : nil)
        }
        let waiter = takeNumber()
        guard handshake.rounds.count < 16 else { return }
        handshake.rounds[waiter] = ServerHandshake.Round(
            request: request, peerAddress: peerAddress, payload: remote, isFromOwnRelay: isOwnRelay, token: token)
        puncher.analyse(waiter: waiter, allowReopen: false, environment)
        puncherWorked(.server(id, handshake.number))
    }

    /// The puncher knows its NAT, or will not.
    func serverAnalysed(_ handshake: ServerHandshake, _ waiter: UInt64, _ isStable: Bool) {
        guard var round = handshake.rounds.removeValue(forKey: waiter), let puncher = handshake.puncher, !puncher.isDestroyed,
            let server = servers[handshake.server]
        else { return }
        if !puncher.remoteIsPunching, !isStable {
            guard !round.mayReopen else { return abortRound(handshake, round.request, round.peerAddress, .aborted) }
            round.mayReopen = true
            handshake.rounds[waiter] = round
            puncher.analyse(waiter: waiter, allowReopen: true, environment)
            return puncherWorked(.server(handshake.server, handshake.number))
        }
        fastPunch(puncher, round)
        if puncher.remoteIsPunching {
            guard startServerPunch(server, handshake, puncher, round) else { return }
        }
        if puncher.nat.firewall != .unknown { puncher.freeze() }
        answerRound(handshake, puncher, round, .none)
        puncherWorked(.server(handshake.server, handshake.number))
    }

    /// The client has opened its NAT towards us: one byte at once.
    private func fastPunch(_ puncher: Puncher, _ round: ServerHandshake.Round) {
        let firewall = puncher.nat.firewall
        guard firewall == .open || firewall == .consistent, let remoteAddress = round.payload.remoteAddress,
            puncher.nat.addresses?.contains(remoteAddress) ?? false
        else { return }
        puncher.ping(round.peerAddress)
    }

    /// False if the round was answered otherwise.
    private func startServerPunch(_ server: Server, _ handshake: ServerHandshake, _ puncher: Puncher, _ round: ServerHandshake.Round)
        -> Bool
    {
        guard server.options.holepunch == .allow else {
            abortRound(handshake, round.request, round.peerAddress, .aborted)
            return false
        }
        timers.cancel(&handshake.prepunchTimer)
        if puncher.remoteFirewall.isRandom || puncher.nat.firewall.isRandom, !puncher.isRandomStrategy, budget.isBusy(now) {
            if handshake.relayToken == nil {
                abortRound(handshake, round.request, round.peerAddress, .tryLater)
            } else {
                answerRound(handshake, puncher, round, .tryLater)
            }
            return false
        }
        guard punch(puncher) else {
            abortRound(handshake, round.request, round.peerAddress, .aborted)
            return false
        }
        return true
    }

    private func answerRound(
        _ handshake: ServerHandshake, _ puncher: Puncher, _ round: ServerHandshake.Round, _ error: PeerErrorCode
    ) {
        guard let socket = puncher.socket else { return }
        /// HDHT-52. The client's own token comes back to it.
        let echo = Mutation.hyperDHT(52).isActive ? nil : round.payload.token
        let payload = HolepunchPayload(
            error: error, firewall: puncher.nat.firewall, round: handshake.round, connected: puncher.isConnected,
            punching: puncher.isPunching, addresses: puncher.nat.addresses, token: round.isFromOwnRelay ? round.token : nil,
            remoteToken: echo)
        sendRound(handshake, payload, round.request, round.peerAddress, socket)
    }

    /// Answers that it came to nothing, and gives the puncher up. HDHT-50.
    private func abortRound(_ handshake: ServerHandshake, _ request: IncomingRequest, _ peerAddress: Endpoint, _ error: PeerErrorCode) {
        let payload = HolepunchPayload(error: error, round: handshake.round)
        if handshake.puncher.map({ !$0.isDestroyed }) ?? true, let socket = rpc.outgoingSocket {
            sendRound(handshake, payload, request, peerAddress, socket)
        }
        destroyPuncher(handshake, silently: false)
    }

    private func sendRound(
        _ handshake: ServerHandshake, _ payload: HolepunchPayload, _ request: IncomingRequest, _ peerAddress: Endpoint, _ socket: SocketID
    ) {
        let nonce = entropy.bytes(HolepunchBox.nonceLength, for: EntropyLabel(.holepunchNonce, handshake.number))
        guard let sealed = handshake.box?.seal(payload, nonce: nonce), AddressClass.isRelayTarget(request.from) else { return }
        let message = HolepunchMessage(mode: .fromServer, id: 0, payload: sealed, peerAddress: peerAddress)
        rpc.relay(request, to: request.from, value: message.encoded, on: socket)
    }

    /// `silently`: the end of a puncher that is not needed any more, not of an attempt.
    func destroyPuncher(_ handshake: ServerHandshake, silently: Bool) {
        timers.cancel(&handshake.punchTimer)
        guard let puncher = handshake.puncher, !puncher.isDestroyed else {
            if !silently, handshake.puncher == nil { serverAborted(handshake) }
            return
        }
        if silently { puncher.silence() }
        puncher.destroy(now)
        puncherWorked(.server(handshake.server, handshake.number))
    }
}
