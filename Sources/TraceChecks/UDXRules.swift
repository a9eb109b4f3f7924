import CompactEncoding
import Dissection
import SansIO
import UDX

/// What the reference's UDX packets obey, packet by packet. udx.md.
enum UDXRules {
    static let windows: Set<UInt32> = [0xffff_ffff, 131_072, 262_144, 4_194_304]
    static let types: Set<UInt8> = [0x00, 0x01, 0x02, 0x03, 0x04, 0x08, 0x10, 0x20]

    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        for (number, flow) in context.dissection.flows.enumerated() {
            packets(context, flow, &report)
            numbers(context, flow, &report)
            destroys(context, flow, &report)
            acknowledgements(context, flow, &report)
            arrivals(context, flow, &report)
            windows(context, flow, &report)
            ends(context, flow, &report)
            if let reverse = flow.reverse, reverse > number || context.dissection.flows[reverse].reverse == number {
                if !isRelayed(context, flow) { direct(context, flow, context.dissection.flows[reverse], &report) }
            }
            paths(context, flow, &report)
            if context.seesSent(flow) {
                beginnings(context, flow, flow.reverse.map { context.dissection.flows[$0] }, &report)
                recordedCalls(context, flow, &report)
            }
        }
        relays(context, &report)
    }

    /// What both directions of a stream that no relay passes on say of each other, each judged where it can be seen: what a side answers
    /// where the packets arrive that it answers, what it sends and repeats where it learns what has arrived.
    private static func direct(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        causes(context, flow, reverse, &report)
        if context.seesReceived(flow), context.seesSent(reverse) {
            if !isOutOfOrder(context, flow) { answers(context, flow, reverse, &report) }
            duplicates(context, flow, reverse, &report)
        }
        guard context.seesSent(flow), context.seesReceived(reverse) else { return }
        firstBurst(context, flow, reverse, &report)
        settled(context, flow, reverse, &report)
        timeouts(context, flow, reverse, &report)
        repairs(context, flow, reverse, &report)
        endings(context, flow, reverse, &report)
        destroyed(context, flow, reverse, &report)
        reopenings(context, flow, reverse, &report)
        heartbeats(context, flow, reverse, &report)
        closedWindow(context, flow, reverse, &report)
        sackedRepeats(context, flow, reverse, &report)
    }

    static func message(_ context: TraceContext, _ index: Int) -> Packet? {
        if case .udx(let packet) = context.packets[index].message { packet } else { nil }
    }

    // MARK: Shape

    static func packets(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        // A capture alone, without a key log and without a record of who did what, can't tell which ids are whose.
        let isKnown = context.streamIDs.contains(flow.streamID.rawValue) || !context.knowsPeers
        for index in flow.packets {
            guard let packet = message(context, index) else { continue }
            let number = context.number(index)
            let header = packet.header
            report.check("udx.type", types.contains(header.type.rawValue), number, "udx.type", 2, "type \(header.type) is never sent")
            let isProbe =
                header.type.contains(.data) && context.packets[index].packet.ipLength >= 1200 && packet.padding.allSatisfy { $0 == 0 }
            report.check(
                "udx.data-offset", header.dataOffset == 0 || isProbe, number, "udx.dataOffset", 3,
                "a data offset of \(header.dataOffset) on a packet that is no MTU probe")
            report.check(
                "udx.id", isKnown || (context.streamIDs.isEmpty && flow.packets.count >= 2) || flow.packets.count >= 3, number,
                "udx.streamID", 4,
                "no peer of this capture receives under the id \(header.streamID)")
            let carries = !header.type.isDisjoint(with: [.data, .message])
            report.check(
                "udx.length", carries || packet.payload.isEmpty, number, "udx.payload", 20,
                "\(header.type) carries \(packet.payload.count) bytes")
            report.check(
                "udx.length", header.type != .data || !packet.payload.isEmpty || context.packets[index].packet.isCut, number, "udx.payload",
                20,
                "DATA without any")
            let size = context.packets[index].packet.payload.count
            if !header.type.contains(.message) {
                let limit = context.packets[index].packet.source.address.isIPv4 ? 1172 : 1152
                report.check(
                    "udx.size", size <= limit || header.dataOffset > 0, number, "udx.payload", nil,
                    "\(size) bytes before a larger size is confirmed")
            }
            if context.packets[index].packet.ipLength > 1200 {
                report.check(
                    "udx.dont-fragment", context.packets[index].packet.dontFragment, number, "ip.dontFragment", nil,
                    "a packet above 1200 bytes may be fragmented")
            }
        }
    }

    // MARK: Sequence numbers

    /// Each packet carries the next number of its direction; repeated DATA and END carry their own.
    static func numbers(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        // Where packets may be missing, a later number is no evidence, nor is one that was sent before and lost.
        guard context.seesSent(flow) else { return }
        var next: SequenceNumber?
        for (position, index) in flow.packets.enumerated() {
            guard let packet = message(context, index) else { continue }
            let header = packet.header
            let number = context.number(index)
            if !header.type.isDisjoint(with: [.data, .end]) {
                if let expected = next {
                    let isRepeat = header.seq.isBefore(expected)
                    report.check(
                        "udx.seq",
                        header.seq == expected || isRepeat && (context.packets[index].retransmissionOf != nil || flow.relayedFrom != nil),
                        number,
                        "udx.seq", 12, "seq \(header.seq) where \(expected) is next")
                    if !isRepeat { next = header.seq.advanced(by: 1) }
                } else {
                    next = header.seq.advanced(by: 1)
                    checkFirst(context, flow, position, &report)
                }
            } else if let expected = next {
                report.check("udx.seq", header.seq == expected, number, "udx.seq", 12, "seq \(header.seq) where \(expected) is next")
            } else {
                next = header.seq
                checkFirst(context, flow, position, &report)
            }
        }
    }

    /// Nothing follows DESTROY; but a relay may still send on what it had.
    static func destroys(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        var isOver: Int?
        for index in flow.packets {
            guard let packet = message(context, index) else { continue }
            let number = context.number(index)
            if let over = isOver {
                report.check("udx.destroy", flow.relayedFrom != nil, number, "udx.type", 2, "a packet after DESTROY (packet \(over))")
            }
            if packet.header.type.contains(.destroy), isOver == nil { isOver = number }
        }
    }

    /// Streams begin with 0; only a relay's outgoing leg, and a path that a stream moves to, may begin later.
    static func checkFirst(_ context: TraceContext, _ flow: UDXFlow, _ position: Int, _ report: inout TraceReport) {
        guard let packet = message(context, flow.packets[position]), flow.relayedFrom == nil, !isRelayed(context, flow),
            !flow.beganEarlier || context.bornIDs.contains(flow.streamID.rawValue), !(context.dissection.beganMidway && flow.reverse == nil)
        else { return }
        report.check(
            "udx.seq", packet.header.seq == .zero, context.number(flow.packets[position]), "udx.seq", 12,
            "a stream begins with seq \(packet.header.seq), not 0")
    }

    /// Whether the flow, or the one the other way, is one leg of a relayed stream.
    static func isRelayed(_ context: TraceContext, _ flow: UDXFlow) -> Bool {
        if flow.relayedFrom != nil { return true }
        return flow.reverse.map { context.dissection.flows[$0].relayedFrom != nil } ?? false
    }

    // MARK: Acknowledgements

    static func acknowledgements(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        let reverse = flow.reverse.map { context.dissection.flows[$0] }
        let isRelayed = isRelayed(context, flow)
        // What the other side had sent, by packet index: an ack can't be ahead of it.
        var sent = 0
        var highest: SequenceNumber?
        // What had been sent before the capture began is known by the number at which the other side goes on.
        if flow.beganEarlier, let reverse, let goesOn = reverse.packets.first {
            highest = message(context, goesOn)?.header.seq
            // Its first packet may repeat what the acknowledgements before it have taken already.
            for index in flow.packets.prefix(while: { $0 < goesOn }) {
                if let ack = message(context, index)?.header.ack, highest.map({ ack.isAfter($0) }) ?? true { highest = ack }
            }
        }
        var last: (index: Int, ack: SequenceNumber)?
        var acks: [(index: Int, ack: SequenceNumber)] = []
        for index in flow.packets {
            guard let packet = message(context, index) else { continue }
            let header = packet.header
            let number = context.number(index)
            if let reverse {
                while sent < reverse.packets.count, reverse.packets[sent] < index {
                    if let other = message(context, reverse.packets[sent]), !other.header.type.isDisjoint(with: [.data, .end]) {
                        let next = other.header.seq.advanced(by: 1)
                        if highest.map({ next.isAfter($0) }) ?? true { highest = next }
                    }
                    sent += 1
                }
                // On a relay's legs the other side's packets are those that the relay passes on.
                let limit = highest ?? .zero
                report.check(
                    "udx.ack", isRelayed || !header.ack.isAfter(limit), number, "udx.ack", 16,
                    "ack \(header.ack), but the other side had sent only what comes before \(limit)")
            } else {
                report.check(
                    "udx.ack", isRelayed || header.ack == .zero || flow.packets.count > 1 || context.dissection.beganMidway, number,
                    "udx.ack", 16,
                    "ack \(header.ack) without anything to acknowledge")
            }
            // Retransmissions carry the ack of their first copy (libudx before August 2026).
            if context.packets[index].retransmissionOf != nil {
                if context.seesSent(flow) { checkStaleAck(context, flow, index, packet, last?.ack, &report) }
                continue
            }
            acks.append((index, header.ack))
            last = (index, header.ack)
            sacks(context, flow, index, packet, highest, &report)
        }
        // A repeat whose first copy was lost may carry the acknowledgement of then.
        if context.seesSent(flow) { monotone(context, acks, isRelayed, &report) }
        noReneging(context, flow, &report)
    }

    static func checkStaleAck(
        _ context: TraceContext, _ flow: UDXFlow, _ index: Int, _ packet: Packet, _ current: SequenceNumber?, _ report: inout TraceReport
    ) {
        let original = context.packets[index].retransmissionOf.flatMap { context.dissection.index(of: $0) }
        let first = original.flatMap { message(context, $0)?.header.ack }
        report.check(
            "udx.ack", packet.header.ack == first || packet.header.ack == current, context.number(index), "udx.ack", 16,
            "a retransmission with ack \(packet.header.ack), where \(first?.description ?? "none") was first and \(current?.description ?? "none") is current"
        )
    }

    /// Acknowledgements never go back. Of two that contradict each other the one that fits its other neighbour is believed.
    static func monotone(
        _ context: TraceContext, _ acks: [(index: Int, ack: SequenceNumber)], _ isRelayed: Bool, _ report: inout TraceReport
    ) {
        // Through a relay the first copies of packets may have been lost, so stale acknowledgements can't be told from current ones.
        guard !isRelayed else { return }
        for position in acks.indices.dropFirst() {
            let (before, now) = (acks[position - 1], acks[position])
            guard now.ack.isBefore(before.ack) else {
                report.count("udx.ack", 1)
                continue
            }
            let fitsEarlier = position < 2 || !now.ack.isBefore(acks[position - 2].ack)
            let guilty = fitsEarlier ? before : now
            report.check(
                "udx.ack", false, context.number(guilty.index), "udx.ack", 16,
                "acknowledgements go back: \(before.ack) in packet \(context.number(before.index)), then \(now.ack) in packet \(context.number(now.index))"
            )
        }
    }

    static func sacks(
        _ context: TraceContext, _ flow: UDXFlow, _ index: Int, _ packet: Packet, _ highest: SequenceNumber?, _ report: inout TraceReport
    ) {
        guard packet.header.type.contains(.sack) else { return }
        let number = context.number(index)
        report.check(
            "udx.sack", (1...SACKBlock.maximumCount).contains(packet.sacks.count), number, "udx.sacks", 20, "\(packet.sacks.count) blocks")
        report.check("udx.sack", packet.padding.isEmpty, number, "udx.padding", 20, "bytes after the last whole block")
        var previous = packet.header.ack
        for (position, block) in packet.sacks.enumerated() {
            let at = 20 + position * SACKBlock.size
            report.check(
                "udx.sack", block.start.isAfter(previous), number, "udx.sacks.start", at, "block \(block) begins at or before \(previous)")
            report.check(
                "udx.sack", block.end.isAfter(block.start), number, "udx.sacks.end", at + 4, "block \(block) is empty or backwards")
            if let highest {
                report.check(
                    "udx.sack", !block.end.isAfter(highest), number, "udx.sacks.end", at + 4,
                    "block \(block) ends beyond what was sent, \(highest)")
            }
            previous = block.end
        }
    }

    /// What was reported as received stays received; what was reported missing was sent again or reported later.
    static func noReneging(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        var claimed: [UInt32: Int] = [:]
        guard let reverse = flow.reverse.map({ context.dissection.flows[$0] }) else { return }
        var copies: [UInt32: Int] = [:]
        for index in reverse.packets {
            if let other = message(context, index), !other.header.type.isDisjoint(with: [.data, .end]) {
                copies[other.header.seq.rawValue, default: 0] += 1
            }
        }
        for index in flow.packets where context.packets[index].retransmissionOf == nil {
            guard let packet = message(context, index), packet.header.type.contains(.sack) else { continue }
            var cursor = packet.header.ack
            for (position, block) in packet.sacks.enumerated() {
                guard block.start.isAfter(cursor) || position == 0, cursor.distance(to: block.end) < 70_000, block.end.isAfter(block.start)
                else { break }
                while cursor != block.start, cursor.isBefore(block.start) {
                    if let earlier = claimed[cursor.rawValue] {
                        let message =
                            "number \(cursor) is reported missing in packet \(context.number(index)) after packet \(context.number(earlier)) reported it received"
                        report.check("udx.sack", false, context.number(index), "udx.sacks", 20 + position * SACKBlock.size, message)
                        report.check("udx.sack", false, context.number(earlier), "udx.sacks", nil, message)
                        claimed[cursor.rawValue] = nil
                    } else if context.seesSent(reverse), (copies[cursor.rawValue] ?? 0) == 1, flow.relayedFrom == nil,
                        reverse.relayedFrom == nil
                    {
                        report.check(
                            "udx.sack", false, context.number(index), "udx.sacks.start", 20 + position * SACKBlock.size,
                            "number \(cursor) is reported missing, but was never sent again")
                    }
                    cursor = cursor.advanced(by: 1)
                }
                while cursor != block.end, cursor.isBefore(block.end) {
                    claimed[cursor.rawValue] = index
                    cursor = cursor.advanced(by: 1)
                }
                report.count("udx.sack", 1)
            }
        }
    }

    // MARK: Windows and ends

    static func windows(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        var uses: [UInt32: Int] = [:]
        for index in flow.packets { if let packet = message(context, index) { uses[packet.header.window, default: 0] += 1 } }
        let varies = uses.count > 2 && uses.values.filter { $0 == 1 }.count * 3 > flow.packets.count
        for index in flow.packets {
            guard let packet = message(context, index) else { continue }
            let window = packet.header.window
            let isPlausible =
                windows.contains(window) && (uses.keys.filter { windows.contains($0) }.count == 1 || (uses[window] ?? 0) > 1) || window == 0
                || (uses[window] ?? 0) >= 2 || varies
            report.check(
                "udx.window", isPlausible, context.number(index), "udx.window", 8,
                "a window of \(window) that nothing else in the flow advertises")
            // A closed window stays closed until the application reads: it is said again when it is probed.
            report.check(
                "udx.window", window != 0 || (uses[0] ?? 0) > 1 || flow.packets.count < 3, context.number(index), "udx.window", 8,
                "a window of 0 that nothing before or after it speaks of")
            report.check(
                "udx.window-step", !(1...1451).contains(window), context.number(index), "udx.window", 8,
                "a window of \(window) stops older senders for good")
        }
    }

    static func ends(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        guard let end = flow.endSeq else { return }
        for index in flow.packets {
            guard let packet = message(context, index), !packet.header.type.isDisjoint(with: [.data, .end]) else { continue }
            report.check(
                "udx.end", !packet.header.seq.isAfter(end), context.number(index), "udx.seq", 12,
                "seq \(packet.header.seq) after the end, \(end)")
            report.check(
                "udx.end", packet.header.type.contains(.end) == (packet.header.seq == end), context.number(index), "udx.type", 2,
                "END stands on another number than \(end)")
        }
    }
}
