import CompactEncoding
import Conformance
import DHTRPC
import SansIO

/// One dht-rpc node and scripted testers on a network without loss, under a virtual clock. The testers see bytes alone.
final class DHTRPCBench {
    /// What a tester received.
    struct Arrival {
        let at: Instant
        let source: Endpoint
        let payload: [UInt8]

        var request: Request? { try? Request(decoding: payload) }
        var response: Response? { try? Response(decoding: payload) }
    }

    /// Answers one request of the node; nil is silence.
    typealias Script = (Request, Endpoint) -> Response?

    static let host = IPAddress.v4(0x0a01_0101)
    static let serverPort: UInt16 = 49737
    static let clientPort: UInt16 = 50123
    static let server = Endpoint(host, serverPort)
    static let client = Endpoint(host, clientPort)
    static let latency = Interval.milliseconds(5)

    let node: DHTRPCNode
    private(set) var now = Instant(microseconds: 5_000_000_000)
    private(set) var arrivals: [Endpoint: [Arrival]] = [:]
    /// Everything that left the node, in order.
    private(set) var sent: [(at: Instant, transmit: Transmit)] = []
    private(set) var events: [NodeEvent] = []
    private(set) var bindRequests: [BindRequest] = []
    private(set) var lookedUp: [String] = []
    var takenPorts: Set<UInt16> = []
    /// Application requests are answered at once, as HyperDHT answers a search without records.
    var answersApplication = true
    /// Where PING_NAT answers and others really go: answers to the server port are lost when false.
    var serverPortIsOpen = true
    private var isBound = false
    private var scripts: [Endpoint: Script] = [:]
    private var queue: [(at: Instant, number: Int, toNode: Bool, socket: UInt16, other: Endpoint, payload: [UInt8])] = []
    private var number = 0

    init(_ config: NodeConfig, seed: UInt64) { node = DHTRPCNode(config: config, entropy: SeededEntropy(seed: seed), at: now) }

    /// A persistent node with an empty table, ready.
    static func persistent(_ seed: UInt64, bootstrap: [Endpoint] = [], _ change: (inout NodeConfig) -> Void = { _ in }) -> DHTRPCBench {
        var config = NodeConfig.bootstrapper(server)
        config.bootstrap = bootstrap.map { BootstrapEntry($0) }
        change(&config)
        let bench = DHTRPCBench(config, seed: seed)
        bench.start()
        return bench
    }

    /// An ephemeral, firewalled node, ready.
    static func ephemeral(_ seed: UInt64, bootstrap: [Endpoint] = [], _ change: (inout NodeConfig) -> Void = { _ in }) -> DHTRPCBench {
        var config = NodeConfig()
        config.port = .from(serverPort)
        config.persistence = .never
        config.bootstrap = bootstrap.map { BootstrapEntry($0) }
        change(&config)
        let bench = DHTRPCBench(config, seed: seed)
        bench.start()
        return bench
    }

    static func tester(_ n: Int) -> Endpoint { Endpoint(.v4(0x0a02_0000 + UInt32(n)), UInt16(40_000 + n)) }

    func start() {
        node.advance(to: now)
        node.start()
        collect()
    }

    // MARK: Testers

    func script(_ tester: Endpoint, _ script: @escaping Script) { scripts[tester] = script }

    /// A tester with a valid id that answers everything, with these closer nodes and this token.
    func citizen(_ tester: Endpoint, closer: [Endpoint] = [], token: Bytes32? = nil, error: UInt64 = 0) {
        let id = NodeID.of(tester)
        script(tester) { request, source in
            Response(
                tid: request.tid, to: source, id: id, token: token, closerNodes: request.target == nil ? [] : closer,
                error: request.isInternal ? 0 : error)
        }
    }

    func silence(_ tester: Endpoint) { scripts[tester] = nil }

    func send(_ payload: [UInt8], from source: Endpoint, toPort port: UInt16 = serverPort) {
        schedule(toNode: true, socket: port, source, payload)
    }

    func received(_ tester: Endpoint) -> [Arrival] { arrivals[tester] ?? [] }

    /// Sends a datagram and returns what comes back to that tester within 200 ms.
    func exchange(_ payload: [UInt8], from tester: Endpoint, toPort port: UInt16 = serverPort) -> [Arrival] {
        let before = received(tester).count
        send(payload, from: tester, toPort: port)
        run(.milliseconds(200))
        return Array(received(tester).dropFirst(before))
    }

    /// Sends a request; the one response, nil for silence or more than one datagram.
    func ask(_ request: Request, from tester: Endpoint, toPort port: UInt16 = serverPort) -> Response? {
        let answers = exchange(request.encoded, from: tester, toPort: port)
        return answers.count == 1 ? answers[0].response : nil
    }

    /// Introduces a tester with its id: a PING.
    func introduce(_ tester: Endpoint, id: Bytes32? = nil) {
        _ = exchange(
            Request(
                tid: 77, to: DHTRPCBench.server, id: id ?? NodeID.of(tester), isInternal: true, command: InternalCommand.ping.rawValue
            ).encoded, from: tester)
    }

    /// The nodes that FIND_NODE lists for a target.
    func found(_ target: Bytes32, asker: Endpoint = tester(999)) -> [Endpoint]? {
        ask(DHTRPCBench.internalRequest(.findNode, target: target), from: asker)?.closerNodes
    }

    static func internalRequest(_ command: InternalCommand, tid: UInt16 = 0x1234, target: Bytes32? = nil, value: [UInt8]? = nil) -> Request
    {
        Request(tid: tid, to: server, isInternal: true, command: command.rawValue, target: target, value: value)
    }

    // MARK: Time

    private func schedule(toNode: Bool, socket: UInt16, _ other: Endpoint, _ payload: [UInt8]) {
        number += 1
        queue.append((now + DHTRPCBench.latency, number, toNode, socket, other, payload))
    }

    func run(_ span: Interval) { run(span) { false } }

    /// Lets time pass until the condition holds, for `span` at most.
    func run(_ span: Interval, until isDone: () -> Bool) {
        collect()
        let end = now + span
        while !isDone() {
            let first = queue.indices.min { (queue[$0].at, queue[$0].number) < (queue[$1].at, queue[$1].number) }
            let next = min(first.map { queue[$0].at } ?? .distantFuture, node.nextWakeUp)
            guard next <= end else { break }
            now = max(now, next)
            if let first, queue[first].at <= now {
                let item = queue.remove(at: first)
                if item.toNode {
                    deliverToNode(item.payload, item.other, item.socket)
                } else {
                    arrived(item.payload, item.other, item.socket)
                }
            } else {
                node.advance(to: now)
            }
            collect()
        }
        guard !isDone() else { return }
        now = max(now, end)
        node.advance(to: now)
        collect()
    }

    /// The clock jumps, as when a machine sleeps.
    func sleep(_ span: Interval) {
        now = now + span
        queue.removeAll()
        node.advance(to: now)
        collect()
    }

    private func deliverToNode(_ payload: [UInt8], _ source: Endpoint, _ port: UInt16) {
        guard isBound, port != DHTRPCBench.serverPort || serverPortIsOpen else { return }
        node.receive(payload, from: source, on: SocketID(UInt32(port)), at: now)
    }

    private func arrived(_ payload: [UInt8], _ tester: Endpoint, _ port: UInt16) {
        let source = Endpoint(DHTRPCBench.host, port)
        arrivals[tester, default: []].append(Arrival(at: now, source: source, payload: payload))
        guard let request = try? Request(decoding: payload), let reply = scripts[tester]?(request, source) else { return }
        schedule(toNode: true, socket: reply.to.address == DHTRPCBench.host ? replyPort(request, port) : port, tester, reply.encoded)
    }

    /// PING_NAT is answered at the port that it names.
    private func replyPort(_ request: Request, _ port: UInt16) -> UInt16 {
        guard answersNATPings, request.isInternal, request.command == InternalCommand.pingNAT.rawValue, let value = request.value,
            value.count >= 2
        else { return port }
        return UInt16(value[0]) | UInt16(value[1]) << 8
    }

    /// False: testers answer PING_NAT to the port that it came from.
    var answersNATPings = true

    func collect() {
        while true {
            for transmit in node.takeTransmits() {
                sent.append((now, transmit))
                schedule(toNode: false, socket: UInt16(truncatingIfNeeded: transmit.socket.number), transmit.destination, transmit.payload)
            }
            let pending = node.takeEvents()
            if pending.isEmpty { return }
            for event in pending { handle(event) }
        }
    }

    private func handle(_ event: NodeEvent) {
        events.append(event)
        switch event {
        case .bind(let request):
            bindRequests.append(request)
            let port = request.serverPorts.first { !takenPorts.contains($0) } ?? 61_000
            isBound = true
            node.bound(
                NodeSockets(
                    server: SocketID(UInt32(port)), serverPort: port, client: SocketID(UInt32(DHTRPCBench.clientPort)),
                    clientPort: DHTRPCBench.clientPort))
        case .closeSockets: isBound = false
        case .resolve(let name):
            lookedUp.append(name)
            node.resolved(name, to: nil)
        case .request(let request):
            guard answersApplication else { return }
            if node.isPersistent { node.reply(to: request) } else { node.replyUnknownCommand(to: request) }
        default: break
        }
    }

    // MARK: Events

    func response(of id: RequestID) -> ReceivedResponse? {
        for case .response(id, let response) in events { return response }
        return nil
    }

    func failure(of id: RequestID) -> RequestFailure? {
        for case .requestFailed(id, let failure) in events { return failure }
        return nil
    }

    func outcome(of id: QueryID) -> QueryOutcome? {
        for case .queryFinished(id, let outcome) in events { return outcome }
        return nil
    }

    var isReady: Bool { events.contains { if case .ready = $0 { true } else { false } } }
    var becamePersistent: Bool { events.contains { if case .persistent = $0 { true } else { false } } }
}
