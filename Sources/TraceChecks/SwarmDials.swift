import CompactEncoding
import Dissection
import HyperDHT
import PacketCapture
import SansIO

/// The connections that swarms made to each other, as a capture shows them. Packets are indices into the dissection's `packets`.
public struct SwarmDials: Sendable {
    /// One dial that was answered.
    struct Dial: Sendable {
        let initiator: Bytes32
        let responder: Bytes32
        /// The first request with this handshake.
        let asked: Int
        /// The packet that brought it to the responder.
        let delivered: Int
        /// The first packet with the answer.
        let answered: Int
        /// The packet that brought the answer to the initiator.
        let returned: Int?
        /// The answer says that the responder can be reached, or came from it without a detour.
        let isReachable: Bool
        /// The streams to the responder and to the initiator, as indices of flows.
        let outbound: Int?
        let inbound: Int?
        /// Packets that completed an encrypted message, keepalives with them, by who sent it.
        let messages: [Bytes32: [Int]]
        /// DESTROY packets by who sent them.
        let destroyed: [Bytes32: Int]

        var end: Int? { destroyed.values.min() }
        func other(_ side: Bytes32) -> Bytes32 { side == initiator ? responder : initiator }

        /// Whether a side had received and sent a message before a packet: then a new connection takes this one's place. SWARM-17.
        func isOutdated(at side: Bytes32, before packet: Int) -> Bool {
            [side, other(side)].allSatisfy { (messages[$0]?.first ?? .max) < packet }
        }
    }

    /// Dials between the same two keys, in the order in which they were made. The lesser key comes first.
    let pairs: [(lesser: Bytes32, greater: Bytes32, dials: [Dial])]

    public init(_ dissection: Dissection) {
        var dials: [[Bytes32]: [Dial]] = [:]
        for handshake in dissection.handshakes where handshake.pattern == "IK" {
            if let dial = SwarmDials.dial(handshake, dissection) {
                dials[[dial.initiator, dial.responder].sorted(), default: []].append(dial)
            }
        }
        pairs = dials.sorted { $0.key[0] == $1.key[0] ? $0.key[1] < $1.key[1] : $0.key[0] < $1.key[0] }.map {
            ($0.key[0], $0.key[1], $0.value.sorted { $0.asked < $1.asked })
        }
    }

    private static func dial(_ handshake: Handshake, _ dissection: Dissection) -> Dial? {
        let packets = dissection.packets
        guard let initiator = handshake.initiatorKey, let responder = handshake.responderKey, handshake.carriers.count > 1,
            let asked = handshake.carriers[0].first, let answered = handshake.carriers[1].first
        else { return nil }
        let server = packets[answered].packet.source
        let client = packets[asked].packet.source
        let delivered = handshake.carriers[0].last { $0 < answered && packets[$0].packet.destination == server } ?? asked
        func payload(_ packet: Int) -> NoisePayload? {
            packets[packet].units.first { $0.layer == .noisePayload }.flatMap { try? NoisePayload(decoding: $0.bytes) }
        }
        func flow(_ payload: NoisePayload?) -> Int? {
            guard let id = payload?.udx?.id else { return nil }
            return dissection.flows.firstIndex { UInt64($0.streamID.rawValue) == id && !$0.packets.isEmpty }
        }
        let answer = payload(answered)
        let (outbound, inbound) = (flow(answer), flow(payload(asked)))
        var messages: [Bytes32: [Int]] = [:]
        var destroyed: [Bytes32: Int] = [:]
        for (side, flow) in [(initiator, outbound), (responder, inbound)] {
            guard let flow else { continue }
            for stream in dissection.secretStreams where stream.flow == flow { messages[side, default: []] += stream.frames.map(\.packet) }
            destroyed[side] = dissection.flows[flow].destroyed
        }
        return Dial(
            initiator: initiator, responder: responder, asked: asked, delivered: delivered, answered: answered,
            returned: handshake.carriers[1].first { packets[$0].packet.destination == client },
            isReachable: answer?.firewall == .open || delivered == asked, outbound: outbound, inbound: inbound, messages: messages,
            destroyed: destroyed)
    }

    /// Dials that were answered when whoever made them had already given them up, and that took the place of a connection which had carried
    /// messages both ways (SWARM-17): the answering side waits at a connection that nobody holds until its datagrams have timed out.
    ///
    /// As packet numbers of the answers.
    public func ghosts(in dissection: Dissection) -> [Int] {
        pairs.flatMap { pair in
            pair.dials.filter { dial in
                dial.messages[dial.responder] != nil
                    && (dial.outbound.map { dissection.flows[$0].packets.allSatisfy { $0 == dial.destroyed[dial.initiator] } } ?? true)
                    && pair.dials.contains {
                        $0.asked != dial.asked && ($0.destroyed[dial.responder] ?? .max) > dial.delivered
                            && $0.isOutdated(at: dial.responder, before: $0.destroyed[dial.responder] ?? 0)
                    }
            }.map { dissection.packets[$0.answered].number }
        }
    }
}
