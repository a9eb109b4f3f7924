import Dissection
import SansIO
import UDX

/// What one side of a stream answers to the other: promptly, each packet, and nothing without a cause. UDX-15, 16, 21, 22, 57, 60.
extension UDXRules {
    private static let prompt: Int64 = 30_000_000

    static func time(_ context: TraceContext, _ index: Int) -> Int64 { context.packets[index].packet.timeNanoseconds }

    static func isNumbered(_ packet: Packet) -> Bool { !packet.header.type.isDisjoint(with: [.data, .end]) }

    /// ACK or SACK and nothing else.
    static func isBareAnswer(_ packet: Packet) -> Bool { packet.header.type.subtracting(.sack).rawValue == 0 }

    static func covers(_ packet: Packet, _ seq: SequenceNumber) -> Bool {
        packet.header.ack.isAfter(seq) || packet.sacks.contains { !$0.start.isAfter(seq) && $0.end.isAfter(seq) }
    }

    /// When the capture ends, or the stream is destroyed.
    static func lastMoment(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow) -> Int64 {
        ([context.packets.last?.packet.timeNanoseconds ?? 0]
            + [flow.destroyed, reverse.destroyed].compactMap { $0 }.map { time(context, $0) }).min() ?? 0
    }

    /// DATA, END and HEARTBEAT are answered within 30 ms; time in which the answering socket was silent does not count, but a side that
    /// is late as a rule is late.
    static func answers(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.retransmissions == 0 else { return }
        let end = lastMoment(context, flow, reverse)
        var next = 0
        var excused: [(index: Int, answer: Int)] = []
        var judged: Set<Int> = []
        for index in flow.packets {
            guard let packet = message(context, index) else { continue }
            let isHeartbeat = packet.header.type.contains(.heartbeat)
            guard isNumbered(packet) || isHeartbeat else { continue }
            let sent = time(context, index)
            guard end - sent > prompt else { continue }
            let seq = packet.header.seq
            while next < reverse.packets.count, reverse.packets[next] < index { next += 1 }
            let answer = reverse.packets[next...].first { other in
                message(context, other).map { isHeartbeat || covers($0, seq) } ?? false
            }
            // A receiver that is not yet connected answers once it is.
            guard let first = reverse.packets.first, first < index || time(context, first) - sent <= prompt else { continue }
            let rule = isHeartbeat ? "udx.heartbeat" : "udx.answer"
            let socket = context.packets[index].packet.destination
            guard let answer else {
                // Whoever sent it would have sent it again after a second; what was sent at the very end may be answered after it.
                report.check(
                    rule, end - sent < 3_000_000_000 || flow.relayedFrom != nil, context.number(index), "udx.seq", 12,
                    "no acknowledgement came, and it was not sent again")
                continue
            }
            let delay = time(context, answer) - sent
            let counted = delay <= prompt ? delay : context.sendings.active(socket, from: sent, to: time(context, answer))
            let hasWoken = counted > prompt && wakesWithAnswer(context, index, reverse, seq)
            judged.insert(answer)
            if delay > prompt, counted <= prompt { excused.append((index, answer)) }
            report.check(
                rule, counted <= prompt || hasWoken, context.number(index), "udx.seq", 12,
                "no acknowledgement came within 30 ms, but after \(delay / 1_000_000) ms")
        }
        let late = Set(excused.map(\.answer))
        guard late.count >= 3, late.count * 2 > judged.count else { return }
        for item in excused {
            report.check(
                "udx.answer", false, context.number(item.index), "udx.seq", 12,
                "acknowledged after \((time(context, item.answer) - time(context, item.index)) / 1_000_000) ms, as \(late.count) of \(judged.count) are"
            )
        }
    }

    /// A bare ACK or SACK answers a DATA, an END or a HEARTBEAT; one more says that the own END was acknowledged, and one each that a
    /// closed window reopened. MESSAGE, ACK, SACK and DESTROY are answered by nothing.
    static func causes(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard !flow.beganEarlier, !reverse.beganEarlier, !context.dissection.beganMidway else { return }
        var owed = 0
        var next = 0
        var hasEnded = false
        var lastWindow: UInt32?
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]) {
                    if isNumbered(packet) || packet.header.type.contains(.heartbeat) { owed += 1 }
                    if let end = flow.endSeq, packet.header.ack.isAfter(end), !hasEnded {
                        hasEnded = true
                        owed += 1
                    }
                }
                next += 1
            }
            guard let packet = message(context, index) else { continue }
            defer { lastWindow = packet.header.window }
            guard isBareAnswer(packet) else { continue }
            if lastWindow.map({ $0 < 2904 && packet.header.window > $0 }) ?? false { owed += 1 }
            report.check(
                "udx.cause", owed > 0, context.number(index), "udx.type", 2,
                "an acknowledgement that no packet of the other side asked for")
            owed = max(0, owed - 1)
        }
    }

    /// What had been acknowledged and comes again is acknowledged again.
    static func duplicates(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.retransmissions > 0 else { return }
        let end = lastMoment(context, flow, reverse)
        var silent: [Int] = []
        var judged = 0
        for (position, index) in flow.packets.enumerated() where context.packets[index].retransmissionOf != nil {
            guard let packet = message(context, index), isNumbered(packet) else { continue }
            let sent = time(context, index)
            let seq = packet.header.seq
            // It stands alone, so that no answer to another packet is taken for its own.
            let following = flow.packets[(position + 1)...].first.map { time(context, $0) } ?? end
            guard following - sent > 100_000_000, end - sent > 100_000_000,
                reverse.packets.contains(where: { $0 < index && message(context, $0).map { covers($0, seq) } ?? false })
            else { continue }
            judged += 1
            let isAnswered = reverse.packets.contains { other in
                other > index && time(context, other) <= following && message(context, other).map { covers($0, seq) } ?? false
            }
            if !isAnswered { silent.append(index) }
        }
        report.count("udx.duplicate", judged)
        // Where the network loses packets, it may have lost these.
        guard silent.count * 2 > judged || judged <= 2 && !silent.isEmpty && !isLossy(context) else { return }
        for index in silent {
            report.add(
                "udx.duplicate", context.number(index), "udx.seq", 12, "a packet that came twice was not acknowledged again")
        }
    }

    /// Whether the network of this capture is known, or seen, to lose packets of streams: SACKs report holes.
    static func isLossy(_ context: TraceContext) -> Bool {
        context.packets.contains { if case .udx(let packet) = $0.message { packet.header.type.contains(.sack) } else { false } }
    }

    /// Whether something was lost before it came to the host at which the capture was taken: the repeat that arrives is the first copy there.
    static func isOutOfOrder(_ context: TraceContext, _ flow: UDXFlow) -> Bool {
        guard case .host = context.vantage else { return false }
        var next = SequenceNumber.zero
        for index in flow.packets {
            guard let packet = message(context, index), isNumbered(packet) else { continue }
            guard packet.header.seq == next else { return true }
            next = next.advanced(by: 1)
        }
        return false
    }

    /// What was sent last is acknowledged, or sent again.
    static func settled(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.destroyed == nil, reverse.destroyed == nil,
            let last = flow.packets.last(where: { message(context, $0).map(isNumbered) ?? false }),
            let packet = message(context, last)
        else { return }
        let highest = flow.nextSeq.advanced(by: -1)
        let isEnd = flow.endSeq == highest
        let rule = isEnd ? "udx.end-acknowledged" : "udx.settled"
        let end = context.packets.last?.packet.timeNanoseconds ?? 0
        let isSettled = reverse.packets.contains { message(context, $0)?.header.ack.isAfter(highest) ?? false }
        report.check(
            rule, isSettled || end - time(context, last) < 3_000_000_000, context.number(last), "udx.seq", 12,
            "seq \(packet.header.seq) was neither acknowledged nor sent again")
    }
}
