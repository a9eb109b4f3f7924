import CompactEncoding
import DHTRPC
import HyperDHT
import SansIO

extension TraceDissector {
    private struct RequestKey: Hashable {
        let requester: Endpoint
        let responder: Endpoint
        let payload: [UInt8]
    }

    private struct CutRequest: Hashable {
        let requester: Endpoint
        let responder: Endpoint
        let tid: UInt16
    }

    static func token(_ host: IPAddress, _ secret: Bytes32) -> Bytes32 { RoundTripTokens.token(for: host, secret: secret) }

    /// Joins responses to requests by tid and addresses. dht-rpc.md sections 3.4 and 4.2.
    func matchRequests() {
        var byTID: [UInt16: [Int]] = [:]
        var seen: [RequestKey: Int] = [:]
        var cut: [CutRequest: Int] = [:]
        var senders: Set<Endpoint> = []
        result.beganMidway = opensInTheMiddle
        for index in result.packets.indices {
            let packet = result.packets[index]
            defer { senders.insert(packet.packet.source) }
            switch packet.message {
            case .request(let request):
                let key = RequestKey(requester: packet.packet.source, responder: packet.packet.destination, payload: packet.packet.payload)
                if let exchange = seen[key] {
                    result.exchanges[exchange].retransmissions.append(index)
                    let first = result.packets[result.exchanges[exchange].request].number
                    result.packets[index].retransmissionOf = first
                    result.packets[index].labels.append("retransmission of \(first)")
                    continue
                }
                seen[key] = result.exchanges.count
                byTID[request.tid, default: []].append(result.exchanges.count)
                result.exchanges.append(
                    Exchange(
                        tid: request.tid, command: CommandName.of(request), isInternal: request.isInternal, commandNumber: request.command,
                        requester: packet.packet.source, responder: packet.packet.destination, target: request.target, request: index))
            case .response(let response):
                let candidates = byTID[response.tid] ?? []
                let way = CutRequest(requester: packet.packet.destination, responder: packet.packet.source, tid: response.tid)
                if let request = cut[way] {
                    result.packets[index].labels.append("answers \(result.packets[request].number), which the capture cuts")
                } else {
                    if candidates.isEmpty, !senders.contains(packet.packet.destination) { result.beganMidway = true }
                    match(response, at: index, candidates)
                }
            case .none where packet.packet.isCut && packet.packet.payload.count >= 4:
                let payload = packet.packet.payload
                let tid = UInt16(payload[2]) | UInt16(payload[3]) << 8
                if packet.kind == .dhtRequest {
                    cut[CutRequest(requester: packet.packet.source, responder: packet.packet.destination, tid: tid)] = index
                } else if packet.kind == .dhtResponse,
                    let exchange = byTID[tid]?.last(where: {
                        result.exchanges[$0].responder == packet.packet.source
                            && result.exchanges[$0].requester == packet.packet.destination
                    }), result.exchanges[exchange].response == nil
                {
                    result.exchanges[exchange].response = index
                    result.packets[index].labels.append("answers \(result.packets[result.exchanges[exchange].request].number)")
                }
            default: break
            }
        }
        if strays.filter({ isFirstOfItsPair($0) }).count > 1 { result.beganMidway = true }
        for index in strays { settleStray(index) }
    }

    /// Whether the first packet of the stack is one that something must have come before.
    private var opensInTheMiddle: Bool {
        for index in result.packets.indices {
            switch result.packets[index].message {
            case .none: continue
            case .response: return true
            case .request: return relayMode(ofPacketAt: index).map { $0 != .fromClient } ?? false
            case .udx(let packet): return packet.header.seq != .zero || packet.header.ack != .zero
            }
        }
        return false
    }

    /// Whether nothing had been asked between two nodes when this response came, in the capture's first second.
    private func isFirstOfItsPair(_ index: Int) -> Bool {
        let packet = result.packets[index].packet
        return packet.timeNanoseconds - (result.packets.first?.packet.timeNanoseconds ?? 0) < 1_000_000_000
            && !result.exchanges.contains {
                $0.request < index && $0.requester == packet.destination && $0.responder == packet.source
            }
    }

    /// A response that nobody in the capture asked for.
    private func settleStray(_ index: Int) {
        let packet = result.packets[index].packet
        guard case .response(let response) = result.packets[index].message else { return }
        // A number of which one byte is wrong answers what waits in vain.
        let isAwaited = result.exchanges.contains {
            let difference = $0.tid ^ response.tid
            return $0.response == nil && $0.requester == packet.destination && $0.responder == packet.source && $0.request < index
                && (difference & 0xff == 0 || difference & 0xff00 == 0)
        }
        if result.mayContinue(index), !isAwaited {
            result.packets[index].labels.append("answers a request from before the capture")
            return
        }
        result.packets[index].labels.append("belongs to no request")
        issue(
            .unmatched, index, "dht-rpc.tid", 2, "no request with tid \(response.tid) went from \(packet.destination) to \(packet.source)")
        suspect(index)
    }

    /// A response with a number that nobody asked for may answer a request that waits in vain: then one of the two is damaged.
    private func suspect(_ response: Int) {
        let packet = result.packets[response].packet
        let found = result.exchanges.last {
            $0.response == nil && $0.requester == packet.destination && $0.responder == packet.source && $0.request < response
                && packet.timeNanoseconds - result.packets[$0.request].packet.timeNanoseconds < 5_000_000_000
        }
        guard let found else { return }
        issue(
            .unmatched, found.request, "dht-rpc.tid", 2,
            "tid \(found.tid) was never answered, but packet \(result.packets[response].number) came with one that nobody asked for")
    }

    private func match(_ response: Response, at index: Int, _ candidates: [Int]) {
        let source = result.packets[index].packet.source
        let destination = result.packets[index].packet.destination
        let found =
            candidates.last {
                result.exchanges[$0].responder == source && result.exchanges[$0].requester == destination
            } ?? candidates.last { answersOtherPort($0, source, destination) }
        guard let found else {
            strays.append(index)
            return
        }
        let request = result.packets[result.exchanges[found].request].number
        if result.exchanges[found].response == nil {
            result.exchanges[found].response = index
            result.packets[index].labels.append("answers \(request)")
        } else {
            result.exchanges[found].duplicateResponses.append(index)
            result.packets[index].labels.append("answers \(request) again")
        }
        result.packets[index].summary = result.exchanges[found].command + " " + result.packets[index].summary
        if let unit = result.packets[index].units.indices.first {
            result.packets[index].units[unit].name = result.exchanges[found].command + " response"
        }
    }

    /// PING_NAT asks for the answer at another port of the same host.
    private func answersOtherPort(_ exchange: Int, _ source: Endpoint, _ destination: Endpoint) -> Bool {
        let candidate = result.exchanges[exchange]
        guard candidate.isInternal, candidate.commandNumber == InternalCommand.pingNAT.rawValue, candidate.responder == source,
            candidate.requester.address == destination.address,
            case .request(let request) = result.packets[candidate.request].message, let value = request.value, value.count >= 2
        else { return false }
        return UInt16(value[0]) | UInt16(value[1]) << 8 == destination.port
    }

    /// Joins the legs of handshakes and hole-punch rounds across relays: all have one tid, command and target. hyperdht.md sections 6 and 9.
    func joinRelayedLegs() {
        var origins: [[UInt8]: Int] = [:]
        var firstLegs: [[UInt8]: Int] = [:]
        for index in result.exchanges.indices {
            let exchange = result.exchanges[index]
            guard let mode = relayMode(ofPacketAt: exchange.request) else { continue }
            var key = [
                UInt8(truncatingIfNeeded: exchange.tid >> 8), UInt8(truncatingIfNeeded: exchange.tid),
                UInt8(truncatingIfNeeded: exchange.commandNumber),
            ]
            exchange.target?.append(to: &key)
            if mode == .fromClient {
                origins[key] = index
            } else if let origin = origins[key] {
                result.exchanges[index].origin = origin
                result.exchanges[origin].legs.append(index)
                let first = result.packets[result.exchanges[origin].request].number
                for packet in exchange.requests { result.packets[packet].labels.append("\(mode) leg of \(first)") }
            } else {
                result.exchanges[index].firstLeg = firstLegs[key]
                if firstLegs[key] == nil { firstLegs[key] = index }
                for packet in exchange.requests { result.packets[packet].labels.append("\(mode) leg of an exchange that is not here") }
            }
        }
    }

    /// The relay mode of a handshake or hole-punch request, nil for other packets.
    func relayMode(ofPacketAt index: Int) -> RelayMode? {
        guard case .request(let request) = result.packets[index].message, !request.isInternal, let value = request.value else { return nil }
        switch HyperDHTCommand(rawValue: request.command) {
        case .peerHandshake: return (try? HandshakeMessage(decoding: value))?.mode
        case .peerHolepunch: return (try? HolepunchMessage(decoding: value))?.mode
        default: return nil
        }
    }

    /// Names the reason for each request that nothing answered.
    func explainSilence() {
        var speakers: [Endpoint: (first: Int64, last: Int64)] = [:]
        for packet in result.packets {
            let time = packet.packet.timeNanoseconds
            let known = speakers[packet.packet.source]
            speakers[packet.packet.source] = (min(known?.first ?? time, time), max(known?.last ?? time, time))
        }
        let end = result.packets.last?.packet.timeNanoseconds ?? 0
        for index in result.exchanges.indices where result.exchanges[index].response == nil {
            let exchange = result.exchanges[index]
            let mode = relayMode(ofPacketAt: exchange.request)
            if let mode, mode != .fromClient {
                result.exchanges[index].unansweredReason = legSilence(exchange, mode)
                continue
            }
            let last = exchange.requests.last.map { result.packets[$0].packet.timeNanoseconds } ?? 0
            let speaker = speakers[exchange.responder]
            let reason: String
            if hasEmptyValue(exchange) {
                reason = "its value is empty, which nodes drop in silence"
            } else if speaker == nil {
                reason =
                    exchange.isInternal && exchange.commandNumber == InternalCommand.pingNAT.rawValue
                    ? "the answer went to a port that a firewall closes" : "nobody answers at \(exchange.responder)"
            } else if let speaker, speaker.last < last {
                reason = "\(exchange.responder) had stopped before"
            } else if mode == .fromClient {
                reason =
                    exchange.legs.isEmpty ? "the node did not relay it" : "the server stayed silent: firewalled, closing, or not reachable"
            } else if end - last < 1_000_000_000 {
                reason = "the capture ends first"
            } else if exchange.isInternal, exchange.commandNumber == InternalCommand.pingNAT.rawValue {
                reason = "the answer went to a port that a firewall closes"
            } else if let closed = speakers[exchange.requester], closed.last <= last {
                reason = "the requester stopped first"
            } else {
                reason = "the node stayed silent"
            }
            result.exchanges[index].unansweredReason = reason
            result.packets[exchange.request].labels.append("unanswered: \(reason)")
        }
    }

    /// A put of an empty value is taken for one without a value. dht-rpc.md section 1.
    private func hasEmptyValue(_ exchange: Exchange) -> Bool {
        guard !exchange.isInternal, case .request(let request) = result.packets[exchange.request].message else { return false }
        return HyperDHTCommand(rawValue: request.command) == .immutablePut && (request.value ?? []).isEmpty
    }

    /// A leg is answered by the next leg, or by the response to the client.
    private func legSilence(_ exchange: Exchange, _ mode: RelayMode) -> String? {
        guard let origin = exchange.origin else {
            return mode == .fromServer ? nil : "the client's part of the exchange is not in this capture"
        }
        switch mode {
        case .fromRelay, .fromSecondRelay:
            let answered = result.exchanges[origin].legs.contains {
                let leg = result.exchanges[$0]
                let mode = relayMode(ofPacketAt: leg.request)
                return leg.request > exchange.request && (mode == .fromServer || mode == .fromSecondRelay)
            }
            return answered ? nil : "the server stayed silent: firewalled, closing, or not reachable"
        default: return result.exchanges[origin].response == nil ? "the relay did not pass the answer on" : nil
        }
    }
}
