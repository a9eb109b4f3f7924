import CompactEncoding
import Dissection
import HyperCrypto
import PacketCapture
import SansIO
import StrictJSON
import UDX

/// How streams begin, pause, move and end. UDX-31, 55, 57, 58, 62, 65, 69, 71, 72.
extension UDXRules {
    /// Nothing leaves on connect alone: a conversation begins with something that carries.
    static func beginnings(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow?, _ report: inout TraceReport) {
        guard !flow.beganEarlier, !context.dissection.beganMidway, !isRelayed(context, flow), let first = flow.packets.first,
            reverse?.packets.first.map({ first < $0 }) ?? true, let packet = message(context, first)
        else { return }
        report.check(
            "udx.beginning", !isBareAnswer(packet), context.number(first), "udx.type", 2, "a stream begins with \(packet.header.type)")
    }

    /// Packets of a stream come from sockets that do more than send one of them.
    static func paths(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        guard flow.packets.count >= 3 else { return }
        for index in flow.packets {
            let source = context.packets[index].packet.source
            report.check(
                "udx.path", source == flow.from || context.socketUses[source] ?? 0 > 1, context.number(index), "udp.source", nil,
                "a packet of the stream comes from \(source), where nothing else comes from or goes to")
        }
    }

    /// Once a side has read the other's END and knows its own to have arrived, it sends nothing but acknowledgements.
    static func endings(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard let end = flow.endSeq, let otherEnd = reverse.endSeq else { return }
        var next = 0
        var closedAt: Int64?
        var isOver = false
        var hasSeenEnd = false
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]) {
                    if packet.header.type.contains(.end) { hasSeenEnd = true }
                    if packet.header.ack.isAfter(end) { isOver = true }
                }
                next += 1
            }
            guard let packet = message(context, index) else { continue }
            if let closedAt {
                let isLate = time(context, index) - closedAt > 30_000_000
                report.check(
                    "udx.closed", isBareAnswer(packet) || isNumbered(packet) && context.packets[index].retransmissionOf != nil || !isLate,
                    context.number(index), "udx.type", 2, "\(packet.header.type) after both sides had ended")
            } else if isOver, hasSeenEnd, packet.header.ack.isAfter(otherEnd) {
                closedAt = time(context, index)
                report.count("udx.closed", 1)
            }
        }
    }

    /// A side that was told DESTROY sends nothing any more, but for what crosses it.
    static func destroyed(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard let index = flow.destroyed, let packet = message(context, index) else { return }
        let socket = context.packets[index].packet.destination
        var expected: SequenceNumber?
        for other in flow.packets where other < index {
            guard let earlier = message(context, other), isNumbered(earlier) else { continue }
            let following = earlier.header.seq.advanced(by: 1)
            if expected.map({ following.isAfter($0) }) ?? true { expected = following }
        }
        report.check(
            "udx.reset", packet.header.seq == expected ?? packet.header.seq, context.number(index), "udx.seq", 12,
            "DESTROY with seq \(packet.header.seq), where \(expected?.description ?? "none") is next")
        for other in reverse.packets where other > index {
            let counted = context.sendings.active(socket, from: time(context, index), to: time(context, other))
            report.check(
                "udx.reset", counted <= 30_000_000 || (message(context, other)?.header.type.contains(.destroy) ?? false),
                context.number(other), "udx.type", 2, "a packet of a stream that was told DESTROY in packet \(context.number(index))")
        }
    }

    /// A window that opens again lets waiting data go at once.
    static func reopenings(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        guard reverse.packets.contains(where: { message(context, $0)?.header.window == 0 }) else { return }
        var isClosed = false
        var hasProbed = false
        var next = 0
        for index in reverse.packets {
            guard let packet = message(context, index) else { continue }
            while next < flow.packets.count, flow.packets[next] < index {
                if isClosed, message(context, flow.packets[next])?.header.type.contains(.heartbeat) ?? false { hasProbed = true }
                next += 1
            }
            let opens = isClosed && packet.header.window > 0
            if packet.header.window == 0 {
                isClosed = true
            } else if opens {
                isClosed = false
                // That probes were sent says that something waits.
                if hasProbed {
                    let following = flow.packets[next...].first { message(context, $0).map { !isBareAnswer($0) } ?? false }
                    let delay = following.map { time(context, $0) - time(context, index) }
                    let isData = following.flatMap { message(context, $0) }.map(isNumbered) ?? false
                    report.check(
                        "udx.window-open", isData && (delay ?? 0) < 500_000_000, context.number(following ?? index), "udx.type", 2,
                        "data that waits for a window leaves when the window opens, not \(delay.map { "\($0 / 1_000_000) ms later" } ?? "never")"
                    )
                }
                hasProbed = false
            }
        }
    }

    /// HEARTBEAT carries the next number, never stands beside unacknowledged data, and comes at a steady pace. UDX-71.
    static func heartbeats(_ context: TraceContext, _ flow: UDXFlow, _ reverse: UDXFlow, _ report: inout TraceReport) {
        var next = 0
        var sent: SequenceNumber?
        var acknowledged: SequenceNumber?
        var isClosed = false
        var lastTime: Int64 = 0
        var last: (index: Int, time: Int64)?
        var gaps: [(index: Int, gap: Int64)] = []
        for index in flow.packets {
            while next < reverse.packets.count, reverse.packets[next] < index {
                if let packet = message(context, reverse.packets[next]) {
                    if acknowledged.map({ packet.header.ack.isAfter($0) }) ?? true { acknowledged = packet.header.ack }
                    isClosed = packet.header.window == 0
                }
                next += 1
            }
            guard let packet = message(context, index) else { continue }
            if isNumbered(packet), sent.map({ packet.header.seq.advanced(by: 1).isAfter($0) }) ?? true {
                sent = packet.header.seq.advanced(by: 1)
            }
            defer { lastTime = time(context, index) }
            guard packet.header.type.contains(.heartbeat) else {
                if !isBareAnswer(packet) { last = nil }
                continue
            }
            guard !isClosed else { continue }
            let before = max(lastTime, next > 0 ? time(context, reverse.packets[next - 1]) : 0)
            report.check(
                "udx.keepalive", before == 0 || time(context, index) - before > 2_000_000, context.number(index), "udx.type", 2,
                "a HEARTBEAT although something was sent \((time(context, index) - before) / 1000) µs before")
            report.check(
                "udx.keepalive", sent == nil || acknowledged.map { !$0.isBefore(sent ?? $0) } ?? false, context.number(index), "udx.type",
                2,
                "a HEARTBEAT while data is unacknowledged")
            if let last { gaps.append((index, time(context, index) - last.time)) }
            last = (index, time(context, index))
        }
        guard gaps.count >= 3 else { return }
        let middle = gaps.map(\.gap).sorted()[gaps.count / 2]
        for item in gaps {
            // A process that is held up is late once, and early afterwards.
            report.check(
                "udx.keepalive", item.gap > middle / 2 && item.gap < middle * 3, context.number(item.index), "udx.type", 2,
                "a HEARTBEAT \(item.gap / 1_000_000) ms after the last, where \(middle / 1_000_000) ms are usual")
        }
    }

    /// Messages go out as the application gave them; what is written arrives in the stream's bytes, as often and as long as it was written.
    static func recordedCalls(_ context: TraceContext, _ flow: UDXFlow, _ report: inout TraceReport) {
        guard !context.isCut, let calls = context.streamCalls[flow.streamID.rawValue], flow.relayedFrom == nil,
            !context.dissection.beganMidway
        else {
            return
        }
        if !calls.messages.isEmpty {
            for (position, item) in flow.messages.enumerated() {
                let bytes = Array(context.packets[item.packet].packet.payload[item.range])
                report.check(
                    "udx.message", calls.messages.indices.contains(position) && calls.messages[position] == bytes,
                    context.number(item.packet), "udx.payload", 20, "not the message number \(position + 1) that was sent")
            }
            report.check(
                "udx.message", calls.messages.count <= flow.messages.count, flow.packets.first.map { context.number($0) } ?? 0, "udx.type",
                nil, "\(calls.messages.count) messages were sent, \(flow.messages.count) left")
        }
        guard flow.gap == nil, !isRelayed(context, flow) else { return }
        let isCut = flow.destroyed != nil || flow.reverse.map { context.dissection.flows[$0].destroyed != nil } ?? false
        // A packet that is not full ends where a write ends.
        let last = flow.chunks.last.map { $0.count } ?? 0
        var position = 0
        for write in calls.writes {
            let end = position + write.count
            if end > flow.bytes.count, isCut {
                report.check(
                    "udx.written", position == flow.bytes.count || last >= 1132, flow.chunks.last.map { context.number($0.packet) } ?? 0,
                    "udx.payload", nil, "the stream's last packet ends inside of what was written")
                return
            }
            guard end <= flow.bytes.count else {
                report.check(
                    "udx.written", !flow.packets.isEmpty && flow.endSeq == nil, flow.packets.last.map { context.number($0) } ?? 0,
                    "udx.payload", nil, "\(write.count) bytes were written at \(position), the stream has \(flow.bytes.count)")
                return
            }
            let bytes = Array(flow.bytes[position..<end])
            let packet = flow.packet(at: position).map { context.number($0.packet) } ?? 0
            report.check(
                "udx.written", write.matches(bytes), packet, "udx.payload", nil,
                "the bytes at \(position) are not those that were written")
            position = end
        }
        if let ended = calls.ended, !isCut, flow.endSeq == nil, let last = context.packets.last?.packet.timeNanoseconds {
            report.check(
                "udx.written", last - ended < 100_000_000 && flow.reverse.map { context.dissection.flows[$0].endSeq == nil } ?? true,
                flow.packets.last.map { context.number($0) } ?? 0, "udx.type", nil, "the stream was ended, and no END left")
        }
        if flow.endSeq != nil {
            report.check(
                "udx.written", position == flow.bytes.count, flow.packets.last.map { context.number($0) } ?? 0, "udx.payload", nil,
                "\(position) bytes were written, the stream has \(flow.bytes.count)")
        }
    }
}

/// What the recorded calls put into one stream.
struct StreamCalls {
    struct Write {
        let count: Int
        let bytes: [UInt8]?
        let digest: String?

        func matches(_ other: [UInt8]) -> Bool {
            if let bytes { return bytes == other }
            return digest.map { SHA256.hash(other).description == $0 } ?? true
        }
    }

    var writes: [Write] = []
    var messages: [[UInt8]] = []
    var remoteID: UInt32?
    /// When it was connected, in nanoseconds.
    var connected: Int64?
    /// When its end was asked for.
    var ended: Int64?

    /// By the id that the other side receives under.
    static func gather(_ bundle: TraceBundle) -> [UInt32: StreamCalls] {
        var byLocal: [Int64: StreamCalls] = [:]
        let isPlain = bundle.manifest?.peers.contains { $0.streamID != nil } ?? false
        for input in bundle.inputs {
            guard case .call("UDXStream", let id, let method, let arguments) = input.kind, let local = id["localId"]?.integer else {
                continue
            }
            var calls = byLocal[local] ?? StreamCalls()
            switch method {
            case "connect":
                calls.connected = calls.connected ?? input.time.microseconds * 1000
                calls.remoteID = arguments.dropFirst().first?.integer.flatMap { UInt32(exactly: $0) }
            case "send": calls.messages.append(arguments.first?.string.flatMap { Hex.decode($0) } ?? [])
            case "write":
                if let text = arguments.first?.string {
                    let bytes = isPlain ? Array(text.utf8) : Hex.decode(text) ?? []
                    calls.writes.append(Write(count: bytes.count, bytes: bytes, digest: nil))
                } else {
                    calls.writes.append(
                        Write(
                            count: Int(clamping: arguments.first?["bytes"]?.integer ?? 0), bytes: nil,
                            digest: arguments.first?["sha256"]?.string))
                }
            case "end": calls.ended = input.time.microseconds * 1000
            default: break
            }
            byLocal[local] = calls
        }
        var result: [UInt32: StreamCalls] = [:]
        for local in byLocal.keys.sorted() { if let calls = byLocal[local], let remote = calls.remoteID { result[remote] = calls } }
        return result
    }
}
