import CompactEncoding
import Dissection
import PacketCapture
import SansIO

/// What becomes of two connections between the same two swarms. hyperswarm.md section 8; SWARM-15a, SWARM-16 to SWARM-18, SWARM-32.
enum CrossingRules {
    /// Only captures in which swarms joined topics are judged: plain connections of a DHT node may be as many as one likes.
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        guard context.bundle.inputs.contains(where: { if case .call(_, _, "join", _) = $0.kind { true } else { false } }) else { return }
        let judge = CrossingRules.Judge(context)
        for pair in judge.dials.pairs {
            for dial in pair.dials {
                judge.destroys(dial, pair.greater, pair.dials, &report)
                judge.abandoned(dial, pair.greater, pair.dials, &report)
            }
            for side in [pair.lesser, pair.greater] { judge.oneAtATime(side, pair.dials, &report) }
        }
    }

    private struct Judge {
        let packets: [DissectedPacket]
        let dissection: Dissection
        let dials: SwarmDials
        /// When swarms were closed or suspended, in nanoseconds since 1970: their connections end then, whatever crosses.
        let stops: [Int64]

        init(_ context: TraceContext) {
            dissection = context.dissection
            packets = dissection.packets
            dials = SwarmDials(dissection)
            stops = context.bundle.inputs.compactMap { input in
                guard case .call(let object, _, let method, _) = input.kind else { return nil }
                // The reference's own calls bear the names of its classes; those of peers behind the contract the peers' names.
                let isEnd =
                    object == "Hyperswarm"
                    ? ["destroy", "suspend"].contains(method)
                    : !["SecretStream", "UDXStream", "UDXSocket", "HyperDHT"].contains(object) && ["close", "suspend"].contains(method)
                return isEnd ? input.time.microseconds * 1000 : nil
            }
        }

        private func time(_ packet: Int) -> Int64 { Int64(packets[packet].packet.timeNanoseconds) }
        private func name(_ key: Bytes32) -> String { String(key.description.prefix(8)) }
        private static let second: Int64 = 1_000_000_000

        /// Whoever destroys a connection while there is another one to the same key, or just was, has the rule's reason for it.
        func destroys(
            _ dial: SwarmDials.Dial, _ greater: Bytes32, _ all: [SwarmDials.Dial], _ report: inout TraceReport
        ) {
            for side in [dial.initiator, dial.responder] {
                guard let packet = dial.destroyed[side], dial.destroyed[dial.other(side)].map({ $0 > packet }) ?? true else { continue }
                let stop = stops.last { $0 <= time(packet) } ?? 0
                let rivals = all.filter {
                    $0.asked != dial.asked && $0.asked < packet && time($0.answered) > stop
                        && ($0.end.map { time($0) > time(packet) - Judge.second } ?? true)
                }
                if rivals.isEmpty { continue }
                let isRight = rivals.contains { rival in
                    // A new one is refused: by the greater key, unless the old one had been in use for long.
                    if dial.responder == side, side == greater,
                        !wasInUse(rival, at: side, before: dial.delivered)
                    {
                        return true
                    }
                    // An old one makes room for a new one: at the lesser key, or because it has been in use.
                    return rival.responder == side && rival.delivered < packet
                        && (side != greater || dial.isOutdated(at: side, before: packet))
                }
                report.check(
                    "hyperswarm.crossing", isRight, packets[packet].number, "udx.type", nil,
                    "\(name(side)) gives up a connection that \(dial.initiator == side ? "it" : name(dial.initiator)) made "
                        + "while there is another one, or just was: the one that \(name(greater)) made survives")
            }
        }

        /// In use for a second and more: what the other side's process was kept from seeing must not count.
        private func wasInUse(_ dial: SwarmDials.Dial, at side: Bytes32, before packet: Int) -> Bool {
            guard dial.isOutdated(at: side, before: packet) else { return false }
            return [dial.initiator, dial.responder].allSatisfy {
                dial.messages[$0].map { time(packet) - time($0[0]) > Judge.second } ?? false
            }
        }

        /// An answered dial is followed up, unless the answering side took it back at once, or the lesser key gave it up for one that came in.
        func abandoned(
            _ dial: SwarmDials.Dial, _ greater: Bytes32, _ all: [SwarmDials.Dial], _ report: inout TraceReport
        ) {
            guard dial.isReachable, let returned = dial.returned, let last = packets.indices.last,
                time(last) - time(returned) > Judge.second,
                !stops.contains(where: { $0 > time(dial.asked) - Judge.second && $0 < time(returned) + Judge.second })
            else { return }
            let isFollowed =
                dial.outbound.map { flow in dissection.flows[flow].packets.contains { packets[$0].retransmissionOf == nil } } ?? false
            let isRefused = dial.destroyed[dial.responder].map { time($0) < time(returned) + Judge.second } ?? false
            let isRight =
                isFollowed || isRefused
                || dial.initiator != greater && all.contains { $0.responder == dial.initiator && $0.delivered < returned }
            report.check(
                "hyperswarm.crossing", isRight, packets[returned].number, "hyperdht.noise", nil,
                "\(name(dial.initiator)) never uses the connection that it asked \(name(dial.responder)) for")
        }

        /// A side speaks on one connection to a key at a time. SWARM-32.
        func oneAtATime(_ side: Bytes32, _ all: [SwarmDials.Dial], _ report: inout TraceReport) {
            let spoken = all.compactMap { dial in dial.messages[side]?.first.map { (dial, $0) } }.sorted { $0.1 < $1.1 }
            for ((old, _), (_, first)) in zip(spoken, spoken.dropFirst()) {
                // A connection whose maker never spoke has no end on the wire: it times out.
                let isGhost = old.messages[old.other(side)] == nil && old.end == nil && time(first) - time(old.answered) > 5 * Judge.second
                report.check(
                    "hyperswarm.one-connection", isGhost || (old.end ?? .max) < first, packets[first].number, "secret-stream", nil,
                    "\(name(side)) speaks on a second connection to \(name(old.other(side))) before the first has ended")
            }
        }
    }
}
