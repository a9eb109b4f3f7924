import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import SansIO

/// What the reference's HyperDHT values obey. hyperdht.md.
enum HyperDHTRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        let announced = announcements(context)
        for index in context.packets.indices {
            guard let value = value(context, index) else { continue }
            switch value {
            case .handshake(let message): handshake(context, index, message, &report)
            case .holepunch(let message): holepunch(context, index, message, &report)
            case .announce(let message): announce(context, index, message, announced, &report)
            case .record(let record): self.record(context, index, record, announced, &report)
            case .lookup(let reply): lookup(context, index, reply, announced, &report)
            case .get(let get):
                // Without recorded calls nothing tells what was asked for.
                guard !context.bundle.inputs.isEmpty else { continue }
                let seen = context.integers["seq"] ?? []
                report.check(
                    "hyperdht.seq", get.seq == 0 || seen.contains(Int64(clamping: get.seq)), context.number(index), "hyperdht.seq",
                    context.offset(index, "seq", layer: .hyperDHT), "seq \(get.seq), which nobody asked for")
            }
        }
    }

    enum Value {
        case handshake(HandshakeMessage), holepunch(HolepunchMessage), announce(AnnounceMessage), record(PeerRecord), lookup(LookupReply)
        case get(MutableGetRequest)
    }

    /// The HyperDHT message inside a packet, if its value is one that rules speak of.
    static func value(_ context: TraceContext, _ index: Int) -> Value? {
        switch context.packets[index].message {
        case .request(let request):
            guard !request.isInternal, let bytes = request.value else { return nil }
            switch HyperDHTCommand(rawValue: request.command) {
            case .peerHandshake: return (try? HandshakeMessage(decoding: bytes)).map { .handshake($0) }
            case .peerHolepunch: return (try? HolepunchMessage(decoding: bytes)).map { .holepunch($0) }
            case .announce, .unannounce: return (try? AnnounceMessage(decoding: bytes)).map { .announce($0) }
            case .mutableGet: return (try? MutableGetRequest(decoding: bytes)).map { .get($0) }
            default: return nil
            }
        case .response(let response):
            guard let bytes = response.value, let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }),
                !exchange.isInternal
            else { return nil }
            switch HyperDHTCommand(rawValue: exchange.commandNumber) {
            case .peerHandshake: return (try? HandshakeMessage(decoding: bytes)).map { .handshake($0) }
            case .peerHolepunch: return (try? HolepunchMessage(decoding: bytes)).map { .holepunch($0) }
            case .findPeer: return (try? PeerRecord(decoding: bytes)).map { .record($0) }
            case .lookup: return (try? LookupReply(decoding: bytes)).map { .lookup($0) }
            default: return nil
            }
        default: return nil
        }
    }

    // MARK: Relayed messages

    /// The exchange that a client began, and the legs of it that came before this packet.
    private static func way(_ context: TraceContext, _ index: Int) -> (origin: Exchange, legs: [Exchange])? {
        guard let number = context.exchangeOf[index] else { return nil }
        let exchange = context.dissection.exchanges[number]
        let origin = exchange.origin.map { context.dissection.exchanges[$0] } ?? exchange
        return (origin, origin.legs.map { context.dissection.exchanges[$0] }.filter { $0.request <= index })
    }

    private static func handshake(_ context: TraceContext, _ index: Int, _ message: HandshakeMessage, _ report: inout TraceReport) {
        let number = context.number(index)
        let mode = message.mode
        report.check(
            "hyperdht.mode", mode.rawValue <= 4, number, "hyperdht.mode", context.offset(index, "mode", layer: .hyperDHT), "mode \(mode)")
        isResponseMode(context, index, mode, &report)
        let peerAt = context.offset(index, "peerAddress", layer: .hyperDHT)
        let relayAt = context.offset(index, "relayAddress", layer: .hyperDHT)
        if let relay = message.relayAddress {
            report.check(
                "hyperdht.relay-address", mode == .fromSecondRelay || mode == .fromClient, number, "hyperdht.relayAddress", relayAt,
                "a relay address in \(mode)")
            report.check(
                "hyperdht.relay-address", context.endpoints.contains(relay), number, "hyperdht.relayAddress", relayAt,
                "\(relay) is nobody's address")
        }
        guard let (origin, legs) = way(context, index), let first = firstHandshake(context, origin) else { return }
        let client = context.packets[origin.request].packet.source
        let noiseAt = context.offset(index, "noise", layer: .hyperDHT)
        switch mode {
        case .fromClient:
            report.check(
                "hyperdht.peer-address", message.peerAddress == nil, number, "hyperdht.peerAddress", peerAt,
                "a client gives no peer address")
        case .fromRelay, .fromSecondRelay:
            report.check(
                "hyperdht.noise", message.noise == first.noise, number, "hyperdht.noise", noiseAt, "not the client's Noise message")
            report.check(
                "hyperdht.peer-address", message.peerAddress == client, number, "hyperdht.peerAddress", peerAt,
                "the peer address is not the client's, \(client)")
        case .fromServer:
            report.check(
                "hyperdht.peer-address", message.peerAddress == client, number, "hyperdht.peerAddress", peerAt,
                "the peer address is not the client's, \(client)")
        case .reply:
            // The answer that came from the server, and the address that it came from.
            let answer = legs.last { leg in
                guard case .handshake(let other)? = value(context, leg.request) else { return false }
                return other.mode == .fromServer && leg.responder == context.packets[index].packet.source
            }
            if let answer, case .handshake(let other)? = value(context, answer.request) {
                report.check(
                    "hyperdht.noise", message.noise == other.noise, number, "hyperdht.noise", noiseAt, "not the server's Noise message")
                report.check(
                    "hyperdht.peer-address", message.peerAddress == answer.requester, number, "hyperdht.peerAddress", peerAt,
                    "the peer address is not the server's, \(answer.requester)")
            } else if isPartial(context), let peer = message.peerAddress {
                report.check(
                    "hyperdht.peer-address", context.endpoints.contains(peer), number, "hyperdht.peerAddress", peerAt,
                    "\(peer) is nobody's address")
            } else {
                report.check(
                    "hyperdht.peer-address", message.peerAddress == nil, number, "hyperdht.peerAddress", peerAt,
                    "a peer address in an answer that no relay passed on")
            }
        default: break
        }
    }

    private static func isResponseMode(_ context: TraceContext, _ index: Int, _ mode: RelayMode, _ report: inout TraceReport) {
        var isResponse = false
        if case .response = context.packets[index].message { isResponse = true }
        report.check(
            "hyperdht.mode", isResponse == (mode == .reply), context.number(index), "hyperdht.mode",
            context.offset(index, "mode", layer: .hyperDHT),
            "\(mode) in a \(isResponse ? "response" : "request")")
        guard !isResponse, mode != .fromClient, let number = context.exchangeOf[index] else { return }
        report.check(
            "hyperdht.relayed",
            context.dissection.exchanges[number].origin != nil || context.dissection.mayContinue(index)
                || context.bundle.capture.name != context.dissection.name && isPartial(context), context.number(index),
            "dht-rpc.tid", 2, "a \(mode) leg of an exchange that no client began")
    }

    /// Captures behind a NAT show one side only.
    private static func isPartial(_ context: TraceContext) -> Bool { !context.knowledge.publicAddresses.isEmpty }

    private static func firstHandshake(_ context: TraceContext, _ origin: Exchange) -> HandshakeMessage? {
        guard case .handshake(let message)? = value(context, origin.request), message.mode == .fromClient else { return nil }
        return message
    }

    private static func holepunch(_ context: TraceContext, _ index: Int, _ message: HolepunchMessage, _ report: inout TraceReport) {
        let number = context.number(index)
        report.check(
            "hyperdht.mode", message.mode.rawValue <= 4, number, "hyperdht.mode", context.offset(index, "mode", layer: .hyperDHT),
            "mode \(message.mode)")
        isResponseMode(context, index, message.mode, &report)
        let peerAt = context.offset(index, "peerAddress", layer: .hyperDHT)
        let idAt = context.offset(index, "id", layer: .hyperDHT)
        guard let (origin, legs) = way(context, index), case .holepunch(let first)? = value(context, origin.request),
            first.mode == .fromClient
        else { return }
        let client = context.packets[origin.request].packet.source
        switch message.mode {
        case .fromClient:
            report.check(
                "hyperdht.slot", isKnownSlot(context, message.id), number, "hyperdht.id", idAt,
                "slot \(message.id), which no server gave out")
            if let peer = message.peerAddress {
                report.check(
                    "hyperdht.peer-address", context.endpoints.contains(peer), number, "hyperdht.peerAddress", peerAt,
                    "\(peer) is nobody's address")
            }
        case .fromRelay:
            report.check(
                "hyperdht.slot", message.id == first.id, number, "hyperdht.id", idAt,
                "slot \(message.id) where the client named \(first.id)")
            report.check(
                "hyperdht.peer-address", message.peerAddress == client, number, "hyperdht.peerAddress", peerAt,
                "the peer address is not the client's, \(client)")
        case .fromServer:
            report.check("hyperdht.slot", message.id == 0, number, "hyperdht.id", idAt, "slot \(message.id) in a server's answer")
            report.check(
                "hyperdht.peer-address", message.peerAddress == client, number, "hyperdht.peerAddress", peerAt,
                "the peer address is not the client's, \(client)")
        case .reply:
            let answer = legs.last { leg in
                guard case .holepunch(let other)? = value(context, leg.request) else { return false }
                return other.mode == .fromServer && leg.responder == context.packets[index].packet.source
            }
            if let answer, case .holepunch(let other)? = value(context, answer.request) {
                report.check("hyperdht.slot", message.id == other.id, number, "hyperdht.id", idAt, "slot \(message.id)")
                report.check(
                    "hyperdht.peer-address", message.peerAddress == answer.requester, number, "hyperdht.peerAddress", peerAt,
                    "the peer address is not the server's, \(answer.requester)")
            }
        default: break
        }
    }

    private static func isKnownSlot(_ context: TraceContext, _ id: UInt64) -> Bool {
        var known = false
        for packet in context.packets {
            for unit in packet.units where unit.layer == .noisePayload {
                guard let slot = (try? NoisePayload(decoding: unit.bytes))?.holepunch?.id else { continue }
                if slot == id { return true }
                known = true
            }
        }
        return !known
    }

    // MARK: Records

    struct Announcements {
        /// Encoded records by target.
        var records: [Bytes32: Set<[UInt8]>] = [:]
        var bumps: [Bytes32: Set<UInt64>] = [:]
        var bumpUses: [Bytes32: [UInt64: Int]] = [:]
    }

    private static func announcements(_ context: TraceContext) -> Announcements {
        var result = Announcements()
        for exchange in context.dissection.exchanges
        where !exchange.isInternal && exchange.commandNumber == HyperDHTCommand.announce.rawValue {
            guard let target = exchange.target, case .announce(let message)? = value(context, exchange.request), var peer = message.peer
            else { continue }
            peer.relayAddresses = Array(peer.relayAddresses.prefix(3))
            result.records[target, default: []].insert(peer.encoded)
            result.bumps[target, default: [0]].insert(message.bump)
            result.bumpUses[target, default: [:]][message.bump, default: 0] += 1
        }
        return result
    }

    private static func announce(
        _ context: TraceContext, _ index: Int, _ message: AnnounceMessage, _ announced: Announcements, _ report: inout TraceReport
    ) {
        let number = context.number(index)
        report.check(
            "hyperdht.announce", message.signature != nil && message.peer != nil, number, "hyperdht.flags",
            context.offset(index, "flags", layer: .hyperDHT), "an announce without record or signature")
        if message.bump != 0, !context.bundle.inputs.isEmpty {
            let now = context.packets[index].packet.timeNanoseconds / 1_000_000
            let asked = context.integers["bump"]?.contains(Int64(clamping: message.bump)) ?? false
            let target = context.exchangeOf[index].flatMap { context.dissection.exchanges[$0].target }
            let siblings = target.map { (announced.bumpUses[$0]?[message.bump] ?? 0) > 1 } ?? false
            report.check(
                "hyperdht.bump", asked || siblings && abs(Int64(clamping: message.bump) - now) < 3_600_000, number, "hyperdht.bump",
                context.offset(index, "bump", layer: .hyperDHT), "bump \(message.bump), which nobody asked for")
        }
    }

    private static func record(
        _ context: TraceContext, _ index: Int, _ record: PeerRecord, _ announced: Announcements, _ report: inout TraceReport
    ) {
        guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), let target = exchange.target else {
            return
        }
        let known = announced.records[target]?.contains(record.encoded) ?? false
        report.check(
            "hyperdht.record", known || record.relayAddresses.isEmpty, context.number(index), "hyperdht.relayAddresses",
            context.offset(index, "relayAddresses", layer: .hyperDHT), "a record that nobody announced")
    }

    private static func lookup(
        _ context: TraceContext, _ index: Int, _ reply: LookupReply, _ announced: Announcements, _ report: inout TraceReport
    ) {
        guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), let target = exchange.target else {
            return
        }
        let number = context.number(index)
        report.check("hyperdht.lookup", (1...20).contains(reply.peers.count), number, "hyperdht.peers", nil, "\(reply.peers.count) records")
        for (position, record) in reply.peers.enumerated() {
            let known = announced.records[target]?.contains(record.encoded) ?? false
            report.check(
                "hyperdht.record", known || context.dissection.beganMidway, number, "hyperdht.peers[\(position)]",
                context.offset(index, "peers", layer: .hyperDHT),
                "a record that nobody announced under this target")
        }
        report.check(
            "hyperdht.bump", announced.bumps[target]?.contains(reply.bump) ?? (reply.bump == 0), number, "hyperdht.bump",
            context.offset(index, "bump", layer: .hyperDHT), "bump \(reply.bump), which nobody announced")
    }
}
