import CompactEncoding
import HyperswarmCore
import SansIO

/// A swarm above an invented DHT: topics, peers that are found, dial, drop and cross, and every change of life, in the order of the script.
final class SwarmScript {
    private let machine: SwarmMachine
    private var script: Script
    private let promises = Promises()
    private let clock = Clock()
    private var sessions: [SwarmSessionID] = []
    /// What the machine has asked for and not been answered.
    private var operations: [SwarmOperationID] = []
    private var queries: [SwarmOperationID] = []
    private var dialled: [SwarmConnectionID] = []
    private var doomed: [SwarmConnectionID] = []
    private var incoming: [SwarmConnectionID] = []
    private var shown: [SwarmConnectionID: Bytes32] = [:]
    private var flushes: Set<UInt64> = []
    private let options: SwarmOptions

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        let choice = script.byte()
        var options = SwarmOptions()
        if choice & 1 != 0 {
            options.maxPeers = 3
            options.maxClientConnections = 2
            options.maxServerConnections = 2
        }
        if choice & 2 != 0 {
            options.limits.maximumPeers = 4
            options.limits.maximumTopics = 2
            options.limits.maximumTopicsPerPeer = 1
        }
        if choice & 4 != 0 { options.maxParallel = 1 }
        if choice & 8 != 0 { options.firewall = .deny([SwarmScript.key(3)]) }
        if choice & 16 != 0 { options.relayThrough = .anyOf([SwarmScript.key(9), SwarmScript.key(10)]) }
        self.options = options
        machine = SwarmMachine(
            publicKey: SwarmScript.key(7), options: options, entropy: SeededEntropy(seed: UInt64(choice)), now: clock.now)
    }

    static func run(_ bytes: [UInt8]) -> String? { SwarmScript(bytes).run() }

    private static func key(_ number: UInt8) -> Bytes32 { Bytes32([UInt8](repeating: number, count: 32)) ?? .zero }
    private func key() -> Bytes32 { SwarmScript.key(script.byte() & 15) }

    private func run() -> String? {
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 500 {
            steps += 1
            step()
            collect()
        }
        finish()
        return promises.broken
    }

    private func step() {
        let now = clock.now
        switch script.byte() & 31 {
        case 0...2: join()
        case 3: if !sessions.isEmpty { machine.endSession(sessions.remove(at: script.int(min(sessions.count, 256))), now: now) }
        case 4: machine.leave(key(), now: now)
        case 5:
            if !sessions.isEmpty {
                try? machine.refresh(sessions[script.int(min(sessions.count, 256))], server: script.bool(), client: script.bool(), now: now)
            }
        case 6...9: reply()
        case 10...13: finishOperation(&queries)
        case 14, 15: finishOperation(&operations)
        case 16...18: if let id = pick(&dialled) { machine.connectionOpened(id, now: now) }
        case 19: if let id = pick(&dialled) { machine.connectionClosed(id, code: script.bool() ? "HOLEPUNCH_ABORTED" : nil, now: now) }
        case 20: if let id = shown.keys.sorted().first { machine.connectionClosed(id, now: now) }
        case 21, 22: if let id = pick(&doomed) { machine.connectionClosed(id, now: now) }
        case 23, 24: arrive()
        case 25: pass(script.milliseconds() * 1000)
        case 26: try? machine.joinPeer(key(), now: now)
        case 27: machine.leavePeer(key(), now: now)
        case 28: machine.ban(key(), script.bool(), now: now)
        case 29: flushes.insert(machine.flush(topic: script.bool() ? key() : nil, now: now))
        case 30: if let id = shown.keys.sorted().last { machine.noteTraffic(id, received: script.bool(), sent: script.bool()) }
        default: life()
        }
    }

    private func join() {
        do {
            let limit = script.byte() & 3 == 0 ? script.int(4) : Int.max
            sessions.append(try machine.join(key().bytes, server: script.bool(), client: script.bool(), limit: limit, now: clock.now))
        } catch { return }
    }

    private func life() {
        switch script.byte() & 15 {
        case 0...4: machine.suspend(now: clock.now)
        case 5...9: machine.resume(now: clock.now)
        case 10: machine.networkChanged(now: clock.now)
        case 11: machine.clear(now: clock.now)
        case 12: machine.listen(now: clock.now)
        case 13: machine.isNATRandomized.toggle()
        default: machine.destroy(force: script.bool(), now: clock.now)
        }
    }

    private func pick(_ ids: inout [SwarmConnectionID]) -> SwarmConnectionID? {
        ids.isEmpty ? nil : ids.remove(at: script.int(min(ids.count, 256)))
    }

    private func reply() {
        guard !queries.isEmpty else { return }
        let found = (0..<script.int(6)).map { _ in
            FoundPeer(publicKey: key(), relayAddresses: (0..<script.int(5)).map { Endpoint(.v4(0x0808_0800 | UInt32($0)), 1) })
        }
        machine.queryReplied(queries[script.int(min(queries.count, 256))], found, now: clock.now)
    }

    private func finishOperation(_ ids: inout [SwarmOperationID]) {
        guard !ids.isEmpty else { return }
        machine.operationFinished(ids.remove(at: script.int(min(ids.count, 256))), succeeded: script.byte() & 7 != 7, now: clock.now)
    }

    private func arrive() {
        let key = key()
        guard machine.acceptsHandshake(from: key, now: clock.now) || script.byte() & 7 == 7 else { return }
        incoming.append(machine.incoming(from: key, now: clock.now))
    }

    private func pass(_ milliseconds: Int64) {
        clock.run(
            until: clock.now + .milliseconds(milliseconds), limit: 200, promises, nextWakeUp: { machine.nextWakeUp },
            wake: { now in
                machine.advance(to: now)
                collect()
            })
    }

    // MARK: Promises

    private func collect() {
        for effect in machine.takeEffects() {
            switch effect {
            case .listen(let id), .unannounce(let id, _), .suspendServer(let id), .resumeServer(let id), .closeServer(let id),
                .suspendNode(let id), .resumeNode(let id), .destroyNode(let id):
                operations.append(id)
            case .query(let id, _, _, let limit):
                promises.hold(limit == 3, "an announce with \(limit) relays")
                queries.append(id)
            case .cancelQuery(let id):
                promises.hold(queries.contains(id), "a query is cancelled that is not running")
                queries.removeAll { $0 == id }
            case .connect(let id, let key, let relays, _):
                promises.hold(key != machine.publicKey, "the swarm dials itself")
                promises.hold(relays.count <= options.limits.maximumRelayAddresses, "\(relays.count) relay addresses")
                dialled.append(id)
            case .destroyConnection(let id, _):
                promises.hold(!doomed.contains(id), "a connection is destroyed twice")
                doomed.append(id)
                dialled.removeAll { $0 == id }
            case .sendKeepAlive: break
            }
        }
        for event in machine.takeEvents() { note(event) }
        promises.hold(machine.connecting >= 0 && machine.connecting <= options.maxParallel, "\(machine.connecting) attempts at a time")
        promises.hold(machine.clientConnections >= 0 && machine.serverConnections >= 0, "less than no connections")
        promises.hold(machine.topics.count <= options.limits.maximumTopics, "\(machine.topics.count) topics")
        let keys = shown.values
        promises.hold(Set(keys).count == keys.count, "two connections to one peer are open at a time")
    }

    private func note(_ event: SwarmEvent) {
        switch event {
        case .connection(let id, let key, _, _): promises.hold(shown.updateValue(key, forKey: id) == nil, "a connection was shown twice")
        case .disconnected(let id, let key): promises.hold(shown.removeValue(forKey: id) == key, "a connection ended that was never shown")
        case .flushed(let token, _): promises.hold(flushes.remove(token) != nil, "a flush that nobody asked for, or twice")
        default: break
        }
    }

    /// The DHT answers everything, every connection closes: then the swarm can be destroyed, and says so once.
    private func finish() {
        guard promises.broken == nil else { return }
        machine.destroy(force: true, now: clock.now)
        for _ in 0..<200 where promises.broken == nil {
            collect()
            let waiting = operations + queries
            (operations, queries) = ([], [])
            for id in waiting { machine.operationFinished(id, now: clock.now) }
            // The node takes its connections down with it.
            let closing = dialled + doomed + shown.keys.sorted() + incoming
            (dialled, doomed, incoming) = ([], [], [])
            for id in closing { machine.connectionClosed(id, now: clock.now) }
            if waiting.isEmpty && closing.isEmpty { break }
        }
        collect()
        promises.hold(machine.isDestroyed && operations.isEmpty, "the swarm does not come to its end")
        promises.hold(flushes.isEmpty, "\(flushes.count) flushes have no answer")
        promises.hold(shown.isEmpty, "\(shown.count) connections are left of a destroyed swarm")
        promises.hold(machine.clientConnections == 0 && machine.serverConnections == 0 && machine.connecting == 0, "counts are left over")
    }
}
