import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON

/// What one dht-rpc node does over a whole run: when it gives its id, from which socket it asks, what it lists, how it rests.
/// dht-rpc.md sections 3.6, 5, 7.2, 13. DHT-4, 14, 48, 52.
enum DHTNodeRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.isCut else { return }
        identity(context, &report)
        sockets(context, &report)
        duplicates(context, &report)
        lists(context, &report)
        skipped(context, &report)
        rests(context, &report)
    }

    /// nil: no message of dht-rpc.
    private static func hasID(_ context: TraceContext, _ index: Int) -> Bool? {
        switch context.packets[index].message {
        case .request(let request): request.id != nil
        case .response(let response): response.id != nil
        default: nil
        }
    }

    /// A socket gives the node's id from one moment on, and always then; nodes that stay ephemeral never give it, nor does a client socket.
    private static func identity(_ context: TraceContext, _ report: inout TraceReport) {
        var since: [Endpoint: Int] = [:]
        for index in context.packets.indices {
            guard let hasID = hasID(context, index) else { continue }
            let source = context.packets[index].packet.source
            let at = context.offset(index, "flags", layer: .dhtRPC)
            if hasID {
                let owner = context.knowledge.peers.first {
                    $0.host == source.address && ($0.serverPort == source.port || $0.clientPort == source.port)
                }
                if let owner, !context.bundle.inputs.isEmpty || owner.isEphemeral != nil {
                    report.check(
                        "dht-rpc.ephemeral", owner.isEphemeral != true && owner.clientPort != source.port, context.number(index),
                        "dht-rpc.flags", at, "an id from \(owner.clientPort == source.port ? "a client socket" : "an ephemeral node")")
                }
                since[source] = since[source] ?? index
            } else if let first = since[source], !hasRested(context, source, between: first, and: index) {
                report.check(
                    "dht-rpc.ephemeral", false, context.number(index), "dht-rpc.flags", at,
                    "no id, where packet \(context.number(first)) from this socket had one")
            } else {
                report.count("dht-rpc.ephemeral", 1)
            }
        }
    }

    /// After a rest, or a change of its network, a node may be ephemeral again.
    private static func hasRested(_ context: TraceContext, _ source: Endpoint, between first: Int, and last: Int) -> Bool {
        context.suspensions.contains { $0.server == source }
            || UDXRules.time(context, last) - UDXRules.time(context, first) > 1_200_000_000_000
    }

    /// A node asks from its client socket as long as it may be firewalled, and from its server socket from one moment on.
    private static func sockets(_ context: TraceContext, _ report: inout TraceReport) {
        var open: [Endpoint: Int] = [:]
        for index in context.packets.indices {
            guard case .request(let request) = context.packets[index].message else { continue }
            let source = context.packets[index].packet.source
            // What a relay passes on leaves from the socket that it came in on.
            let isPassedOn = !request.isInternal && request.command <= HyperDHTCommand.peerHolepunch.rawValue
            guard !isPassedOn,
                let owner = context.knowledge.peers.first(where: {
                    $0.host == source.address && ($0.serverPort == source.port || $0.clientPort == source.port)
                }), let server = owner.serverPort, let client = owner.clientPort, server != client
            else { continue }
            let place = Endpoint(source.address, server)
            if source.port == server {
                open[place] = open[place] ?? index
                report.count("dht-rpc.socket", 1)
            } else {
                report.check(
                    "dht-rpc.socket", open[place] == nil || context.suspensions.contains { $0.server == place }, context.number(index),
                    "udp.source", nil,
                    "a request from the client socket, where packet \(context.number(open[place] ?? 0)) left the server socket")
            }
        }
    }

    /// Each copy of a request is answered once at most.
    private static func duplicates(_ context: TraceContext, _ report: inout TraceReport) {
        for exchange in context.dissection.exchanges where exchange.response != nil {
            let answers = [exchange.response].compactMap { $0 } + exchange.duplicateResponses
            // Handshakes reach a server through several relays, and each answers the client.
            let copies = exchange.requests.count + exchange.legs.count
            report.check(
                "dht-rpc.twice", answers.count <= max(1, copies), context.number(answers.last ?? exchange.request), "dht-rpc.tid", 2,
                "\(answers.count) answers to a request that was sent \(exchange.requests.count) times")
        }
    }

    /// A socket is read in order: who answers several later requests has read, and should have answered, the earlier one.
    private static func skipped(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.hasLoss, !context.dissection.beganMidway else { return }
        var answers: [Endpoint: [(asked: Int64, answered: Int64)]] = [:]
        let exchanges = context.dissection.exchanges
        for exchange in exchanges {
            guard let response = exchange.response else { continue }
            answers[exchange.responder, default: []].append((UDXRules.time(context, exchange.request), UDXRules.time(context, response)))
        }
        let silences: Set<String> = ["the capture ends first", "the requester stopped first", "the node stayed silent"]
        for exchange in exchanges where exchange.response == nil && exchange.requests.count == 1 {
            let isPlain =
                exchange.isInternal ? exchange.commandNumber != 1 && exchange.commandNumber != 4 : (2...9).contains(exchange.commandNumber)
            guard isPlain, exchange.origin == nil, let reason = exchange.unansweredReason, silences.contains(reason) else { continue }
            let asked = UDXRules.time(context, exchange.request)
            let later = (answers[exchange.responder] ?? []).filter { $0.asked > asked + 1_000_000 }.count
            report.check(
                "dht-rpc.answered", later < 2, context.number(exchange.request), "dht-rpc.tid", 2,
                "not answered, although \(later) later requests to the same node were")
        }
    }

    /// Nodes whose whole life is in the capture, as far as what they list tells, and what was heard before each packet.
    private struct Hearing {
        var heard: [Endpoint: Set<Endpoint>] = [:]
        var owners: [Endpoint: Endpoint] = [:]
        var isFresh: [Endpoint: Bool] = [:]

        init(_ context: TraceContext) {
            for peer in context.knowledge.peers {
                guard let host = peer.host, let server = peer.serverPort, let client = peer.clientPort else { continue }
                owners[Endpoint(host, client)] = Endpoint(host, server)
                owners[Endpoint(host, server)] = Endpoint(host, server)
            }
        }

        mutating func note(_ packet: CapturedPacket, hasID: Bool) {
            if hasID { heard[owners[packet.destination] ?? packet.destination, default: []].insert(packet.source) }
        }

        mutating func listed(_ nodes: [Endpoint], by node: Endpoint) {
            if isFresh[node] == nil { isFresh[node] = nodes.allSatisfy { heard[node]?.contains($0) ?? false } }
        }
    }

    /// Nodes that began within the capture, of which it shows all traffic. Their first list decides it, and so is judged by nothing here.
    static func freshNodes(_ context: TraceContext) -> Set<Endpoint> {
        guard !context.dissection.beganMidway else { return [] }
        var hearing = Hearing(context)
        for index in context.packets.indices {
            switch context.packets[index].message {
            case .request(let request): hearing.note(context.packets[index].packet, hasID: request.id != nil)
            case .response(let response):
                hearing.note(context.packets[index].packet, hasID: response.id != nil)
                let source = context.packets[index].packet.source
                if let exchange = context.exchangeOf[index], context.dissection.exchanges[exchange].target != nil {
                    hearing.listed(response.closerNodes, by: source)
                }
            default: continue
            }
        }
        return Set(hearing.isFresh.filter { $0.value && context.showsAll(of: $0.key) }.map(\.key))
    }

    /// Closer nodes are distinct, in the order of the table's rows or of distance, and the node has heard of each.
    private static func lists(_ context: TraceContext, _ report: inout TraceReport) {
        var hearing = Hearing(context)
        var lists: Set<Endpoint> = []
        for index in context.packets.indices {
            let packet = context.packets[index].packet
            switch context.packets[index].message {
            case .request(let request): hearing.note(packet, hasID: request.id != nil)
            case .response(let response):
                hearing.note(packet, hasID: response.id != nil)
                guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), let target = exchange.target
                else {
                    continue
                }
                hearing.listed(response.closerNodes, by: packet.source)
                if response.closerNodes.isEmpty {
                    let isListing = exchange.isInternal || [2, 3, 6, 7, 8, 9].contains(exchange.commandNumber)
                    report.check(
                        "dht-rpc.closer-nodes", !isListing || !lists.contains(packet.source), context.number(index), "dht-rpc.closerNodes",
                        nil,
                        "no closer nodes, where this node listed some before")
                    continue
                }
                lists.insert(packet.source)
                let number = context.number(index)
                let at = context.offset(index, "closerNodes", layer: .dhtRPC)
                report.check(
                    "dht-rpc.closer-nodes", Set(response.closerNodes).count == response.closerNodes.count, number, "dht-rpc.closerNodes",
                    at,
                    "a node stands twice in the list")
                let table =
                    response.id
                    ?? context.knowledge.peers.first { $0.host == packet.source.address && $0.serverPort == packet.source.port }?.nodeID
                if let table {
                    report.check(
                        "dht-rpc.closer-order", isOrdered(response.closerNodes, target: target, table: table), number,
                        "dht-rpc.closerNodes", at, "closer nodes stand neither in the order of the table's rows nor of distance")
                }
                guard !context.dissection.beganMidway, hearing.isFresh[packet.source] == true, context.showsAll(of: packet.source) else {
                    continue
                }
                for node in response.closerNodes {
                    report.check(
                        "dht-rpc.closer-known", hearing.heard[packet.source]?.contains(node) ?? false, number, "dht-rpc.closerNodes", at,
                        "\(node) has never told this node its id")
                }
            default: continue
            }
        }
    }

    private static func isOrdered(_ nodes: [Endpoint], target: Bytes32, table: Bytes32) -> Bool {
        let ids = nodes.map { NodeID.of($0) }
        func distance(_ id: Bytes32) -> [UInt8] { zip(id.bytes, target.bytes).map { $0 ^ $1 } }
        func isSorted(_ a: [UInt8], _ b: [UInt8]) -> Bool { !b.lexicographicallyPrecedes(a) }
        if zip(ids, ids.dropFirst()).allSatisfy({ isSorted(distance($0), distance($1)) }) { return true }
        func shared(_ a: Bytes32, _ b: Bytes32) -> Int {
            for (index, (x, y)) in zip(a.bytes, b.bytes).enumerated() where x != y { return index * 8 + (x ^ y).leadingZeroBitCount }
            return 256
        }
        let depth = shared(target, table)
        // Rows d, d-1 ... 0, then d+1 ...
        func rank(_ id: Bytes32) -> Int {
            let row = shared(id, table)
            return row <= depth ? depth - row : row
        }
        return zip(ids, ids.dropFirst()).allSatisfy { a, b in
            let (x, y) = (rank(a), rank(b))
            return x < y || x == y && isSorted(a.bytes, b.bytes)
        }
    }

    /// A suspended node is silent; resumed, it has the same server port.
    private static func rests(_ context: TraceContext, _ report: inout TraceReport) {
        for suspension in context.suspensions {
            let (server, time, isResumed) = (suspension.server, suspension.time, suspension.isResumed)
            // What was on its way when it fell asleep may still leave.
            let begin = time.lowerBound + 300_000_000
            for (index, packet) in context.packets.enumerated()
            where packet.packet.source == server && (begin..<time.upperBound).contains(packet.packet.timeNanoseconds) {
                report.check("dht-rpc.suspended", false, context.number(index), "udp.source", nil, "a suspended node sends")
            }
            guard isResumed else { continue }
            report.check(
                "dht-rpc.suspended",
                context.packets.contains { $0.packet.source == server && $0.packet.timeNanoseconds >= time.upperBound }, 0, "udp.source",
                nil,
                "nothing comes from \(server) after the node was resumed")
        }
    }
}

/// When a node was suspended.
struct Suspension {
    let server: Endpoint
    let time: Range<Int64>
    let isResumed: Bool

    /// From the recorded calls of one-host runs: the node's own for its beginning, the swarm's, or the node's, for its end.
    static func gather(_ bundle: TraceBundle) -> [Suspension] {
        var begun: [(port: UInt16, at: Int64)] = []
        var result: [Suspension] = []
        let end = (bundle.capture.packets.last?.timeNanoseconds ?? 0) + 1
        guard let host = bundle.manifest?.peers.compactMap(\.host).first,
            bundle.manifest?.peers.allSatisfy({ $0.host == nil || $0.host == host }) ?? false
        else { return [] }
        for input in bundle.inputs {
            guard case .call(let object, let id, let method, _) = input.kind else { continue }
            let time = input.time.microseconds * 1000
            switch (object, method) {
            case ("HyperDHT", "suspend"):
                if let port = id["serverPort"]?.integer.flatMap({ UInt16(exactly: $0) }) { begun.append((port, time)) }
            case ("HyperDHT", "resume"), ("Hyperswarm", "resume"):
                // The reference's swarm wakes its node without a call that is recorded; one at a time sleeps.
                guard !begun.isEmpty else { continue }
                let first = begun.removeFirst()
                if first.at < time { result.append(Suspension(server: Endpoint(host, first.port), time: first.at..<time, isResumed: true)) }
            default: continue
            }
        }
        for item in begun where item.at < end {
            result.append(Suspension(server: Endpoint(host, item.port), time: item.at..<end, isResumed: false))
        }
        return result
    }
}
