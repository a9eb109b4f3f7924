import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import SansIO

/// What the reference's dht-rpc packets obey. dht-rpc.md sections 3 and 4.
enum DHTRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        for index in context.packets.indices {
            switch context.packets[index].message {
            case .request(let request): self.request(context, index, request, &report)
            case .response(let response): self.response(context, index, response, &report)
            default: break
            }
        }
        for exchange in context.dissection.exchanges {
            silence(context, exchange, &report)
            repeats(context, exchange, &report)
        }
    }

    // MARK: Common fields

    private static func common(_ context: TraceContext, _ index: Int, _ to: Endpoint, _ report: inout TraceReport) {
        let number = context.number(index)
        let packet = context.packets[index].packet
        let host = context.publicAddress(of: packet.destination.address)
        // Behind a NAT the port that the sender knows is another one than the capture shows.
        // Within one private network nothing is translated.
        let isLocal = AddressClass.isPrivate(packet.source.address) && to == packet.destination
        let fits = isLocal || to.address == host && (to.port == packet.destination.port || host != packet.destination.address)
        report.check("dht-rpc.to", fits, number, "dht-rpc.to", 4, "to is \(to), the packet goes to \(packet.destination)")
        if let flags = context.packets[index].units.first?.field("flags"), case .uint(let value) = flags.value {
            report.check("dht-rpc.flags", value < 0x20, number, "dht-rpc.flags", 1, "unknown flag bits in \(value)")
        }
    }

    // MARK: Requests

    private static func request(_ context: TraceContext, _ index: Int, _ request: Request, _ report: inout TraceReport) {
        let number = context.number(index)
        common(context, index, request.to, &report)
        let exchange = context.exchangeOf[index].map { context.dissection.exchanges[$0] }
        let answer = exchange?.response.flatMap { position -> Response? in
            if case .response(let response) = context.packets[position].message { response } else { nil }
        }
        let at = context.offset(index, "command", layer: .dhtRPC)
        let isKnown = request.isInternal ? request.command <= 4 : request.command <= 10
        report.check(
            "dht-rpc.command",
            isKnown || answer?.error == ErrorCode.unknownCommand || exchange?.response == nil && answer == nil && isKnown, number,
            "dht-rpc.command", at, "command \(request.command) is unknown, and was not refused as such")
        let shape = RequestShape.of(request)
        if isKnown, let shape {
            report.check(
                "dht-rpc.target", shape.target.allows(request.target != nil), number, "dht-rpc.target", nil,
                "\(CommandName.of(request)) \(request.target == nil ? "without" : "with") a target")
            report.check(
                "dht-rpc.value", shape.value.allows(request.value != nil), number, "dht-rpc.value", nil,
                "\(CommandName.of(request)) \(request.value == nil ? "without" : "with") a value")
            report.check(
                "dht-rpc.request-token", shape.token.allows(request.token != nil) || answer?.error == ErrorCode.invalidToken, number,
                "dht-rpc.token", nil,
                "\(CommandName.of(request)) \(request.token == nil ? "without" : "with") a token")
        }
        // Without the recorded draws nothing names the random id that a node without an address looks for first.
        if let target = request.target, context.hasRecordedDraws {
            let uses = context.targetUses[target] ?? 0
            report.check(
                "dht-rpc.known-target", context.targets.contains(target) || uses > 1, number, "dht-rpc.target",
                context.offset(index, "target", layer: .dhtRPC), "a target that nothing else in the run names")
        }
        if request.isInternal { internalValue(context, index, request, exchange, &report) }
    }

    private static func internalValue(
        _ context: TraceContext, _ index: Int, _ request: Request, _ exchange: Exchange?, _ report: inout TraceReport
    ) {
        guard let value = request.value else { return }
        let number = context.number(index)
        let at = context.offset(index, "value", layer: .dhtRPC)
        let source = context.packets[index].packet.source
        switch InternalCommand(rawValue: request.command) {
        case .ping:
            report.check("dht-rpc.padding", value.allSatisfy { $0 == 0 }, number, "dht-rpc.value", at, "padding that is not zero")
        case .pingNAT:
            let port = value.count >= 2 ? UInt16(value[0]) | UInt16(value[1]) << 8 : 0
            report.check(
                "dht-rpc.nat-port", value.count == 2 && isOwnPort(context, source, port), number, "dht-rpc.port", at,
                "port \(port) is not one of the requester's")
        case .downHint:
            let node = try? reader(value)
            report.check(
                "dht-rpc.down-hint",
                value.count == 6 && node.map { context.endpoints.contains($0) || (context.listedNodes[$0] ?? 0) > 0 } ?? false, number,
                "dht-rpc.node", at, "a hint about a node that nobody knows")
        case .delayedPing:
            let delay = value.prefix(4).reversed().reduce(0) { $0 << 8 | Int64($1) }
            var passed: Int64?
            if let answer = exchange?.response {
                passed = (context.packets[answer].packet.timeNanoseconds - context.packets[index].packet.timeNanoseconds) / 1_000_000
            }
            report.check(
                "dht-rpc.delay", value.count == 4 && passed.map { $0 >= delay - 2 && $0 <= delay + 1000 } ?? (delay > 10_000), number,
                "dht-rpc.delayMilliseconds",
                at, "a delay of \(delay) ms, answered after \(passed.map { "\($0) ms" } ?? "never")")
        default: break
        }
    }

    private static func reader(_ value: [UInt8]) throws -> Endpoint {
        var reader = Reader(value)
        return try reader.ipv4Address("node")
    }

    /// A port of the requester's host that the capture, or the manifest (behind a NAT: the port before translation), knows.
    private static func isOwnPort(_ context: TraceContext, _ source: Endpoint, _ port: UInt16) -> Bool {
        if context.endpoints.contains(Endpoint(source.address, port)) { return true }
        return context.knowledge.peers.contains { peer in
            peer.serverPort == port
                && peer.host.map { $0 == source.address || $0 == context.publicAddress(of: source.address) } ?? false
        }
    }

    // MARK: Responses

    private static func response(_ context: TraceContext, _ index: Int, _ response: Response, _ report: inout TraceReport) {
        let number = context.number(index)
        common(context, index, response.to, &report)
        report.check(
            "dht-rpc.closer-nodes", response.closerNodes.count <= 20, number, "dht-rpc.closerNodes", nil,
            "\(response.closerNodes.count) closer nodes")
        for (position, node) in response.closerNodes.enumerated() {
            report.check(
                "dht-rpc.closer-nodes", context.endpoints.contains(node) || (context.listedNodes[node] ?? 0) > 1, number,
                "dht-rpc.closerNodes[\(position)]",
                context.offset(index, "closerNodes", layer: .dhtRPC).map { $0 + 1 + 6 * position }, "\(node) is no node of this capture")
        }
        guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), let request = context.request(exchange)
        else { return }
        let at = context.offset(index, "error", layer: .dhtRPC)
        if response.error != 0 {
            let isDue =
                switch response.error {
                case ErrorCode.unknownCommand: request.isInternal ? request.command > 4 : response.id == nil || request.command > 10
                case ErrorCode.invalidToken: request.token != nil
                case PeerErrorCode.seqReused.rawValue, PeerErrorCode.seqTooLow.rawValue:
                    !request.isInternal && request.command == HyperDHTCommand.mutablePut.rawValue
                default: false
                }
            report.check(
                "dht-rpc.error", isDue, number, "dht-rpc.error", at,
                "error \(CommandName.error(response.error)) to \(CommandName.of(request))")
        }
        guard let shape = ResponseShape.of(request, response) else { return }
        report.check(
            "dht-rpc.reply-token", shape.token.allows(response.token != nil), number, "dht-rpc.token", nil,
            "a \(CommandName.of(request)) reply \(response.token == nil ? "without" : "with") a token")
        report.check(
            "dht-rpc.reply-closer", shape.closerNodes.allows(!response.closerNodes.isEmpty), number, "dht-rpc.closerNodes", nil,
            "a \(CommandName.of(request)) reply \(response.closerNodes.isEmpty ? "without" : "with") closer nodes")
        report.check(
            "dht-rpc.reply-value", shape.value.allows(response.value != nil), number, "dht-rpc.value", nil,
            "a \(CommandName.of(request)) reply \(response.value == nil ? "without" : "with") a value")
    }

    /// A request is repeated about once a second, six times at most in a query and four times else. dht-rpc.md section 8.
    private static func repeats(_ context: TraceContext, _ exchange: Exchange, _ report: inout TraceReport) {
        guard exchange.origin == nil, exchange.requests.count > 1 else { return }
        for (earlier, later) in zip(exchange.requests, exchange.requests.dropFirst()) {
            let gap = (context.packets[later].packet.timeNanoseconds - context.packets[earlier].packet.timeNanoseconds) / 1_000_000
            let delayed = exchange.isInternal && exchange.commandNumber == InternalCommand.delayedPing.rawValue
            report.check(
                "dht-rpc.retries", delayed || gap >= 900 && (gap <= 2500 || isStalled(context, earlier, later)), context.number(later),
                "dht-rpc.tid", nil,
                "repeated after \(gap) ms")
        }
        report.check(
            "dht-rpc.retries", exchange.requests.count <= 6, context.number(exchange.request), "dht-rpc.tid", nil,
            "sent \(exchange.requests.count) times")
    }

    /// Whether the host sent nothing at all from when the repetition was due until a moment before it left: its process was held up.
    private static func isStalled(_ context: TraceContext, _ earlier: Int, _ later: Int) -> Bool {
        let due = context.packets[earlier].packet.timeNanoseconds + 1_100_000_000
        let left = context.packets[later].packet.timeNanoseconds - 50_000_000
        let source = context.packets[later].packet.source.address
        return !context.packets[earlier...later].contains {
            $0.packet.source.address == source && $0.packet.timeNanoseconds > due && $0.packet.timeNanoseconds < left
        }
    }

    /// A living node answers what it understands.
    ///
    /// Where datagrams are lost, a question that was asked once and then given up, because its query had found what it wanted,
    /// may never have arrived.
    private static func silence(_ context: TraceContext, _ exchange: Exchange, _ report: inout TraceReport) {
        let isMystery = exchange.unansweredReason == "the node stayed silent" || exchange.unansweredReason == "the node did not relay it"
        let isLeg = [HyperDHTCommand.peerHandshake.rawValue, HyperDHTCommand.peerHolepunch.rawValue].contains(exchange.commandNumber)
        let mayBeLost =
            context.hasLoss && exchange.requests.count == 1
            || !exchange.isInternal && isLeg && exchange.origin == nil && context.dissection.mayContinue(exchange.request)
        // Which layer is silent: the message to it may be whole, and even open with the key that it was sent to.
        let opens = context.packets[exchange.request].units.contains { $0.layer == .noisePayload }
        let rule = exchange.isInternal ? "dht-rpc.answered" : opens ? "noise.answered" : "hyperdht.answered"
        report.check(
            rule, !isMystery || mayBeLost, context.number(exchange.request), opens ? "noise.encryptedStatic" : "dht-rpc.tid",
            opens ? nil : 2,
            "a living node did not answer \(exchange.command)" + (opens ? ", whose Noise message opens with the key that it is for" : ""))
    }
}

/// Whether a field must, must not, or may be there.
enum Presence {
    case required, absent, optional

    func allows(_ isThere: Bool) -> Bool {
        switch self {
        case .required: isThere
        case .absent: !isThere
        case .optional: true
        }
    }
}

struct RequestShape {
    let target: Presence
    let token: Presence
    let value: Presence

    static func of(_ request: Request) -> RequestShape? {
        if request.isInternal {
            switch InternalCommand(rawValue: request.command) {
            case .ping: return RequestShape(target: .absent, token: .absent, value: .optional)
            case .pingNAT, .downHint, .delayedPing: return RequestShape(target: .absent, token: .absent, value: .required)
            case .findNode: return RequestShape(target: .required, token: .absent, value: .absent)
            case nil: return nil
            }
        }
        switch HyperDHTCommand(rawValue: request.command) {
        case .peerHandshake, .peerHolepunch: return RequestShape(target: .required, token: .absent, value: .required)
        case .findPeer, .lookup, .immutableGet: return RequestShape(target: .required, token: .absent, value: .absent)
        case .announce, .unannounce, .mutablePut, .immutablePut: return RequestShape(target: .required, token: .required, value: .required)
        case .mutableGet: return RequestShape(target: .required, token: .absent, value: .required)
        default: return nil
        }
    }
}

/// dht-rpc.md section 3.9 and hyperdht.md sections 3, 4 and 6.
struct ResponseShape {
    let token: Presence
    let closerNodes: Presence
    let value: Presence

    static func of(_ request: Request, _ response: Response) -> ResponseShape? {
        let closer: Presence = request.target == nil ? .absent : .optional
        if response.error == ErrorCode.invalidToken { return ResponseShape(token: .required, closerNodes: closer, value: .absent) }
        if response.error != 0 { return ResponseShape(token: .absent, closerNodes: closer, value: .absent) }
        if request.isInternal {
            let isQuery = request.command == InternalCommand.findNode.rawValue
            return ResponseShape(token: .absent, closerNodes: isQuery ? .optional : .absent, value: .absent)
        }
        switch HyperDHTCommand(rawValue: request.command) {
        case .peerHandshake:
            return response.value == nil
                ? ResponseShape(token: .absent, closerNodes: .optional, value: .absent)
                : ResponseShape(token: .absent, closerNodes: .absent, value: .required)
        case .peerHolepunch: return ResponseShape(token: .absent, closerNodes: .absent, value: .required)
        case .findPeer, .lookup, .mutableGet, .immutableGet:
            return ResponseShape(token: .required, closerNodes: .optional, value: .optional)
        case .announce, .unannounce: return ResponseShape(token: .absent, closerNodes: .absent, value: .absent)
        case .mutablePut, .immutablePut: return ResponseShape(token: .required, closerNodes: .optional, value: .absent)
        default: return nil
        }
    }
}
