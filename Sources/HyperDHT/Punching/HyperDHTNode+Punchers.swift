import SansIO

/// Runs punchers of both sides: their sockets, bytes, samples and timers.
extension HyperDHTNode {
    func puncher(of owner: PunchOwner) -> Puncher? {
        switch owner {
        case .client(let id): connections[id]?.attempt?.puncher
        case .server(let server, let number): servers[server]?.byNumber[number]?.puncher
        }
    }

    /// Carries out what a puncher wants, and sets its timer.
    func puncherWorked(_ owner: PunchOwner) {
        guard let puncher = puncher(of: owner) else { return }
        while !puncher.effects.isEmpty {
            let effects = puncher.effects
            puncher.effects = []
            for effect in effects { perform(effect, owner) }
        }
        armPuncher(owner, puncher)
    }

    private func perform(_ effect: Puncher.Effect, _ owner: PunchOwner) {
        switch effect {
        case .open(let socket): probes[socket] = owner
        case .close(let socket):
            probes[socket] = nil
            if sockets.release(socket, now) { closePuncherSocket(socket) }
        case .send(let transmit): self.transmit(transmit)
        case .sample(let node, let socket, let generation):
            ping(node, socket: socket, retries: 0, for: .sample(owner, node: node, generation: generation))
        case .analysed(let waiter, let isStable):
            switch owner {
            case .client(let id): clientAnalysed(id, isStable)
            case .server(let server, let number):
                if let handshake = servers[server]?.byNumber[number] { serverAnalysed(handshake, waiter, isStable) }
            }
        case .connected(let socket, let address):
            if case .client(let id) = owner { clientPath(id, socket, address) }
        case .aborted:
            switch owner {
            case .client(let id): clientPuncherAborted(id)
            case .server(let server, let number):
                if let handshake = servers[server]?.byNumber[number] { serverAborted(handshake) }
            }
        }
    }

    private func armPuncher(_ owner: PunchOwner, _ puncher: Puncher) {
        let due = puncher.nextWakeUp
        switch owner {
        case .client(let id):
            guard let attempt = connections[id]?.attempt else { return }
            timers.cancel(&attempt.punchTimer)
            if due != .distantFuture { attempt.punchTimer = timers.set(due, .puncher(owner)) }
        case .server(let server, let number):
            guard let handshake = servers[server]?.byNumber[number] else { return }
            timers.cancel(&handshake.punchTimer)
            if due != .distantFuture { handshake.punchTimer = timers.set(due, .puncher(owner)) }
        }
    }

    func advancePuncher(_ owner: PunchOwner) {
        guard let puncher = puncher(of: owner) else { return }
        puncher.advance(environment)
        puncherWorked(owner)
    }

    /// Starts punching, and counts it.
    func punch(_ puncher: Puncher) -> Bool {
        let wasPunching = puncher.isPunching
        guard puncher.punch(environment) else { return false }
        if !wasPunching {
            if puncher.isRandomStrategy { statistics.punches.random += 1 } else { statistics.punches.consistent += 1 }
        }
        return true
    }

    func sampled(_ owner: PunchOwner, _ to: Endpoint?, _ node: Endpoint, _ generation: Int) {
        guard let puncher = puncher(of: owner) else { return }
        puncher.sampled(to, from: node, generation: generation, environment)
        puncherWorked(owner)
    }

    func receiveProbe(on socket: SocketID, from source: Endpoint) {
        guard let owner = probes[socket], let puncher = puncher(of: owner) else { return }
        puncher.receiveProbe(on: socket, from: source, now: now)
        puncherWorked(owner)
    }
}
