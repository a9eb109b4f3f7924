import Dissection
import SansIO
import UDX

/// When a packet is sent again. UDX-45, 47.
extension UDXRules {
    /// Less than a second after its last copy only what SACK or a later packet's acknowledgement reports lost, or the newest packet (a tail probe), is sent again; and a
    /// copy waits for 30 s at most.
    static func timeouts(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.retransmissions > 0 else { return }
        var last: [UInt32: (order: Int, index: Int)] = [:]
        var highest: SequenceNumber?
        var newestArrived = -1
        var newestArrivedAt: Int64?
        var arrived: Set<UInt32> = []
        var cumulative: SequenceNumber?
        var next = 0
        var order = 0
        func arrive(_ seq: SequenceNumber) {
            guard arrived.insert(seq.rawValue).inserted, let sending = last[seq.rawValue], sending.order > newestArrived else { return }
            newestArrived = sending.order
            newestArrivedAt = time(context, sending.index)
        }
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]) {
                    var cursor = cumulative ?? flow.firstSeq
                    if cursor.distance(to: packet.header.ack) < 70_000 {
                        while cursor.isBefore(packet.header.ack) {
                            arrive(cursor)
                            cursor = cursor.advanced(by: 1)
                        }
                        if cumulative.map({ packet.header.ack.isAfter($0) }) ?? true { cumulative = packet.header.ack }
                    }
                    for block in packet.sacks where block.start.distance(to: block.end) < 70_000 {
                        var cursor = block.start
                        while cursor.isBefore(block.end) {
                            arrive(cursor)
                            cursor = cursor.advanced(by: 1)
                        }
                    }
                }
                next += 1
            }
            guard let packet = message(context, index), isNumbered(packet) else { continue }
            let seq = packet.header.seq
            defer {
                last[seq.rawValue] = (order, index)
                order += 1
                if highest.map({ seq.isAfter($0) }) ?? true { highest = seq }
            }
            guard let before = last[seq.rawValue] else { continue }
            let gap = time(context, index) - time(context, before.index)
            let isReported = newestArrived > before.order
            // Of what is sent in one turn of the event loop the higher number counts as sent later, whatever the order in which it left.
            let isNear = newestArrivedAt.map { time(context, before.index) - $0 < 20_000_000 } ?? false
            report.check(
                "udx.timeout", gap >= 950_000_000 || isReported || isNear || seq == highest, context.number(index), "udx.seq", 12,
                "seq \(seq) is sent again after \(gap / 1_000_000) ms, and nothing says that it was lost")
            let answered = reverse.packets.first { other in other > before.index && message(context, other).map { covers($0, seq) } ?? false
            }
            let late = answered.map { time(context, index) - time(context, $0) } ?? 0
            report.check(
                "udx.timeout", late < 300_000_000 || flow.beganEarlier, context.number(index), "udx.seq", 12,
                "seq \(seq) is sent again \(late / 1_000_000) ms after it had been acknowledged")
            report.check(
                "udx.timeout", gap <= 65_000_000_000, context.number(index), "udx.seq", 12,
                "seq \(seq) is sent again after \(gap / 1_000_000) ms")
        }
    }

    /// A hole that SACK reports is filled without waiting for a timeout.
    static func repairs(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard flow.retransmissions > 0 else { return }
        var sendings: [UInt32: [Int]] = [:]
        for index in flow.packets {
            guard let packet = message(context, index), isNumbered(packet) else { continue }
            sendings[packet.header.seq.rawValue, default: []].append(index)
        }
        let socket = flow.packets.first.map { context.packets[$0].packet.source }
        let end = context.packets.last?.packet.timeNanoseconds ?? 0
        var judged: Set<UInt32> = []
        for index in reverse.packets {
            guard let packet = message(context, index), let block = packet.sacks.last else { continue }
            var cursor = packet.header.ack
            guard cursor.distance(to: block.end) < 70_000 else { continue }
            // Three above the hole: then nobody waits for packets that are merely late.
            let held = packet.sacks.reduce(0) { $0 + $1.start.distance(to: $1.end) }
            guard held >= 3, end - time(context, index) > 1_500_000_000 else { continue }
            let reported = time(context, index)
            while cursor.isBefore(packet.sacks[0].start) {
                defer { cursor = cursor.advanced(by: 1) }
                guard let copies = sendings[cursor.rawValue], copies.count > 1, judged.insert(cursor.rawValue).inserted,
                    let first = copies.first, first < index, let copy = copies.dropFirst().first, copy > index, let socket
                else { continue }
                let delay = time(context, copy) - reported
                let counted = delay > 500_000_000 ? context.sendings.active(socket, from: reported, to: time(context, copy)) : delay
                let isAlone = context.sendings.next(socket, after: reported).map { $0 - reported > 500_000_000 } ?? true
                report.check(
                    "udx.repair", delay <= 500_000_000 || (isAlone ? delay < 900_000_000 : counted <= 500_000_000), context.number(copy),
                    "udx.seq", 12,
                    "seq \(cursor) is sent again \(delay / 1_000_000) ms after SACK had reported the hole")
            }
        }
    }
}
