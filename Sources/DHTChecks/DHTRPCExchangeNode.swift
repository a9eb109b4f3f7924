import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// A bare dht-rpc node in an exchange. In HyperDHT's place it has an application that answers FIND_PEER and LOOKUP without records.
final class DHTRPCExchangeNode: ExchangeNode {
    /// What a program can call on it.
    static let calls: Set<String> = [
        "ping", "pings", "query", "findNode", "state", "requestCount", "suspend", "resume", "destroy", "delayedPing",
    ]
    /// Application commands that the stand-in answers: FIND_PEER and LOOKUP.
    static let commands: Set<UInt64> = [2, 3]

    private let setup: ExchangeNodeSetup
    let node: DHTRPCNode
    private var sockets: Set<UInt16> = []
    private var events: [JSON] = []
    private var names: [RequestID: String] = [:]
    private var queryNames: [QueryID: String] = [:]
    private var replies: [QueryID: [ReceivedResponse]] = [:]
    private var batches: [String: (left: Int, finished: Int)] = [:]

    init(_ setup: ExchangeNodeSetup) throws {
        self.setup = setup
        let config = try DHTRPCExchangeNode.config(setup)
        node = DHTRPCNode(config: config, entropy: setup.seededEntropy(), at: .zero)
    }

    /// The node's configuration for a case; HyperDHT's node takes the same.
    static func config(_ setup: ExchangeNodeSetup) throws -> NodeConfig {
        var config = setup.isPersistent ? NodeConfig.bootstrapper(setup.address) : NodeConfig()
        config.port = .from(setup.address.port)
        config.bootstrap = setup.bootstrap
        if !setup.isPersistent {
            config.persistence = setup.isEphemeral.map { $0 ? .never : .atStart } ?? (setup.isAdaptive ? .adaptive : .never)
            config.firewalled = setup.isFirewalled ?? true
            config.quickFirewall = setup.quickFirewall
        }
        config.concurrency = setup.concurrency ?? config.concurrency
        config.sendsDownHints = setup.sendsDownHints
        if let limit = setup.downHintsPerTick { config.downHintsPerTick = limit < 0 ? nil : Int(clamping: limit) }
        config.draws.tableID = try setup.draws("tableId").first.flatMap { Bytes32($0) }
        config.draws.tick = try setup.integers("tick").first.map { Int32(clamping: $0) }
        config.draws.tokenSecrets = setup.tokenSecrets
        config.draws.rotatesTokens = setup.tokenRotation
        if let first = try setup.integers("firstTid").first, let tid = UInt16(exactly: first) {
            config.transactionIDs = .sequential(from: tid)
        }
        return config
    }

    /// What a case sets in a node that is ready.
    static func furnish(_ node: DHTRPCNode, _ setup: ExchangeNodeSetup) {
        for endpoint in setup.tableNodes { node.addNode(endpoint) }
        if let ticks = setup.refreshTicks { node.refresh(inTicks: ticks) }
    }

    // MARK: ExchangeNode

    var boundPorts: Set<UInt16> { sockets }
    var nextWakeUp: Instant { node.nextWakeUp }

    func start(at now: Instant) throws {
        node.advance(to: now)
        node.start()
        handleEvents()
    }

    func receive(_ datagram: [UInt8], from source: Endpoint, atPort port: UInt16, at now: Instant) {
        node.receive(datagram, from: source, on: SocketID(UInt32(port)), at: now)
        handleEvents()
    }

    func advance(to now: Instant) {
        node.advance(to: now)
        handleEvents()
    }

    func takeDatagrams() -> [ExchangeDatagram] {
        node.takeTransmits().map {
            ExchangeDatagram(
                fromPort: UInt16(truncatingIfNeeded: $0.socket.number), to: $0.destination, payload: $0.payload,
                timeToLive: $0.timeToLive)
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
        switch call["call"]?.string {
        case "ping":
            let object = try ExchangeObject(call, required: ["call", "name", "to"], optional: ["options"])
            var options = RequestOptions()
            var padding = 0
            if let given = try object["options"].map({ try ExchangeObject($0, optional: ["retry", "size", "ttl"]) }) {
                if try given.bool("retry", default: true) == false { options.retries = 0 }
                options.timeToLive = UInt8(clamping: try given.integer("ttl", default: 0))
                padding = Int(clamping: try given.integer("size", default: 0))
            }
            names[node.ping(try Exchange.endpoint(object["to"] ?? call), padding: padding, options: options)] = name
        case "delayedPing":
            let object = try ExchangeObject(call, required: ["call", "name", "to", "delayMilliseconds"])
            let delay = UInt32(clamping: try object.integer("delayMilliseconds"))
            guard let id = node.delayedPing(try Exchange.endpoint(object["to"] ?? call), delayMilliseconds: delay) else {
                return events.append(failure(name, "delay above the maximum"))
            }
            names[id] = name
        case "pings":
            let object = try ExchangeObject(call, required: ["call", "name", "to", "count"], optional: ["retry"])
            var options = RequestOptions()
            if try object.bool("retry", default: true) == false { options.retries = 0 }
            let count = Int(clamping: try object.integer("count"))
            batches[name] = (count, 0)
            for _ in 0..<count { names[node.ping(try Exchange.endpoint(object["to"] ?? call), options: options)] = name }
        case "query", "findNode":
            let object = try ExchangeObject(
                call, required: ["call", "name", "target"], optional: ["command", "commit", "options"])
            var options = QueryOptions()
            if let given = object["options"] {
                let given = try ExchangeObject(given, optional: ["concurrency", "retries", "force", "onlyClosestNodes", "nodes"])
                options.concurrency = try given["concurrency"].map { _ in Int(clamping: try given.integer("concurrency")) }
                options.retries = try given["retries"].map { _ in Int(clamping: try given.integer("retries")) }
                options.isForced = try given.bool("force", default: false)
                options.onlyClosestNodes = try given.bool("onlyClosestNodes", default: false)
                options.nodes = try given.list("nodes").map(Exchange.endpoint)
            }
            if try object.bool("commit", default: false) { options.commit = .same }
            let target = try Exchange.bytes32(object["target"] ?? call)
            let id =
                call["call"]?.string == "query"
                ? node.query(target: target, command: UInt64(clamping: try object.integer("command")), options: options)
                : node.findNode(target, options: options)
            queryNames[id] = name
        case "state":
            events.append(result(name, ["persistent": .bool(node.isPersistent), "firewalled": .bool(node.isFirewalled)]))
        case "requestCount": events.append(result(name, ["requests": .integer(node.statistics.requestsTotal)]))
        case "suspend": node.suspend()
        case "resume": node.resume()
        case "destroy": node.destroy()
        case let other: throw ExchangeUnsupported(what: other ?? "a call without name")
        }
        handleEvents()
    }

    private func handleEvents() {
        while true {
            let pending = node.takeEvents()
            if pending.isEmpty { return }
            for event in pending { handle(event) }
        }
    }

    private func handle(_ event: NodeEvent) {
        switch event {
        case .bind(let request):
            let sockets = setup.sockets(request)
            self.sockets = [sockets.serverPort, sockets.clientPort]
            node.bound(sockets)
        case .closeSockets: sockets = []
        case .resolve(let name): node.resolved(name, to: nil)
        case .ready:
            DHTRPCExchangeNode.furnish(node, setup)
            events.append(["type": "ready"])
        case .persistent(let id): events.append(["type": "persistent", "id": .string(id.description)])
        case .request(let request):
            if node.isPersistent, DHTRPCExchangeNode.commands.contains(request.command), request.target != nil {
                node.reply(to: request)
            } else {
                node.replyUnknownCommand(to: request)
            }
        case .response(let id, let response): requestEnded(id, response, nil)
        case .requestFailed(let id, let failure): requestEnded(id, nil, failure)
        case .queryReply(let id, let reply): replies[id, default: []].append(reply)
        case .queryFinished(let id, let outcome): queryEnded(id, outcome)
        default: break
        }
    }

    private func requestEnded(_ id: RequestID, _ response: ReceivedResponse?, _ failed: RequestFailure?) {
        guard let name = names.removeValue(forKey: id) else { return }
        if var batch = batches[name] {
            batch.left -= 1
            batch.finished += 1
            batches[name] = batch
            if batch.left == 0 { events.append(result(name, ["finished": .integer(batch.finished)])) }
        } else if let response {
            events.append(pong(name, from: response.from, to: response.to, id: response.id, error: response.error))
        } else if let failed {
            events.append(failure(name, failed.rawValue))
        }
    }

    private func queryEnded(_ id: QueryID, _ outcome: QueryOutcome) {
        guard let name = queryNames.removeValue(forKey: id) else { return }
        if let failed = outcome.failure { return events.append(failure(name, failed.description)) }
        let all = replies.removeValue(forKey: id) ?? []
        events.append(
            result(
                name,
                [
                    "replies": .array(all.map { ["from": Exchange.json($0.from)] }),
                    "closestNodes": .array(outcome.closestReplies.map { Exchange.json($0.from) }),
                ]))
    }
}
