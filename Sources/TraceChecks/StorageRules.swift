import CompactEncoding
import DHTRPC
import Dissection
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON

/// What each node holds for others, followed from what it accepted, and what it therefore answers. hyperdht.md sections 3, 4 and 6.1.
/// HDHT-3, 5, 7, 14, 15a, 17, 19, 21, 24, 25, 27, 29, 34, 36, 64; SWARM-6, 27, 28.
enum StorageRules {
    /// Longer ago than this a record may have been dropped.
    private static let shortestLife: Int64 = 600_000_000_000

    private struct Place: Hashable {
        let node: Endpoint
        let target: Bytes32
    }

    private struct Stored {
        /// Every form that was accepted since the key was last absent: the reference may keep the first or take the last.
        var forms: [[UInt8]] = []
        var source: Endpoint
        var isSelf = false
        var time: Int64
        /// An announce or unannounce without an answer: perhaps it arrived, perhaps not.
        var isCertain = true
    }

    private struct Value {
        var seq: UInt64
        var bytes: [UInt8]
        var time: Int64
    }

    private struct Model {
        var records: [Place: [Bytes32: Stored]] = [:]
        var bumps: [Place: UInt64] = [:]
        var mutables: [Place: Value] = [:]
        var immutables: [Place: Int64] = [:]
        var uncertain: Set<Place> = []
        /// Nodes that began within the capture: they hold nothing that it does not show.
        var fresh: Set<Endpoint> = []
        var own: Set<Place> = []

        func began(_ place: Place) -> Bool { fresh.contains(place.node) }
    }

    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.dissection.beganMidway, !context.isCut else { return }
        var model = Model()
        model.fresh = DHTNodeRules.freshNodes(context)
        model.own = ownPlaces(context)
        let retreats = retreats(context)
        var due = retreats[...]
        for index in context.packets.indices {
            while let next = due.first, next.time <= UDXRules.time(context, index) {
                due.removeFirst()
                unannounced(context, next, model, &report)
            }
            guard let number = context.exchangeOf[index] else { continue }
            let exchange = context.dissection.exchanges[number]
            guard !exchange.isInternal, let target = exchange.target else { continue }
            let command = HyperDHTCommand(rawValue: exchange.commandNumber)
            let place = Place(node: exchange.responder, target: target)
            guard context.showsAll(of: place.node) else { continue }
            switch context.packets[index].message {
            case .request:
                // What is never answered may have been taken in, or lost.
                if exchange.response == nil { doubt(command, place, &model) }
                if command == .peerHandshake, index == exchange.request { route(context, exchange, place, model, &report) }
            case .response(let response):
                guard index == exchange.response, let request = context.request(exchange) else { continue }
                answer(context, index, exchange, command, request, response, place, &model, &report)
            default: break
            }
        }
    }

    private static func doubt(_ command: HyperDHTCommand, _ place: Place, _ model: inout Model) {
        switch command {
        case .announce, .unannounce, .mutablePut, .immutablePut: model.uncertain.insert(place)
        default: break
        }
    }

    // MARK: Answers

    private static func answer(
        _ context: TraceContext, _ index: Int, _ exchange: Exchange, _ command: HyperDHTCommand, _ request: Request, _ response: Response,
        _ place: Place, _ model: inout Model, _ report: inout TraceReport
    ) {
        let now = UDXRules.time(context, index)
        if command != .peerHandshake, command != .peerHolepunch, response.error == 0 {
            report.check(
                "hyperdht.persistent", response.id != nil, context.number(index), "dht-rpc.flags",
                context.offset(index, "flags", layer: .dhtRPC), "an ephemeral node answers \(exchange.command)")
        }
        let isRefused = response.error == ErrorCode.invalidToken || response.error == ErrorCode.unknownCommand
        guard !isRefused else { return }
        switch command {
        case .announce: announce(context, exchange, request, place, now, &model)
        case .unannounce:
            if let value = request.value, let key = (try? AnnounceMessage(decoding: value))?.peer?.publicKey {
                model.records[place]?[key] = nil
            }
        case .findPeer, .lookup:
            found(context, index, exchange, command, response, place, now, model, &report)
        case .mutablePut: mutablePut(context, index, request, response, place, now, &model, &report)
        case .mutableGet: mutableGet(context, index, request, response, place, now, model, &report)
        case .immutablePut: model.immutables[place] = now
        case .immutableGet:
            guard !model.uncertain.contains(place) else { return }
            let stored = model.immutables[place].map { now - $0 < shortestLife }
            guard stored != false, stored == true || model.began(place) else { return }
            report.check(
                "hyperdht.stored", (response.value != nil) == (stored == true), context.number(index), "dht-rpc.value", nil,
                stored == true ? "a value that the node accepted is not given" : "a value that the node never accepted")
        default: break
        }
    }

    private static func announce(
        _ context: TraceContext, _ exchange: Exchange, _ request: Request, _ place: Place, _ now: Int64, _ model: inout Model
    ) {
        guard let value = request.value, let message = try? AnnounceMessage(decoding: value), var peer = message.peer else { return }
        peer.relayAddresses = Array(peer.relayAddresses.prefix(3))
        let isSelf = Blake2b.hash256(peer.publicKey.bytes) == place.target
        var stored = model.records[place]?[peer.publicKey] ?? Stored(source: exchange.requester, time: now)
        if isSelf { stored.forms = [] }
        stored.forms.append(peer.encoded)
        stored.source = exchange.requester
        stored.isSelf = isSelf
        stored.time = now
        model.records[place, default: [:]][peer.publicKey] = stored
        if !isSelf, message.bump <= UInt64(clamping: now / 1_000_000 + 60_000) {
            model.bumps[place] = max(model.bumps[place] ?? 0, message.bump)
        }
    }

    private static func found(
        _ context: TraceContext, _ index: Int, _ exchange: Exchange, _ command: HyperDHTCommand, _ response: Response, _ place: Place,
        _ now: Int64, _ model: Model, _ report: inout TraceReport
    ) {
        guard !model.uncertain.contains(place), response.error == 0 else { return }
        let stored = (model.records[place] ?? [:]).filter { now - $0.value.time < shortestLife }
        guard stored.count == (model.records[place] ?? [:]).count else { return }
        let records: [PeerRecord]
        var bump: UInt64 = 0
        if let value = response.value {
            if command == .lookup {
                guard let reply = try? LookupReply(decoding: value) else { return }
                (records, bump) = (reply.peers, reply.bump)
            } else {
                guard let record = try? PeerRecord(decoding: value) else { return }
                records = [record]
            }
        } else {
            records = []
        }
        let wanted = command == .findPeer ? stored.filter(\.value.isSelf) : stored
        let number = context.number(index)
        let at = context.offset(index, "value", layer: .dhtRPC)
        for record in records {
            let isOwn = Blake2b.hash256(record.publicKey.bytes) == place.target && model.own.contains(place)
            report.check(
                "hyperdht.stored", isOwn || !model.began(place) || wanted[record.publicKey]?.forms.contains(record.encoded) ?? false,
                number, "dht-rpc.value", at,
                "a record that this node did not accept under this target")
        }
        let keys = Set(records.map(\.publicKey))
        report.check("hyperdht.stored", keys.count == records.count, number, "dht-rpc.value", at, "a key stands twice")
        if wanted.count < 20 {
            let missing = wanted.keys.filter { !keys.contains($0) }
            report.check(
                "hyperdht.stored", missing.isEmpty, number, "dht-rpc.value", at,
                "\(missing.count) of \(wanted.count) records that the node accepted are not given")
        }
        if command == .lookup, response.value != nil {
            report.check(
                "hyperdht.stored", bump == model.bumps[place] ?? 0 || !model.began(place), number, "hyperdht.bump", nil,
                "bump \(bump), where \(model.bumps[place] ?? 0) is the highest that the node accepted")
        }
    }

    /// Who announces what: such a node answers with its own record.
    private static func ownPlaces(_ context: TraceContext) -> Set<Place> {
        Set(
            context.dissection.exchanges.compactMap { exchange in
                guard !exchange.isInternal, exchange.commandNumber == HyperDHTCommand.announce.rawValue, let target = exchange.target else {
                    return nil
                }
                return Place(node: exchange.requester, target: target)
            })
    }

    private static func mutablePut(
        _ context: TraceContext, _ index: Int, _ request: Request, _ response: Response, _ place: Place, _ now: Int64, _ model: inout Model,
        _ report: inout TraceReport
    ) {
        guard let value = request.value, let put = try? MutablePutRequest(decoding: value) else { return }
        if !model.uncertain.contains(place), model.mutables[place] != nil || model.began(place) {
            let stored = model.mutables[place].flatMap { now - $0.time < shortestLife ? $0 : nil }
            let due =
                stored.map { stored in
                    put.seq < stored.seq
                        ? PeerErrorCode.seqTooLow.rawValue
                        : put.seq == stored.seq && put.value != stored.bytes ? PeerErrorCode.seqReused.rawValue : 0
                } ?? 0
            report.check(
                "hyperdht.stored", response.error == due, context.number(index), "dht-rpc.error",
                context.offset(index, "error", layer: .dhtRPC),
                "error \(response.error) to seq \(put.seq), where \(stored.map { "seq \($0.seq)" } ?? "nothing") is stored and \(due) is due"
            )
        }
        if response.error == 0 { model.mutables[place] = Value(seq: put.seq, bytes: put.value, time: now) }
    }

    private static func mutableGet(
        _ context: TraceContext, _ index: Int, _ request: Request, _ response: Response, _ place: Place, _ now: Int64, _ model: Model,
        _ report: inout TraceReport
    ) {
        guard !model.uncertain.contains(place), let value = request.value, let get = try? MutableGetRequest(decoding: value) else { return }
        let stored = model.mutables[place]
        guard stored.map({ now - $0.time < shortestLife }) ?? model.began(place) else { return }
        let given = response.value.flatMap { try? MutableRecord(decoding: $0) }
        let isDue = stored.map { $0.seq >= get.seq } ?? false
        report.check(
            "hyperdht.stored",
            (response.value != nil) == isDue && (given == nil || given?.seq == stored?.seq && given?.value == stored?.bytes),
            context.number(index), "dht-rpc.value", context.offset(index, "value", layer: .dhtRPC),
            "asked for seq \(get.seq), with \(stored.map { "seq \($0.seq)" } ?? "nothing") stored, the answer is \(given.map { "seq \($0.seq)" } ?? "none")"
        )
    }

    // MARK: Routes

    /// A handshake for a key that announced itself is relayed to where the announce came from; for any other the node lists closer ones.
    private static func route(_ context: TraceContext, _ exchange: Exchange, _ place: Place, _ model: Model, _ report: inout TraceReport) {
        guard case .handshake(let message)? = HyperDHTRules.value(context, exchange.request), message.mode == .fromClient,
            message.relayAddress == nil, !model.uncertain.contains(place), !model.own.contains(place)
        else { return }
        let route = model.records[place]?.values.first { $0.isSelf }
        if let route, UDXRules.time(context, exchange.request) - route.time >= shortestLife { return }
        let legs = exchange.legs.map { context.dissection.exchanges[$0] }.filter { $0.requester == exchange.responder }
        let value = exchange.response.flatMap { index -> Response? in
            if case .response(let response) = context.packets[index].message { response } else { nil }
        }
        let number = context.number(exchange.request)
        if let route {
            report.check(
                "hyperdht.route", legs.contains { $0.responder == route.source } || value == nil && !isAnsweredAtAll(context, exchange),
                number,
                "hyperdht.mode", nil, "the key announced itself here from \(route.source), but the handshake is not relayed there")
        } else if let value, model.began(place) {
            report.check(
                "hyperdht.route", value.value == nil || isServer(context, value, exchange), number, "hyperdht.mode", nil,
                "an answer for a key that neither announced itself here nor is served here")
            report.check("hyperdht.route", legs.isEmpty || value.value != nil, number, "hyperdht.mode", nil, "relayed without a route")
        }
    }

    /// The network may have lost it.
    private static func isAnsweredAtAll(_ context: TraceContext, _ exchange: Exchange) -> Bool {
        exchange.response != nil || !context.hasLoss
    }

    /// A server answers for itself: no relay stands between.
    private static func isServer(_ context: TraceContext, _ response: Response, _ exchange: Exchange) -> Bool {
        guard let value = response.value, let message = try? HandshakeMessage(decoding: value) else { return true }
        return message.peerAddress == nil
    }

    // MARK: Unannouncing

    private struct Retreat {
        let time: Int64
        let key: Bytes32
        /// nil: all that the key announced.
        let target: Bytes32?
        let what: String
    }

    private static func retreats(_ context: TraceContext) -> [Retreat] {
        var result: [Retreat] = []
        func key(_ json: JSON?) -> Bytes32? { json?.string.flatMap { Hex.decode($0) }.flatMap { Bytes32($0) } }
        for input in context.bundle.inputs {
            guard case .call(let object, let id, let method, let arguments) = input.kind else { continue }
            let time = input.time.microseconds * 1000
            switch (object, method) {
            case ("Server", "close"):
                if let own = key(id["publicKey"]) {
                    result.append(Retreat(time: time, key: own, target: Blake2b.hash256(own.bytes), what: "its server closed"))
                }
            case ("Hyperswarm", "leave"):
                if let own = key(id["publicKey"]), let topic = key(arguments.first) {
                    result.append(Retreat(time: time, key: own, target: topic, what: "its swarm left the topic"))
                }
            case ("Hyperswarm", "suspend"), ("Hyperswarm", "destroy"):
                if let own = key(id["publicKey"]), arguments.first?["force"]?.bool != true {
                    result.append(Retreat(time: time, key: own, target: nil, what: "its swarm was told to \(method)"))
                }
            default: continue
            }
        }
        return result
    }

    private static func unannounced(_ context: TraceContext, _ retreat: Retreat, _ model: Model, _ report: inout TraceReport) {
        for (place, keys) in model.records.sorted(by: { ($0.key.target, $0.key.node) < ($1.key.target, $1.key.node) }) {
            guard let stored = keys[retreat.key], retreat.target.map({ $0 == place.target }) ?? true, !model.uncertain.contains(place)
            else { continue }
            // Only the newest three self announces are current.
            let isCurrent = !stored.isSelf || stored.time >= newest(model, retreat.key, place.target)
            guard isCurrent else { continue }
            let isAsked = context.dissection.exchanges.contains { exchange in
                guard !exchange.isInternal, exchange.commandNumber == HyperDHTCommand.unannounce.rawValue, exchange.target == place.target,
                    exchange.responder == place.node, UDXRules.time(context, exchange.request) > stored.time,
                    case .announce(let message)? = HyperDHTRules.value(context, exchange.request)
                else { return false }
                return message.peer?.publicKey == retreat.key
            }
            report.check(
                "hyperdht.unannounced", isAsked, 0, "dht-rpc.command", nil,
                "\(retreat.what), but its record under \(place.target) is not taken back from \(place.node)")
        }
    }

    /// When the third newest self announce of a key was accepted.
    private static func newest(_ model: Model, _ key: Bytes32, _ target: Bytes32) -> Int64 {
        let times = model.records.filter { $0.key.target == target }.compactMap { $0.value[key]?.time }.sorted(by: >)
        return times.count >= 3 ? times[2] : times.last ?? 0
    }
}
