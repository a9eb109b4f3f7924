import CompactEncoding
import Dissection
import PacketCapture
import SansIO
import UDX

extension Alteration {
    private static func streamPackets(
        _ context: TraceContext, _ isWanted: (Int, Packet) -> Bool = { _, _ in true }
    ) -> [Int] {
        context.packets.indices.filter { index in UDXRules.message(context, index).map { isWanted(index, $0) } ?? false }
    }

    private static func isFirst(_ context: TraceContext, _ index: Int) -> Bool { context.packets[index].retransmissionOf == nil }

    private static func numbered(_ context: TraceContext) -> [Int] {
        streamPackets(context) { UDXRules.isNumbered($1) && isFirst(context, $0) }
    }

    private static func answers(_ context: TraceContext) -> [Int] { streamPackets(context) { UDXRules.isBareAnswer($1) } }

    /// The packet with another header.
    private static func header(
        _ context: TraceContext, _ index: Int, _ change: (inout Packet) -> Void
    ) -> [CapturedPacket]? {
        guard var packet = UDXRules.message(context, index) else { return nil }
        change(&packet)
        return changing(context, index) { $0.with(payload: packet.encoded) }
    }

    static let udx: [Alteration] = [
        Alteration("udx: acknowledgement back", ["udx.ack"], at: { c in streamPackets(c) { $1.header.ack.rawValue > 1 } }) { c, i, _ in
            header(c, i) { $0.header.ack = $0.header.ack.advanced(by: -1) }
        },
        Alteration("udx: acknowledgement ahead", ["udx.ack"], at: { c in streamPackets(c) }) { c, i, _ in
            header(c, i) { $0.header.ack = $0.header.ack.advanced(by: 1000) }
        },
        Alteration("udx: seq ahead", ["udx.seq", "udx.end"], at: { numbered($0) }) { c, i, _ in
            header(c, i) { $0.header.seq = $0.header.seq.advanced(by: 1) }
        },
        Alteration("udx: seq back", at: { c in numbered(c).filter { UDXRules.message(c, $0)?.header.seq != .zero } }) { c, i, _ in
            header(c, i) { $0.header.seq = $0.header.seq.advanced(by: -1) }
        },
        Alteration("udx: seq of an answer", ["udx.seq"], at: { answers($0) }) { c, i, _ in
            header(c, i) { $0.header.seq = $0.header.seq.advanced(by: 1) }
        },
        Alteration("udx: own id in place of the peer's", at: { c in c.dissection.flows.flatMap { f in f.reverse == nil ? [] : f.packets } })
        { c, i, _ in
            guard let flow = c.flowOf[i], let other = c.dissection.flows[flow].reverse else { return nil }
            return header(c, i) { $0.header.streamID = c.dissection.flows[other].streamID }
        },
        Alteration("udx: an id of nobody", at: { c in streamPackets(c) }) { c, i, _ in
            header(c, i) { $0.header.streamID = StreamID($0.header.streamID.rawValue ^ 0x0101_0101) }
        },
        Alteration("udx: window too small", ["udx.window-step", "udx.window"], at: { c in streamPackets(c) }) { c, i, _ in
            header(c, i) { $0.header.window = 700 }
        },
        Alteration("udx: window of zero", at: { c in streamPackets(c) }) { c, i, _ in header(c, i) { $0.header.window = 0 } },
        Alteration("udx: unknown type bit", ["udx.type"], at: { c in streamPackets(c) }) { c, i, _ in
            header(c, i) { $0.header.type = PacketType(rawValue: $0.header.type.rawValue | 0x40) }
        },
        Alteration("udx: DATA becomes MESSAGE", at: { c in numbered(c) }) { c, i, _ in header(c, i) { $0.header.type = .message } },
        Alteration("udx: an answer becomes HEARTBEAT", at: { c in streamPackets(c) { $1.header.type.rawValue == 0 } }) { c, i, _ in
            header(c, i) { $0.header.type = .heartbeat }
        },
        Alteration("udx: END is lost from a packet", at: { c in streamPackets(c) { $1.header.type.contains(.end) } }) { c, i, _ in
            header(c, i) { $0.header.type = .data }
        },
        Alteration(
            "udx: END too early", ["udx.end"],
            at: { c in
                numbered(c).filter { i in
                    c.flowOf[i].map { c.dissection.flows[$0].endSeq.map { $0 != UDXRules.message(c, i)?.header.seq } ?? false } ?? false
                }
            }
        ) { c, i, _ in header(c, i) { $0.header.type.formUnion(.end) } },
        Alteration("udx: a data offset", at: { c in streamPackets(c) { $1.header.type.contains(.data) && $1.payload.count > 8 } }) {
            c, i, _ in
            guard var bytes = Optional(c.packets[i].packet.payload), bytes.count > 28 else { return nil }
            bytes[3] = 4
            return changing(c, i) { $0.with(payload: bytes) }
        },
        Alteration("udx: payload byte", at: { c in streamPackets(c) { !$1.payload.isEmpty } }) { c, i, e in
            header(c, i) { $0.payload[Int(e.uniform(below: UInt64($0.payload.count), for: EntropyLabel(.test)))] ^= 0x20 }
        },
        Alteration("udx: payload cut", at: { c in streamPackets(c) { $1.payload.count > 1 } }) { c, i, _ in
            header(c, i) { $0.payload.removeLast() }
        },
        Alteration("udx: SACK block begins earlier", ["udx.sack"], at: { c in streamPackets(c) { !$1.sacks.isEmpty } }) { c, i, _ in
            header(c, i) { $0.sacks[0] = SACKBlock($0.header.ack, $0.sacks[0].end) }
        },
        Alteration("udx: SACK block ends too late", ["udx.sack"], at: { c in streamPackets(c) { !$1.sacks.isEmpty } }) { c, i, _ in
            header(c, i) {
                let last = $0.sacks.count - 1
                $0.sacks[last] = SACKBlock($0.sacks[last].start, $0.sacks[last].end.advanced(by: 5000))
            }
        },
        Alteration("udx: SACK block taken back", at: { c in streamPackets(c) { $1.sacks.count > 1 } }) { c, i, _ in
            header(c, i) { $0.sacks.removeLast() }
        },
        Alteration(
            "udx: may be fragmented", ["udx.dont-fragment"],
            at: { c in
                streamPackets(c) { index, _ in c.packets[index].packet.ipLength > 1200 }
            }
        ) { c, i, _ in changing(c, i) { $0.with(dontFragment: false) } },
        Alteration(
            "udx: DESTROY with another number", ["udx.reset", "udx.seq"],
            at: { c in
                streamPackets(c) { $1.header.type.contains(.destroy) }
            }
        ) { c, i, _ in header(c, i) { $0.header.seq = $0.header.seq.advanced(by: 3) } },
        Alteration("udx: another socket", at: { c in streamPackets(c) }) { c, i, _ in
            changing(c, i) { $0.with(source: Endpoint($0.source.address, $0.source.port ^ 1)) }
        },
    ]

    static let udxOrder: [Alteration] = [
        Alteration("udx: an answer is missing", at: { answers($0) }) { c, i, _ in dropping(c, i) },
        Alteration(
            "udx: the last answer to an END is missing", ["udx.answer", "udx.end-acknowledged"],
            at: { c in
                c.dissection.flows.compactMap { flow -> Int? in
                    guard let end = flow.endSeq, let other = flow.reverse else { return nil }
                    let covering = c.dissection.flows[other].packets.filter { UDXRules.message(c, $0)?.header.ack.isAfter(end) ?? false }
                    return covering.count == 1 ? covering[0] : nil
                }
            }
        ) { c, i, _ in dropping(c, i) },
        Alteration("udx: DATA is missing", at: { numbered($0) }) { c, i, _ in dropping(c, i) },
        Alteration(
            "udx: an answer twice", ["udx.cause"],
            at: { c in
                answers(c).filter { i in
                    c.flowOf[i].map { !UDXRules.isRelayed(c, c.dissection.flows[$0]) && c.dissection.flows[$0].reverse != nil } ?? false
                }
            }
        ) { c, i, _ in repeating(c, i, after: 300_000) },
        Alteration("udx: an answer to MESSAGE", ["udx.cause"], at: { c in streamPackets(c) { $1.header.type == .message } }) { c, i, _ in
            guard let flow = c.flowOf[i], let other = c.dissection.flows[flow].reverse,
                let packet = UDXRules.message(c, i)
            else { return nil }
            let place = c.packets[i].packet
            let next = c.dissection.flows[other].packets.first { $0 > i }.flatMap { UDXRules.message(c, $0) }
            let header = PacketHeader(
                type: [], streamID: c.dissection.flows[other].streamID, window: packet.header.window, seq: next?.header.seq ?? .zero,
                ack: packet.header.seq)
            var result = packets(c)
            result.insert(
                place.with(
                    timeNanoseconds: place.timeNanoseconds + 1000, source: place.destination, destination: place.source,
                    payload: Packet(header).encoded), at: i + 1)
            return result
        },
        Alteration("udx: DATA twice at once", at: { numbered($0) }) { c, i, _ in repeating(c, i, after: 1_000_000) },
        Alteration("udx: an acknowledged packet twice", at: { numbered($0) }) { c, i, _ in repeating(c, i, after: 400_000_000) },
        Alteration("udx: END after the close", at: { c in streamPackets(c) { $1.header.type.contains(.end) } }) { c, i, _ in
            guard let packet = UDXRules.message(c, i) else { return nil }
            var late = packet
            late.header.type = .heartbeat
            late.header.seq = late.header.seq.advanced(by: 1)
            late.payload = []
            var result = packets(c)
            guard let last = result.last?.timeNanoseconds else { return nil }
            result.append(c.packets[i].packet.with(timeNanoseconds: last + 200_000_000, payload: late.encoded))
            return result
        },
        Alteration("udx: DESTROY twice", ["udx.destroy"], at: { c in streamPackets(c) { $1.header.type.contains(.destroy) } }) { c, i, _ in
            repeating(c, i, after: 2_000_000)
        },
        Alteration("udx: DESTROY is answered", ["udx.reset"], at: { c in streamPackets(c) { $1.header.type.contains(.destroy) } }) {
            c, i, _ in
            guard let flow = c.flowOf[i], let other = c.dissection.flows[flow].reverse, let packet = UDXRules.message(c, i),
                let last = c.dissection.flows[other].packets.last(where: { $0 < i }), let theirs = UDXRules.message(c, last)
            else { return nil }
            var header = theirs.header
            header.type = []
            header.ack = packet.header.seq
            header.seq = UDXRules.isNumbered(theirs) ? header.seq.advanced(by: 1) : header.seq
            var result = packets(c)
            let place = c.packets[last].packet
            let answer = place.with(timeNanoseconds: c.packets[i].packet.timeNanoseconds + 100_000, payload: Packet(header).encoded)
            // The socket sends something meanwhile, so that nobody takes it for asleep.
            result.insert(answer, at: i + 1)
            for step in 1...10 {
                result.insert(
                    answer.with(timeNanoseconds: answer.timeNanoseconds + Int64(step) * 4_000_000), at: min(result.count, i + 1 + step))
            }
            return result.sorted { $0.timeNanoseconds < $1.timeNanoseconds }
        },
        Alteration(
            "udx: two packets change places",
            at: { c in
                numbered(c).filter { i in
                    c.flowOf[i].flatMap { flow in c.dissection.flows[flow].packets.first { $0 > i } }.map { $0 < c.packets.count } ?? false
                }
            }
        ) { c, i, _ in
            guard let next = c.flowOf[i].flatMap({ flow in c.dissection.flows[flow].packets.first { $0 > i } }),
                c.packets[next].packet.payload != c.packets[i].packet.payload
            else { return nil }
            return swapping(c, i, next)
        },
        Alteration(
            "udx: an answer comes first", ["udx.beginning"],
            at: { c in
                c.dissection.beganMidway
                    ? []
                    : c.dissection.flows.compactMap { flow in
                        flow.reverse.flatMap { c.dissection.flows[$0].packets.first }.map { $0 > (flow.packets.first ?? .max) } ?? false
                            && !UDXRules.isRelayed(c, flow) ? flow.packets.first : nil
                    }
            }
        ) { c, i, _ in
            guard var packet = UDXRules.message(c, i) else { return nil }
            packet.header.type = []
            packet.payload = []
            var result = packets(c)
            result.insert(c.packets[i].packet.with(payload: packet.encoded), at: i)
            return result
        },
        Alteration(
            "udx: sent again before it can be lost", ["udx.timeout"],
            at: { c in
                c.dissection.flows.filter { $0.retransmissions == 0 && !UDXRules.isRelayed(c, $0) && $0.reverse != nil }.flatMap { flow in
                    flow.packets.filter { i in
                        UDXRules.message(c, i).map { UDXRules.isNumbered($0) && $0.header.seq.advanced(by: 8).isBefore(flow.nextSeq) }
                            ?? false
                    }
                }
            }
        ) { c, i, _ in
            guard let flow = c.flowOf[i].map({ c.dissection.flows[$0] }) else { return nil }
            // Right after the packet three further on, and before any of them was acknowledged.
            guard let later = flow.packets.filter({ $0 > i }).dropFirst(2).first else { return nil }
            return moving(
                c, i, by: c.packets[later].packet.timeNanoseconds - c.packets[i].packet.timeNanoseconds, keepsOriginal: true)
        },
        Alteration(
            "udx: data waits although the window is open", ["udx.window-open"],
            at: { c in
                c.dissection.flows.flatMap { flow -> [Int] in
                    guard let other = flow.reverse.map({ c.dissection.flows[$0] }) else { return [] }
                    return other.packets.enumerated().compactMap { position, i in
                        guard position > 0, let now = UDXRules.message(c, i), now.header.window > 0,
                            let before = UDXRules.message(c, other.packets[position - 1]), before.header.window == 0
                        else { return nil }
                        return i
                    }
                }
            }
        ) { c, i, _ in
            let start = c.packets[i].packet.timeNanoseconds
            return packets(c).map { $0.timeNanoseconds > start ? $0.with(timeNanoseconds: $0.timeNanoseconds + 900_000_000) : $0 }
        },
        Alteration("udx: HEARTBEAT beside unacknowledged data", ["udx.keepalive"], at: { numbered($0).filter { i in true } }) { c, i, _ in
            guard var packet = UDXRules.message(c, i), let flow = c.flowOf[i], c.dissection.flows[flow].reverse != nil,
                !UDXRules.isRelayed(c, c.dissection.flows[flow])
            else { return nil }
            packet.header.type = .heartbeat
            packet.header.seq = packet.header.seq.advanced(by: 1)
            packet.payload = []
            var result = packets(c)
            result.insert(
                c.packets[i].packet.with(timeNanoseconds: c.packets[i].packet.timeNanoseconds + 1000, payload: packet.encoded), at: i + 1)
            return result
        },
        Alteration("udx: HEARTBEATs stop for a while", ["udx.keepalive"], at: { c in streamPackets(c) { $1.header.type == .heartbeat } }) {
            c, i, _ in
            let start = c.packets[i].packet.timeNanoseconds
            let isIdle = c.dissection.flows.contains { flow in
                flow.packets.filter { UDXRules.message(c, $0)?.header.type == .heartbeat }.count >= 4 && flow.packets.contains(i)
                    && flow.packets.first(where: { $0 < i && c.packets[$0].packet.timeNanoseconds > start - 600_000_000 }).map {
                        UDXRules.message(c, $0)?.header.type == .heartbeat
                    } ?? false
            }
            guard isIdle else { return nil }
            return packets(c).enumerated().map {
                $0.offset >= i ? $0.element.with(timeNanoseconds: $0.element.timeNanoseconds + 3_000_000_000) : $0.element
            }
        },
        Alteration(
            "udx: a hole is filled after a timeout only", ["udx.repair"],
            at: { c in
                c.dissection.flows.flatMap { flow in flow.packets.filter { c.packets[$0].retransmissionOf != nil } }
            }
        ) { c, i, _ in
            let start = c.packets[i].packet.timeNanoseconds
            return packets(c).enumerated().map {
                $0.offset >= i ? $0.element.with(timeNanoseconds: $0.element.timeNanoseconds + 1_100_000_000 + (start - start)) : $0.element
            }
        },
        Alteration(
            "udx: a message is missing", ["udx.message"],
            at: { c in
                c.streamCalls.isEmpty || c.streamCalls.allSatisfy { $0.value.messages.isEmpty }
                    ? [] : streamPackets(c) { $1.header.type == .message }
            }
        ) { c, i, _ in dropping(c, i) },
    ]
}
