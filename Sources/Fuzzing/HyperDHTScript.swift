import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import Noise
import SansIO

/// A whole HyperDHT node as server, client, router and store: every message of the layer with valid structure and fields of the script's choice,
/// real handshakes, hole punches and streams with it, its owner's commands, and time.
final class HyperDHTScript {
    let node: HyperDHTNode
    var script: Script
    let promises = Promises()
    let clock = Clock()
    /// Datagrams of the node to the invented peers.
    var open: [(request: Request, to: Endpoint, socket: SocketID)] = []
    /// What the node last gave each host.
    private var tokens: [IPAddress: Bytes32] = [:]
    var client = ScriptedClient()
    var server = ScriptedServer()
    var servers: [ServerID] = []
    /// Whether each operation is over.
    var operations: [OperationID: Bool] = [:]
    enum Stage { case asked, connected, closed }
    var connections: [ConnectionID: Stage] = [:]
    var questions: [QuestionID] = []
    var signatures: [SignatureQuestion] = []
    var plugins: [QuestionID] = []
    private var sockets: Set<SocketID> = [SocketID(1), SocketID(2)]
    private var isBound = false
    private var isClosed = false
    private var nextPort: UInt16 = 41_000

    static let address = Endpoint(.v4(0x0505_0505), 49_737)
    static let keys = (2...6).map { KeyPair(seed: Bytes32([UInt8](repeating: $0, count: 32)) ?? .zero) }
    static let nodeKey = KeyPair(seed: Bytes32([UInt8](repeating: 1, count: 32)) ?? .zero)

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        let choice = script.byte()
        var config = choice & 1 == 0 ? HyperDHTConfig.bootstrapper(HyperDHTScript.address) : HyperDHTConfig()
        if choice & 1 == 1 { config.rpc.bootstrap = [BootstrapEntry(Script.place(1))] }
        if choice & 2 != 0 {
            config.limits.handshakesPerServer = 3
            config.limits.handshakesPerSecondAndHost = 2
            config.limits.relayedPerSecond = 4
            config.limits.relayedPerSecondAndHost = 2
            config.limits.countedHosts = 2
            config.limits.operations = 6
            config.limits.connecting = 3
            config.limits.stores.maxSize = 4
            config.streams.maximumStreams = 4
        }
        if choice & 4 != 0 { config.localAddresses = [.v4(0x0a00_0001)] }
        if choice & 8 != 0 { config.connectionKeepAlive = nil }
        config.defaultKeyPair = HyperDHTScript.nodeKey
        config.unixMilliseconds = 1_700_000_000_000
        node = HyperDHTNode(config: config, entropy: SeededEntropy(seed: UInt64(choice)), at: clock.now)
        node.reportsSecrets = choice & 16 != 0
    }

    static func run(_ bytes: [UInt8]) -> String? { HyperDHTScript(bytes).run() }

    private func run() -> String? {
        node.start()
        collect(limit: 64)
        node.registerPlugin("demo", version: 1)
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 300 {
            steps += 1
            step()
            collect(limit: 4096)
        }
        finish()
        return promises.broken
    }

    private func step() {
        switch script.byte() & 31 {
        case 0...4: answer()
        case 5, 6: ask()
        case 7: store()
        case 8, 9: for datagram in client.begin(&script, clock.now) { arrive(datagram, from: script.endpoint()) }
        case 10, 11: for datagram in client.punch(&script) { arrive(datagram, from: client.place) }
        case 12, 13: for datagram in client.talk(&script, clock.now) { arrive(datagram, from: client.place, limit: 300) }
        case 14: for datagram in server.talk(&script, clock.now) { arrive(datagram, from: server.place, limit: 300) }
        case 15: arrive(script.take(script.int(80)), from: script.endpoint())
        case 16: arrive([0], from: script.endpoint(), on: sockets.sorted()[script.int(min(sockets.count, 256))], limit: 64)
        case 17: pass(script.milliseconds())
        case 18: pass(script.milliseconds() * 100)
        case 19...21: command()
        case 22: listen()
        case 23: connect()
        case 24, 25: use()
        case 26: decide()
        case 27: life()
        default: answer()
        }
    }

    // MARK: The network

    func endpoints(_ most: Int) -> [Endpoint] { (0..<script.int(most)).map { _ in script.endpoint() } }
    func keyPair() -> KeyPair { HyperDHTScript.keys[script.int(HyperDHTScript.keys.count)] }

    func arrive(_ bytes: [UInt8], from source: Endpoint, on socket: SocketID? = nil, limit: Int = 64) {
        collect(limit: 4096)
        node.receive(bytes, from: source, on: socket ?? SocketID(1 + UInt32(script.byte() & 1)), now: clock.now)
        collect(limit: limit)
    }

    private func request(_ command: UInt64, _ value: [UInt8]?, target: Bytes32? = nil, from source: Endpoint) {
        var request = Request(
            tid: UInt16(script.byte()), to: HyperDHTScript.address, isInternal: false, command: command, target: target ?? script.bytes32(),
            value: value)
        let choice = script.byte()
        if choice & 1 == 0 { request.id = NodeID.of(source) }
        if choice & 6 != 6 { request.token = tokens[source.address] }
        if choice & 8 != 0 { request.target = nil }
        if choice & 0xf0 == 0xf0, let value { request.value = script.damage(value) }
        arrive(request.encoded, from: source)
    }

    /// Any command with any value that has its structure.
    private func ask() {
        let source = script.endpoint()
        let relayed = RelayMode(rawValue: UInt64(script.byte() & 7))
        switch script.byte() & 15 {
        case 0, 1:
            let message = HandshakeMessage(
                mode: relayed, noise: script.bool() ? client.lastNoise : script.take(script.int(120)),
                peerAddress: script.bool() ? script.endpoint() : nil, relayAddress: script.bool() ? script.endpoint() : nil)
            request(0, message.encoded, target: target(), from: source)
        case 2, 3:
            let message = HolepunchMessage(
                mode: relayed, id: script.number(), payload: client.lastPayload, peerAddress: script.bool() ? script.endpoint() : nil)
            request(1, message.encoded, target: target(), from: source)
        case 4:
            request(10, PluginMessage(plugin: "demo", version: 1, command: script.number(), value: script.take(4)).encoded, from: source)
        default: request(UInt64(script.byte() & 15), script.take(script.int(40)), target: target(), from: source)
        }
    }

    func target() -> Bytes32 {
        switch script.byte() & 3 {
        case 0: Blake2b.hash256(HyperDHTScript.nodeKey.publicKey.bytes)
        case 1: Blake2b.hash256(keyPair().publicKey.bytes)
        default: script.bytes32()
        }
    }

    /// Records that are stored: signed rightly, unless the script changes something.
    private func store() {
        let source = script.endpoint()
        let keys = keyPair()
        let target = target()
        let value = script.take(script.int(20))
        switch script.byte() & 7 {
        case 0, 1, 2:
            let purpose: RecordSignature.Purpose = script.bool() ? .announce : .unannounce
            let refresh = script.bool() ? script.bytes32() : nil
            let record = PeerRecord(publicKey: keys.publicKey, relayAddresses: endpoints(6))
            let signature = RecordSignature.sign(
                purpose, target: target, token: tokens[source.address] ?? .zero, nodeID: node.nodeID, peer: record, refresh: refresh,
                keyPair: keys)
            let message = AnnounceMessage(peer: record, refresh: refresh, signature: signature, bump: script.number())
            request(purpose == .announce ? 4 : 5, message.encoded, target: target, from: source)
        case 3: request(4, AnnounceMessage(refresh: script.bytes32()).encoded, target: target, from: source)
        case 4, 5:
            let seq = script.number()
            let put = MutablePutRequest(
                publicKey: keys.publicKey, seq: seq, value: value,
                signature: RecordSignature.signMutable(seq: seq, value: value, keyPair: keys))
            request(6, put.encoded, target: Blake2b.hash256(keys.publicKey.bytes), from: source)
        case 6: request(7, MutableGetRequest(seq: script.number()).encoded, target: Blake2b.hash256(keys.publicKey.bytes), from: source)
        default: request(8, value, target: Blake2b.hash256(value), from: source)
        }
    }

    /// What the node asked is answered, with what belongs to the command.
    private func answer() {
        guard !open.isEmpty else { return }
        let index = open.count - 1 - script.int(min(open.count, 32))
        let asked = open[index]
        let choice = script.byte()
        var response = Response(tid: asked.request.tid, to: HyperDHTScript.address)
        if choice & 1 == 0 { response.id = NodeID.of(asked.to) }
        if choice & 2 == 0 { response.token = script.bytes32() }
        response.closerNodes = endpoints(4)
        if !asked.request.isInternal, choice & 4 == 0 { response.value = value(for: asked.request, at: asked.to) }
        if choice & 0x38 == 0x38 { response.error = script.number() }
        if choice & 0xc0 == 0xc0 { response.value = script.damage(response.value ?? []) } else { open.remove(at: index) }
        arrive(response.encoded, from: script.byte() & 15 == 15 ? script.endpoint() : asked.to, on: asked.socket, limit: 600)
    }

    private func value(for request: Request, at place: Endpoint) -> [UInt8]? {
        let keys = keyPair()
        switch request.command {
        case 0: return server.handshake(request.value ?? [], at: place, &script, clock.now)
        case 1: return server.holepunch(request.value ?? [], at: place, &script)
        case 2: return PeerRecord(publicKey: keys.publicKey, relayAddresses: endpoints(6)).encoded
        case 3:
            let records = (0..<script.int(4)).map { _ in PeerRecord(publicKey: keyPair().publicKey, relayAddresses: endpoints(6)) }
            return LookupReply(peers: records, bump: script.number()).encoded
        case 7:
            let seq = script.number()
            let value = script.take(script.int(20))
            return MutableRecord(
                seq: seq, value: value, signature: RecordSignature.signMutable(seq: seq, value: value, keyPair: keys)
            ).encoded
        default: return script.take(script.int(20))
        }
    }

    private func pass(_ milliseconds: Int64) {
        clock.run(
            until: clock.now + .milliseconds(milliseconds), limit: 200, promises, nextWakeUp: { node.nextWakeUp },
            wake: { now in
                node.advance(to: now)
                collect(limit: 4096)
            })
    }

    // MARK: Promises

    private func collect(limit: Int) {
        for _ in 0..<16 {
            for request in node.takeSocketRequests() {
                switch request {
                case .open(let id): promises.hold(sockets.insert(id).inserted, "a socket is opened twice")
                case .close(let id): promises.hold(sockets.remove(id) != nil, "a socket is closed that is not open")
                }
            }
            let transmits = node.takeTransmits()
            promises.hold(transmits.count <= limit, "one call made \(transmits.count) datagrams, more than \(limit)")
            for transmit in transmits { check(transmit) }
            let events = node.takeEvents()
            if events.isEmpty && transmits.isEmpty { break }
            for event in events { note(event) }
        }
        if open.count > 200 { open.removeFirst(open.count - 200) }
        promises.hold(node.puncherSocketCount <= 2048, "\(node.puncherSocketCount) puncher sockets")
        promises.hold(node.connectionCount <= 2 * node.config.streams.maximumStreams, "\(node.connectionCount) connections")
        promises.hold(node.storedCount <= 24 * node.config.limits.stores.maxSize, "\(node.storedCount) records and routes are stored")
        _ = node.takeStreamSecrets()
    }

    private func check(_ transmit: Transmit) {
        promises.hold(transmit.destination.port != 0, "a datagram to port 0")
        promises.hold(sockets.contains(transmit.socket), "a datagram on \(transmit.socket), which is not open")
        promises.hold(!isClosed, "a datagram after the end")
        if transmit.payload.count <= 1 { return }
        if transmit.payload[0] == 0xff {
            client.receive(transmit, clock.now)
            server.receive(transmit, clock.now)
        } else if let request = try? Request(decoding: transmit.payload) {
            open.append((request, transmit.destination, transmit.socket))
        } else if let response = try? Response(decoding: transmit.payload) {
            promises.hold(response.to == transmit.destination, "a response to \(transmit.destination) says \(response.to)")
            if let token = response.token { tokens[transmit.destination.address] = token }
            if let value = response.value { client.answered(value) }
        } else {
            promises.break("a datagram that does not decode: \(Hex.encode(transmit.payload))")
        }
    }

    private func note(_ event: HyperDHTEvent) {
        if isClosed {
            // A destroyed node refuses what is asked of it, and that alone.
            switch event {
            case .finished, .connectionClosed: break
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
        case .reply(let id, _): promises.hold(operations[id] != true, "a reply of an operation that is over")
        case .finished(let id, _):
            promises.hold(operations[id] != true, "an operation ended twice")
            operations[id] = true
        case .firewall(let question): questions.append(question.id)
        case .signature(let question): signatures.append(question)
        case .plugin(let question): plugins.append(question.id)
        case .connection(_, let id, let info):
            promises.hold(connections.updateValue(.connected, forKey: id) == nil, "a connection came twice")
            promises.hold(info.handshakeHash.count == 64, "a handshake hash of \(info.handshakeHash.count) bytes")
        case .connected(let id, _):
            promises.hold(connections[id] != .connected && connections[id] != .closed, "connected twice, or after the end")
            connections[id] = .connected
        case .data(let id, let bytes):
            promises.hold(connections[id] == .connected, "data of a connection that is not open")
            promises.hold(!bytes.isEmpty || node.config.connectionKeepAlive == nil, "a keepalive came out as data")
        case .message(let id, _), .ended(let id), .drained(let id), .pathChanged(let id, _, _):
            promises.hold(connections[id] == .connected, "an event of a connection that is not open: \(event)")
        case .connectionClosed(let id, _):
            promises.hold(connections[id] != .closed, "a connection closed twice")
            connections[id] = .closed
        case .closed: isClosed = true
        default: break
        }
    }

    /// The end of the node is the end of everything that it has begun.
    private func finish() {
        guard promises.broken == nil else { return }
        node.destroy(force: true)
        collect(limit: 4096)
        pass(60_000)
        promises.hold(isClosed || node.isDestroyed, "the node does not come to its end")
        promises.hold(!operations.values.contains(false), "operations without an end")
        promises.hold(!connections.values.contains { $0 != .closed }, "connections without an end")
        promises.hold(node.connectionCount == 0 && node.puncherSocketCount == 0, "connections or sockets are left")
    }
}
