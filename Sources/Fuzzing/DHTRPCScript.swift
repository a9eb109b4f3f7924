import CompactEncoding
import DHTRPC
import SansIO

/// A whole dht-rpc node: requests of strangers, answers to its own requests (true, damaged, from the wrong place), its owner's commands, and time.
final class DHTRPCScript {
    private let node: DHTRPCNode
    private var script: Script
    private let promises = Promises()
    private let clock = Clock()
    private var nextPort: UInt16 = 41_000
    /// Its requests that nobody has answered, the newest last.
    private var open: [(request: Request, to: Endpoint, socket: SocketID)] = []
    private var tokens: [Bytes32] = []
    private var incoming: [IncomingRequest] = []
    /// Whether each query is over.
    private var queries: [QueryID: Bool] = [:]
    /// Requests of the owner that have no end yet.
    private var requests: Set<RequestID> = []
    private var commits: [(QueryID, [ReceivedResponse])] = []
    private var isClosed = false
    private let limits: NodeLimits

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        let choice = script.byte()
        var config = choice & 1 == 0 ? NodeConfig() : NodeConfig.bootstrapper(Endpoint(.v4(0x0505_0505), 49_737))
        config.bootstrap = choice & 2 == 0 ? [BootstrapEntry(Script.place(1))] : []
        if choice & 4 != 0 { config.persistence = .atStart }
        if choice & 8 != 0 { config.firewalled = false }
        config.reportsTableChanges = choice & 16 != 0
        config.port = choice & 32 == 0 ? .any : .from(65_534)
        if choice & 64 != 0 {
            config.limits.outstandingRequests = 24
            config.limits.delayedPings = 4
            config.limits.delayedPingsPerHost = 2
            config.limits.addressesPerQuery = 30
            config.limits.requestsPerSecond = 20
            config.limits.requestsPerSecondAndHost = 5
            config.limits.sourceCounts = 3
        }
        limits = config.limits
        node = DHTRPCNode(config: config, entropy: SeededEntropy(seed: UInt64(choice)), at: clock.now)
    }

    static func run(_ bytes: [UInt8]) -> String? { DHTRPCScript(bytes).run() }

    private func run() -> String? {
        node.start()
        collect(limit: 64)
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 400 {
            steps += 1
            step()
        }
        finish()
        return promises.broken
    }

    private func step() {
        switch script.byte() & 31 {
        case 6...8: answer(isTrue: false)
        case 9...13: ask()
        case 14: arrive(script.take(script.int(80)), from: script.place(), limit: 2)
        case 15, 16: pass(script.milliseconds())
        case 17: pass(script.milliseconds() * 100)
        case 18...21: command()
        case 22: life()
        case 23...25: if !incoming.isEmpty { respond(incoming.remove(at: script.int(incoming.count))) }
        case 26: if !commits.isEmpty { commit(commits.removeFirst()) }
        case 27: node.addNode(script.place())
        default: answer(isTrue: true)
        }
        collect(limit: 4096)
    }

    // MARK: The network

    private func answer(isTrue: Bool) {
        guard !open.isEmpty else { return }
        let index = open.count - 1 - script.int(min(open.count, 32))
        let asked = open[index]
        var response = Response(tid: asked.request.tid, to: Endpoint(.v4(0x0505_0505), 49_737))
        let choice = script.byte()
        if choice & 1 == 0 { response.id = NodeID.of(asked.to) }
        if choice & 2 == 0 { response.token = script.bytes32() }
        for _ in 0..<script.int(choice & 4 == 0 ? 4 : 40) { response.closerNodes.append(script.endpoint()) }
        if choice & 8 != 0 { response.error = script.number() }
        if choice & 16 != 0 { response.value = script.take(script.int(64)) }
        if choice & 32 != 0 { response.to = script.endpoint() }
        var source = asked.to
        var socket = asked.socket
        var bytes = response.encoded
        if !isTrue {
            let kind = script.byte()
            if kind & 1 != 0 { source = script.endpoint() }
            if kind & 2 != 0 { bytes = script.damage(bytes) }
            if kind & 4 != 0 { socket = SocketID(script.byte() & 3 == 0 ? 9 : 1 + UInt32(script.byte() & 1)) }
        } else if script.byte() & 3 != 0 {
            open.remove(at: index)
        }
        // A reply may set off queries with their concurrency, and the checks of the table.
        arrive(bytes, from: source, on: socket, limit: 300)
    }

    private func ask() {
        let source = script.endpoint()
        let choice = script.byte()
        var request = Request(
            tid: UInt16(script.byte()), to: Endpoint(.v4(0x0505_0505), 49_737), isInternal: choice & 1 == 0,
            command: choice & 2 == 0 ? UInt64(script.byte() & 7) : script.number())
        if choice & 4 == 0 { request.id = NodeID.of(source) }
        if choice & 8 != 0 { request.target = script.bytes32() }
        if choice & 16 != 0 { request.value = script.take(script.int(40)) }
        if choice & 32 != 0 {
            request.token = tokens.isEmpty || script.bool() ? script.bytes32() : tokens[script.int(min(tokens.count, 16))]
        }
        if choice & 192 == 192 { request.value = [script.byte(), script.byte(), script.byte() & 63, 0] }
        let socket = SocketID(1 + UInt32(script.byte() & 1))
        let bytes = script.byte() & 7 == 7 ? script.damage(request.encoded) : request.encoded
        arrive(bytes, from: source, on: socket, limit: 8)
    }

    private func arrive(_ bytes: [UInt8], from source: Endpoint, on socket: SocketID = SocketID(1), limit: Int) {
        collect(limit: 4096)
        node.receive(bytes, from: source, on: socket, at: clock.now)
        collect(limit: limit)
    }

    private func pass(_ milliseconds: Int64) {
        clock.run(
            until: clock.now + .milliseconds(milliseconds), limit: 300, promises, nextWakeUp: { node.nextWakeUp },
            wake: { now in
                node.advance(to: now)
                collect(limit: 4096)
            })
    }

    // MARK: The owner

    private func command() {
        node.advance(to: clock.now)
        switch script.byte() & 7 {
        case 0, 1:
            var options = QueryOptions()
            options.commit = [.none, .same, .byOwner, .none][Int(script.byte() & 3)]
            let choice = script.byte()
            options.isForced = choice & 1 != 0
            options.onlyClosestNodes = choice & 2 != 0
            if choice & 4 != 0 { options.nodes = (0..<script.int(6)).map { _ in script.endpoint() } }
            if choice & 8 != 0 { options.concurrency = Int(script.byte()) - 3 }
            if choice & 16 != 0 { options.retries = Int(script.byte() & 7) }
            options.isInternal = choice & 32 != 0
            options.value = choice & 64 != 0 ? script.take(script.int(20)) : nil
            if queries.count < 24 { queries[node.query(target: script.bytes32(), command: wireNumber(), options: options)] = false }
        case 2, 3:
            var options = RequestOptions()
            let choice = script.byte()
            options.isForced = choice & 1 != 0
            // At most 125 of 2.55 s: all of them end before the script does.
            options.retries = choice & 2 != 0 ? Int(script.byte() & 127) - 2 : nil
            options.timeout = choice & 4 != 0 ? .milliseconds(Int64(script.byte()) * 10) : nil
            options.endsOnForeignAnswer = choice & 8 != 0
            options.value = choice & 16 != 0 ? script.take(script.int(20)) : nil
            if requests.count < 64 { requests.insert(node.request(to: script.endpoint(), command: wireNumber(), options: options)) }
        case 4: if requests.count < 64 { requests.insert(node.ping(script.endpoint(), padding: Int(script.byte()) - 4)) }
        case 5:
            if requests.count < 64, let id = node.delayedPing(script.endpoint(), delayMilliseconds: UInt32(script.byte()) << 6) {
                requests.insert(id)
            }
        case 6: if let query = queries.keys.sorted().last { node.cancel(query) }
        default: node.refresh()
        }
    }

    /// What an owner may say: all that the encoding can carry.
    private func wireNumber() -> UInt64 { script.number() & (1 << 53 - 1) }

    private func respond(_ request: IncomingRequest) {
        switch script.byte() & 3 {
        case 0: node.reply(to: request, value: script.take(script.int(40)))
        case 1: node.replyUnknownCommand(to: request)
        case 2: node.relay(request, to: script.endpoint(), value: script.take(script.int(20)))
        default: node.reply(to: request, error: wireNumber(), token: script.bool(), destination: script.endpoint())
        }
    }

    private func commit(_ asked: (query: QueryID, replies: [ReceivedResponse])) {
        node.commit(
            asked.query,
            asked.replies.prefix(script.int(24)).map { reply in
                var options = RequestOptions()
                options.token = reply.token
                return CommitRequest(to: reply.from, command: 4, options: options)
            })
    }

    private func life() {
        switch script.byte() & 7 {
        case 0, 1, 2: node.suspend()
        case 3, 4, 5: node.resume()
        case 6: node.bindFailed()
        default: if script.byte() & 3 == 0 { node.destroy() }
        }
    }

    // MARK: Promises

    private func collect(limit: Int) {
        for _ in 0..<8 {
            let events = node.takeEvents()
            if events.isEmpty { break }
            for event in events { note(event) }
        }
        let transmits = node.takeTransmits()
        promises.hold(transmits.count <= limit, "one call made \(transmits.count) datagrams, more than \(limit)")
        for transmit in transmits { check(transmit) }
        if open.count > 200 { open.removeFirst(open.count - 200) }
        promises.hold(node.tableCount <= 256 * 20, "\(node.tableCount) nodes in the table")
        promises.hold(node.statistics.requestsActive >= 0 && node.statistics.queriesActive >= 0, "less than no requests are active")
        promises.hold(
            node.statistics.requestsActive <= limits.outstandingRequests + 64, "\(node.statistics.requestsActive) requests are active")
    }

    private func check(_ transmit: Transmit) {
        promises.hold(transmit.destination.port != 0 && transmit.destination.address.isIPv4, "a datagram to \(transmit.destination)")
        promises.hold(!node.isSuspended && !isClosed, "a datagram of a node that is suspended or destroyed")
        if let request = try? Request(decoding: transmit.payload) {
            promises.hold(request.to == transmit.destination, "a request to \(transmit.destination) says \(request.to)")
            open.append((request, transmit.destination, transmit.socket))
        } else if let response = try? Response(decoding: transmit.payload) {
            promises.hold(response.to == transmit.destination, "a response to \(transmit.destination) says \(response.to)")
            promises.hold(response.closerNodes.count <= 20, "\(response.closerNodes.count) closer nodes in a response")
            if let token = response.token, tokens.count < 16 { tokens.append(token) }
        } else {
            promises.break("a datagram that does not decode: \(Hex.encode(transmit.payload))")
        }
    }

    private func note(_ event: NodeEvent) {
        if isClosed {
            // A destroyed node refuses what is asked of it, and that alone.
            switch event {
            case .requestFailed, .queryFinished, .closeSockets: break
            default: promises.break("an event after the last one: \(event)")
            }
        }
        switch event {
        case .bind(let request):
            nextPort &+= 2
            node.bound(
                NodeSockets(
                    server: SocketID(1), serverPort: request.serverPorts.first ?? nextPort, client: SocketID(2), clientPort: nextPort &+ 1))
        case .resolve(let name): node.resolved(name, to: script.bool() ? .v4(script.uint32()) : nil)
        case .request(let request): if incoming.count < 64 { incoming.append(request) }
        case .response(let id, let response):
            promises.hold(requests.remove(id) != nil, "a response to no request")
            promises.hold(response.from.port != 0, "a response from port 0")
        case .requestFailed(let id, _):
            promises.hold(requests.remove(id) != nil, "a request failed that was not made, or twice")
        case .queryReply(let id, let reply):
            promises.hold(queries[id] == false, "a reply of a query that is over")
            promises.hold(reply.error == 0, "a reply with an error counts as one")
        case .queryCommit(let id, let replies):
            promises.hold(queries[id] == false, "a query that is over wants to commit")
            promises.hold(replies.count <= 20, "\(replies.count) replies to commit to")
            commits.append((id, replies))
        case .queryFinished(let id, let outcome):
            promises.hold(queries[id] == false, "a query ended that was not made, or twice")
            queries[id] = true
            promises.hold(outcome.closestReplies.count <= 20, "\(outcome.closestReplies.count) closest replies")
        case .closed: isClosed = true
        default: break
        }
    }

    /// Nobody answers any more: every request and query comes to its end.
    private func finish() {
        guard promises.broken == nil else { return }
        node.resume()
        for _ in 0..<40 where queries.values.contains(false) || !requests.isEmpty {
            pass(15_000)
            for asked in commits { node.commit(asked.0, []) }
            commits = []
            if isClosed || promises.broken != nil { break }
        }
        promises.hold(
            !queries.values.contains(false) && requests.isEmpty,
            "\(requests.count) requests and \(queries.values.filter { !$0 }.count) queries have no end")
    }
}
