import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO
import StrictJSON

/// A HyperDHT node in an exchange.
final class HyperDHTExchangeNode: ExchangeNode {
    private let setup: ExchangeNodeSetup
    let node: HyperDHTNode
    private var ports: [SocketID: UInt16] = [:]
    private var freePuncherPorts: [UInt16]
    private var events: [JSON] = []
    private var operations: [OperationID: Call] = [:]
    private var connections: [ConnectionID: String] = [:]
    private var servers: [ServerID: String] = [:]
    private var closing: [ServerID: String] = [:]
    private var refusing: Set<ServerID> = []
    private var isReady = false

    /// One call of the program, and what came back so far.
    private struct Call {
        var name: String
        var kind: String
        var replies: [JSON] = []
        var from: JSON = .null
        var signature: [UInt8] = []
        var seq: UInt64 = 0
    }

    init(_ setup: ExchangeNodeSetup) throws {
        self.setup = setup
        freePuncherPorts = setup.puncherPorts
        var config = HyperDHTConfig()
        config.rpc = try DHTRPCExchangeNode.config(setup)
        config.rpc.bindHost = setup.address.address
        config.defaultKeyPair = KeyPair(seed: setup.keyPairSeed)
        if let age = setup.maximumAge { config.limits.stores = StoreLimits(maxAge: .milliseconds(age)) }
        // Cases speak of bumps around the time of their recording, and of ones before it.
        config.unixMilliseconds = HyperDHTExchangeNode.recordedAt
        let entropy = setup.seededEntropy()
        // "Always the first of those left."
        if setup.entropy["recordChoice"] != nil { for _ in 0..<256 { entropy.inject([UInt8](repeating: 0, count: 8), for: .recordChoice) } }
        for id in try setup.integers("streamIds") {
            var writer = Writer()
            writer.uint32(UInt32(truncatingIfNeeded: id))
            entropy.inject(writer.bytes, for: .streamID)
        }
        for seed in try setup.draws("noiseEphemeralSeeds") { entropy.inject(seed, for: .noiseEphemeral) }
        for secret in try setup.draws("holepunchLocalSecrets") { entropy.inject(secret, for: .holepunchSecret) }
        for nonce in try setup.draws("holepunchNonces") { entropy.inject(nonce, for: .holepunchNonce) }
        for token in try setup.draws("relayTokens") { entropy.inject(token, for: .relayToken) }
        node = HyperDHTNode(config: config, entropy: entropy, at: .zero)
        for plugin in setup.plugins {
            let object = try ExchangeObject(plugin, required: ["name", "version"])
            node.registerPlugin(try object.string("name"), version: UInt64(clamping: try object.integer("version")))
        }
    }

    /// The wall clock of the recordings, in milliseconds since 1970, roughly: bumps more than a minute ahead of it are from the future.
    private static let recordedAt: UInt64 = 1_764_000_000_000

    // MARK: ExchangeNode

    var boundPorts: Set<UInt16> { Set(ports.values) }
    var nextWakeUp: Instant { node.nextWakeUp }

    func start(at now: Instant) throws {
        node.advance(to: now)
        node.start()
        handleEvents()
    }

    func receive(_ datagram: [UInt8], from source: Endpoint, atPort port: UInt16, at now: Instant) {
        guard let socket = ports.first(where: { $0.value == port })?.key else { return }
        node.receive(datagram, from: source, on: socket, now: now)
        handleEvents()
    }

    func advance(to now: Instant) {
        node.advance(to: now)
        handleEvents()
    }

    func takeDatagrams() -> [ExchangeDatagram] {
        applySocketRequests()
        let datagrams = node.takeTransmits().map {
            ExchangeDatagram(fromPort: ports[$0.socket] ?? 0, to: $0.destination, payload: $0.payload, timeToLive: $0.timeToLive)
        }
        applySocketRequests()
        return datagrams
    }

    private func applySocketRequests() {
        for request in node.takeSocketRequests() {
            switch request {
            case .open(let socket):
                if freePuncherPorts.isEmpty { freePuncherPorts.append(45_000 + UInt16(truncatingIfNeeded: socket.number % 10_000)) }
                ports[socket] = freePuncherPorts.removeFirst()
            case .close(let socket): ports[socket] = nil
            }
        }
    }

    func takeEvents() -> [JSON] {
        let result = events
        events = []
        return result
    }

    // MARK: Calls

    func perform(_ call: JSON) throws {
        let name = call["name"]?.string ?? ""
        let kind = call["call"]?.string ?? ""
        switch kind {
        case "suspend": node.suspend()
        case "resume": node.resume()
        case "state":
            events.append(result(name, ["persistent": .bool(node.isPersistent), "firewalled": .bool(node.isFirewalled)]))
        case "listen": try listen(call, name)
        case "closeServer":
            guard let id = servers.first(where: { $0.value == call["server"]?.string })?.key else {
                throw ExchangeFormatError("no such server", call)
            }
            closing[id] = name
            node.close(id)
        case "connect": try connect(call, name)
        default: try operate(call, name, kind)
        }
        handleEvents()
    }

    private func operate(_ call: JSON, _ name: String, _ kind: String) throws {
        var record = Call(name: name, kind: kind)
        let id: OperationID
        switch kind {
        case "ping":
            let object = try ExchangeObject(call, required: ["call", "name", "to"], optional: ["options"])
            let repeats = try object["options"].map { try ExchangeObject($0, optional: ["retry"]).bool("retry", default: true) } ?? true
            id = node.ping(try Exchange.endpoint(object["to"] ?? call), retries: repeats ? nil : 0)
        case "lookup": id = node.lookup(try bytes32(call, "target"))
        case "findPeer": id = node.findPeer(try bytes32(call, "publicKey"))
        case "announce":
            var options = AnnounceOptions()
            if let bump = call["options"]?["bump"]?.integer { options.bump = UInt64(clamping: bump) }
            id = node.announce(
                try bytes32(call, "target"), signer: .keyPair(try keyPair(call)),
                relayAddresses: try (call["relayAddresses"]?.array ?? []).map(Exchange.endpoint), options: options)
        case "unannounce": id = node.unannounce(try bytes32(call, "target"), signer: .keyPair(try keyPair(call)))
        case "immutableGet": id = node.immutableGet(try bytes32(call, "target"))
        case "immutablePut": id = node.immutablePut(try Exchange.bytes(call["value"] ?? call))
        case "mutableGet":
            var options = MutableGetOptions()
            if let seq = call["options"]?["seq"]?.integer { options.seq = UInt64(clamping: seq) }
            id = node.mutableGet(try bytes32(call, "publicKey"), options: options)
        case "mutablePut":
            let value = try Exchange.bytes(call["value"] ?? call)
            record.seq = UInt64(clamping: call["seq"]?.integer ?? 0)
            let pair = try keyPair(call)
            record.signature = RecordSignature.signMutable(seq: record.seq, value: value, keyPair: pair)
            id = node.mutablePut(pair, seq: record.seq, value: value)
        default: throw ExchangeUnsupported(what: kind)
        }
        operations[id] = record
    }

    private func bytes32(_ call: JSON, _ key: String) throws -> Bytes32 { try Exchange.bytes32(call[key] ?? call) }

    private func keyPair(_ call: JSON) throws -> KeyPair {
        guard let pair = KeyPair(seed: try Exchange.bytes(call["keyPairSeed"] ?? call)) else {
            throw ExchangeFormatError("a seed has 32 bytes", call)
        }
        return pair
    }

    private func listen(_ call: JSON, _ name: String) throws {
        let object = try ExchangeObject(
            call, required: ["call", "name", "keyPairSeed"],
            optional: ["shareLocalAddress", "firewall", "holepunch", "relayThrough", "options"])
        var options = ServerOptions()
        options.sharesLocalAddress = try object.bool("shareLocalAddress", default: true)
        if let given = object["options"] {
            let more = try ExchangeObject(given, optional: ["reusableSocket", "handshakeClearWait"])
            options.reusableSocket = try more.bool("reusableSocket", default: false)
            if more["handshakeClearWait"] != nil {
                options.handshakeClearWait = .milliseconds(try more.integer("handshakeClearWait"))
            }
        }
        switch object["firewall"]?.string {
        case nil: break
        case "rejects": options.firewall = .reject
        case "throws": options.firewall = .ask
        case let other: throw ExchangeUnsupported(what: "firewall \(other ?? "")")
        }
        if object["holepunch"]?.string == "refuses" { options.holepunch = .refuse }
        if let relay = object["relayThrough"] { options.relayThrough = [try Exchange.bytes32(relay)] }
        servers[try node.listen(try keyPair(call), options: options)] = name
    }

    private func connect(_ call: JSON, _ name: String) throws {
        let object = try ExchangeObject(call, required: ["call", "name", "publicKey"], optional: ["options", "relayThrough"])
        var options = ConnectOptions()
        if let given = object["options"] {
            let more = try ExchangeObject(
                given, optional: ["relayAddresses", "localConnection", "fastOpen", "reusableSocket", "keyPairSeed"])
            options.relayAddresses = try more.list("relayAddresses").map(Exchange.endpoint)
            options.localConnection = try more.bool("localConnection", default: true)
            options.fastOpen = try more.bool("fastOpen", default: true)
            options.reusableSocket = try more.bool("reusableSocket", default: false)
            if more["keyPairSeed"] != nil { options.keyPair = try keyPair(given) }
        }
        if let relay = object["relayThrough"] { options.relayThrough = [try Exchange.bytes32(relay)] }
        let key = try object.bytes("publicKey")
        let address = try PeerAddress(decoding: key)
        connections[node.connect(address, options: options)] = name
    }

    // MARK: Events

    private func handleEvents() {
        while true {
            let pending = node.takeEvents()
            if pending.isEmpty { return }
            for event in pending { handle(event) }
        }
    }

    private func handle(_ event: HyperDHTEvent) {
        switch event {
        case .bind(let request):
            let sockets = setup.sockets(request)
            ports[sockets.server] = sockets.serverPort
            ports[sockets.client] = sockets.clientPort
            node.bound(sockets)
        case .closeSockets(let sockets): for socket in sockets { ports[socket] = nil }
        case .resolve(let name): node.resolved(name, to: nil)
        case .ready:
            for endpoint in setup.tableNodes { node.addNode(endpoint) }
            events.append(["type": "ready"])
        case .persistent(let id): events.append(["type": "persistent", "id": .string(id.description)])
        case .reply(let id, let reply): replied(id, reply)
        case .finished(let id, let outcome): finished(id, outcome)
        case .listening(let id, let key):
            events.append(["type": "listening", "of": .string(servers[id] ?? ""), "publicKey": .string(key.description)])
        case .serverClosed(let id): if let name = closing.removeValue(forKey: id) { events.append(result(name, .null)) }
        case .firewall(let question):
            asked(question.server, question.remotePublicKey, question.clientAddress)
            node.decide(question.id, accept: false)
        // The plugins of these cases echo their value.
        case .plugin(let question): node.answer(question.id, value: question.message.value, token: false, closerNodes: false)
        case .firewallDecided(let server, let key, let address, _): asked(server, key, address)
        case .connection(let server, _, let info):
            events.append([
                "type": "connection", "of": .string(servers[server] ?? ""), "remotePublicKey": .string(info.remotePublicKey.description),
            ])
        case .connected(let id, let info):
            events.append([
                "type": "connection", "of": .string(connections[id] ?? ""), "remotePublicKey": .string(info.remotePublicKey.description),
            ])
        case .connectionClosed(let id, let error):
            guard let name = connections[id], let error else { return }
            events.append(["type": "error", "of": .string(name), "error": .string(error.rawValue)])
        default: break
        }
    }

    private func asked(_ server: ServerID, _ key: Bytes32, _ address: Endpoint) {
        events.append([
            "type": "firewall", "of": .string(servers[server] ?? ""), "remotePublicKey": .string(key.description),
            "clientAddress": Exchange.json(address),
        ])
    }

    private static func json(_ record: PeerRecord) -> JSON {
        ["publicKey": .string(record.publicKey.description), "relayAddresses": .array(record.relayAddresses.map(Exchange.json))]
    }

    private func replied(_ id: OperationID, _ reply: QueryReply) {
        operations[id]?.from = Exchange.json(reply.from)
        switch reply.content {
        case .peers(let peers, let bump):
            operations[id]?.replies.append([
                "from": Exchange.json(reply.from), "peers": .array(peers.map(HyperDHTExchangeNode.json)), "bump": .integer(bump),
            ])
        case .peer(let record):
            operations[id]?.replies.append(["from": Exchange.json(reply.from), "peer": HyperDHTExchangeNode.json(record)])
        default: break
        }
    }

    private func finished(_ id: OperationID, _ outcome: OperationResult) {
        guard let call = operations.removeValue(forKey: id) else { return }
        switch outcome {
        case .failed(let error): events.append(failure(call.name, error.rawValue))
        // No call of these cases makes a request of its own.
        case .response: break
        case .pong(let from, let to, let nodeID, _): events.append(pong(call.name, from: from, to: to, id: nodeID))
        case .done(let nodes):
            if call.kind == "unannounce" { return events.append(result(call.name, .null)) }
            events.append(
                result(call.name, ["replies": .array(call.replies), "closestNodes": .array(nodes.map(Exchange.json))]))
        case .immutable(let value):
            events.append(result(call.name, value.map { ["value": .string(Hex.encode($0)), "from": call.from] } ?? .null))
        case .mutable(let record):
            events.append(
                result(
                    call.name,
                    record.map { ["seq": .integer($0.seq), "value": .string(Hex.encode($0.value)), "from": call.from] } ?? .null))
        case .stored(let target, let nodes):
            if call.kind == "mutablePut" {
                events.append(
                    result(
                        call.name,
                        [
                            "seq": .integer(call.seq), "signature": .string(Hex.encode(call.signature)),
                            "closestNodes": .array(nodes.map(Exchange.json)),
                        ]))
            } else {
                events.append(
                    result(call.name, ["hash": .string(target.description), "closestNodes": .array(nodes.map(Exchange.json))]))
            }
        }
    }
}
