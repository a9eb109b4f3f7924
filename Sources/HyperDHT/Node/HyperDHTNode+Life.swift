import SansIO

/// Suspending, resuming and the end. hyperdht.md section 18.
extension HyperDHTNode {
    /// Servers take back their announces, streams end, sockets are given back. Ends with `.suspended`.
    public func suspend() {
        guard life == .running else { return }
        life = .suspending
        for server in serversInOrder {
            server.isSuspended = true
            clearHandshakes(server)
            takeBackAnnounces(server)
        }
        continueLife()
        settle()
    }

    /// Binds the same ports again and goes on. Ends with `.resumed`.
    public func resume() {
        guard life == .suspended || life == .suspending else { return }
        if life == .suspending {
            life = .running
            nodeResumed()
        } else {
            life = .running
            if config.defersRandomPunch { budget.end(now) }
            rpc.resume()
        }
        settle()
    }

    func nodeResumed() {
        events.append(.resumed)
        for server in serversInOrder {
            server.isSuspended = false
            startAnnouncing(server)
        }
    }

    /// Ends the node. Unless forced, servers take back their announces first; force also cuts that short. Ends with `.closed`.
    public func destroy(force: Bool = false) {
        guard life != .destroyed, force || life != .closing else { return }
        let wasSuspended = life == .suspended
        life = .closing
        for server in serversInOrder {
            if force || wasSuspended {
                server.announcer.isStopped = true
                clearHandshakes(server)
                servers[server.id] = nil
            } else {
                beginClosing(server)
            }
        }
        continueLife()
        settle()
    }

    /// Goes on with suspending or closing once every server has taken back what it announced.
    func continueLife() {
        switch life {
        case .suspending:
            let isWaiting = servers.values.contains { if case .takingBack = $0.announcer.state { true } else { false } }
            guard !isWaiting else { return }
            dropStreams(.suspended)
            life = .suspended
            rpc.suspend()
        case .closing:
            guard servers.isEmpty else { return }
            dropStreams(.nodeDestroyed)
            for operation in operations.keys.sorted() { finish(operation, .failed(.nodeDestroyed)) }
            for socket in sockets.removeAll() { closePuncherSocket(socket) }
            life = .destroyed
            rpc.destroy()
        default: break
        }
    }

    private func dropStreams(_ reason: HyperDHTError) {
        for connection in connections.values.sorted(by: { $0.id < $1.id }) { closeConnection(connection, reason) }
        let waiting = pending
        pending = []
        for connection in waiting { pump(connection) }
        udx.destroyAll(at: now)
    }
}
