import CompactEncoding
import Dissection
import SansIO
import UDX

/// What a host says it has received, held against what arrived there. Only its own capture tells that: elsewhere a packet may be on its
/// way still, or be lost later. UDX-8, UDX-17, UDX-20.
extension UDXRules {
    static func arrivals(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        guard case .host(let host) = context.vantage, flow.from.address == host, !flow.beganEarlier,
            let reverse = flow.reverse.map({ context.dissection.flows[$0] }), reverse.to.address == host
        else { return }
        // Index of the packet that first brought each number.
        var arrived: [UInt32: Int] = [:]
        var next = 0
        // Everything before it is there.
        var edge = SequenceNumber.zero
        // What has come that an acknowledgement is due for.
        var due: [Int] = []
        // Plain acknowledgements one after another that ask for the same number.
        var plain: (ack: SequenceNumber, count: Int) = (.zero, 0)
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]),
                    !packet.header.type.isDisjoint(with: [.data, .end, .heartbeat])
                {
                    due.append(reverse.packets[next])
                    if !packet.header.type.contains(.heartbeat), arrived[packet.header.seq.rawValue] == nil {
                        arrived[packet.header.seq.rawValue] = reverse.packets[next]
                        while arrived[edge.rawValue] != nil { edge = edge.advanced(by: 1) }
                    }
                }
                next += 1
            }
            guard let packet = message(context, index) else { continue }
            report.check(
                "udx.ack", !packet.header.ack.isAfter(edge), context.number(index), "udx.ack", 16,
                "ack \(packet.header.ack), but \(edge) has not arrived")
            if packet.header.type == .acknowledgement {
                plain = (packet.header.ack, plain.ack == packet.header.ack ? plain.count + 1 : 1)
                missingBlocks(context, index, plain, arrived, due, &report)
            }
            guard packet.header.type.contains(.sack) else { continue }
            blocks(context, index, packet, arrived, &report)
        }
    }

    /// A hole of `k` numbers is reported once `k` packets beyond it were read, by every libudx: until then acknowledgements may be plain.
    ///
    /// They answer what arrived in the order in which it arrived: the one that asks for the hole first, then one for each packet before
    /// that, and one more that ends a direction.
    private static func missingBlocks(
        _ context: TraceContext, _ index: Int, _ plain: (ack: SequenceNumber, count: Int), _ arrived: [UInt32: Int], _ due: [Int],
        _ report: inout TraceReport
    ) {
        let hole = plain.ack
        guard arrived[hole.rawValue] == nil else { return }
        let beyond = arrived.map { (number: SequenceNumber($0.key), arrival: $0.value) }.filter { $0.number.isAfter(hole) }
            .sorted { $0.arrival < $1.arrival }
        var lowest = Int.max
        for (position, entry) in beyond.enumerated() {
            lowest = min(lowest, hole.distance(to: entry.number))
            guard position + 1 >= lowest else { continue }
            let before = hole == .zero ? -1 : arrived[hole.advanced(by: -1).rawValue] ?? -1
            let allowed = 2 + due.count { $0 > before && $0 < entry.arrival }
            report.check(
                "udx.sack", plain.count <= allowed, context.number(index), "udx.type", 2,
                "a plain acknowledgement of \(hole), although what follows the hole had arrived by packet \(context.number(entry.arrival))")
            return
        }
    }

    /// What stands in the blocks has arrived, and what stands between them has not, as far as the sender of the SACK had read.
    private static func blocks(
        _ context: TraceContext, _ index: Int, _ packet: Packet, _ arrived: [UInt32: Int], _ report: inout TraceReport
    ) {
        var cursor = packet.header.ack
        var missing: [(number: SequenceNumber, block: Int)] = []
        var read = 0
        for (position, block) in packet.sacks.enumerated() {
            guard !block.start.isBefore(cursor), block.end.isAfter(block.start), cursor.distance(to: block.end) < 70_000 else { return }
            while cursor.isBefore(block.start) {
                missing.append((cursor, position))
                cursor = cursor.advanced(by: 1)
            }
            while cursor.isBefore(block.end) {
                let arrival = arrived[cursor.rawValue]
                report.check(
                    "udx.sack", arrival != nil, context.number(index), "udx.sacks", 20 + position * SACKBlock.size,
                    "number \(cursor) is reported received, but has not arrived")
                read = max(read, arrival ?? 0)
                cursor = cursor.advanced(by: 1)
            }
        }
        // Packets are read in the order in which they arrived.
        for (number, position) in missing {
            let arrival = arrived[number.rawValue] ?? Int.max
            report.check(
                "udx.sack", arrival > read, context.number(index), "udx.sacks.start", 20 + position * SACKBlock.size,
                "number \(number) is reported missing, but had arrived in packet \(context.number(arrival))")
        }
    }
}
