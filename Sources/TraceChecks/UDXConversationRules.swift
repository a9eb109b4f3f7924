import CompactEncoding
import Dissection
import SansIO
import UDX

/// What both directions of a stream say of each other: answers, closed windows, repeats of what SACK told, relays.
extension UDXRules {
    /// A process that was not run for a while reads late: then the first thing that leaves its socket acknowledges what came.
    static func wakesWithAnswer(_ context: TraceContext, _ index: Int, _ reverse: UDXFlow, _ seq: SequenceNumber) -> Bool {
        let receiver = context.packets[index].packet.destination
        guard let first = context.packets[(index + 1)...].first(where: { $0.packet.source == receiver })?.packet.timeNanoseconds,
            first - context.packets[index].packet.timeNanoseconds > 30_000_000
        else { return false }
        // It acknowledges in the order in which it reads, each packet in one of its own.
        return reverse.packets.contains { other in
            let time = context.packets[other].packet.timeNanoseconds
            return (first...first + 5_000_000).contains(time) && message(context, other)?.header.ack.isAfter(seq) ?? false
        }
    }

    /// The first data does not wait for a window; at most ten packets go out before the first answer.
    static func firstBurst(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.destroyed == nil, reverse.destroyed == nil, !flow.packets.isEmpty, !flow.beganEarlier else { return }
        var unanswered: Set<UInt32> = []
        for index in flow.packets where reverse.packets.first.map({ index < $0 }) ?? true {
            if let packet = message(context, index), packet.header.type.contains(.data) { unanswered.insert(packet.header.seq.rawValue) }
        }
        report.check(
            "udx.first-burst", unanswered.count <= 11, context.number(flow.packets[0]), "udx.seq", nil,
            "\(unanswered.count) packets before the first answer")
    }

    /// While the other side's window is closed nothing new is sent, but for one packet that was under way or probes.
    static func closedWindow(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        var next = 0
        var closedSince: Int64?
        var probed = false
        var burst = 0
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]) {
                    let time = context.packets[reverse.packets[next]].packet.timeNanoseconds
                    if packet.header.window == 0 {
                        if closedSince == nil { (closedSince, probed, burst) = (time, false, 0) }
                    } else {
                        if let since = closedSince, time - since > 1_500_000_000 {
                            report.check(
                                "udx.window-probe", probed, context.number(index), "udx.type", 2, "no probe while the window was closed")
                        }
                        closedSince = nil
                    }
                }
                next += 1
            }
            guard let since = closedSince, let packet = message(context, index) else { continue }
            if packet.header.type.contains(.heartbeat) { probed = true }
            let isNew = !packet.header.type.isDisjoint(with: [.data, .end]) && context.packets[index].retransmissionOf == nil
            guard isNew, context.packets[index].packet.timeNanoseconds - since > 5_000_000 else { continue }
            burst += 1
            probed = true
            report.check("udx.window-closed", burst <= 2, context.number(index), "udx.seq", 12, "new data beyond a closed window")
        }
    }

    /// What a SACK has covered is not sent again, but for what had left before the SACK was read.
    static func sackedRepeats(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.retransmissions > 0 else { return }
        var covered: [UInt32: Int64] = [:]
        var next = 0
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]) {
                    for block in packet.sacks where block.start.distance(to: block.end) < 70_000 {
                        var cursor = block.start
                        while cursor.isBefore(block.end) {
                            if covered[cursor.rawValue] == nil {
                                covered[cursor.rawValue] = context.packets[reverse.packets[next]].packet.timeNanoseconds
                            }
                            cursor = cursor.advanced(by: 1)
                        }
                    }
                }
                next += 1
            }
            guard context.packets[index].retransmissionOf != nil, let packet = message(context, index) else { continue }
            let delay = covered[packet.header.seq.rawValue].map { context.packets[index].packet.timeNanoseconds - $0 } ?? 0
            report.check(
                "udx.sacked-repeat", delay < 50_000_000, context.number(index), "udx.seq", 12,
                "seq \(packet.header.seq) is sent again \(delay / 1_000_000) ms after a SACK covered it")
        }
    }

    /// A relay changes the id and nothing else; once the legs are joined it passes everything on.
    ///
    /// A leg is what comes from, or goes to, the relay's socket: when the peers have found a direct path, packets of the same
    /// stream id go past the relay, and the relay has nothing to do with them.
    static func relays(_ context: TraceContext, _ report: inout TraceReport) {
        for flow in context.dissection.flows {
            guard let from = flow.relayedFrom else { continue }
            var passedOn: Set<Int> = []
            let relay = flow.from
            let outgoing = flow.packets.filter { context.packets[$0].packet.source == relay }
            for index in outgoing {
                let original = context.packets[index].relayedCopyOf
                if let original { passedOn.insert(original) }
                report.check("udx.relay", original != nil, context.number(index), "udx", nil, "no packet of the other leg has these bytes")
            }
            guard let first = outgoing.first, let last = outgoing.last else { continue }
            let incoming = context.dissection.flows[from].packets.filter { context.packets[$0].packet.destination == relay }
            for index in incoming where index > first && index < last {
                report.check(
                    "udx.relay", passedOn.contains(context.number(index)), context.number(index), "udx", nil,
                    "the relay passed on no packet with these bytes")
            }
        }
    }
}
