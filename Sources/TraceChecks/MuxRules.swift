import CompactEncoding
import Dissection
import Protomux
import SansIO

/// What Protomux's two sides say of their channels, message by message. protomux.md A4 to A7. MUX-2, 3, 4, 5, 7, 8, 25.
enum MuxRules {
    private struct Key: Hashable {
        let name: String
        let id: [UInt8]
    }

    private enum State {
        case opening, open, closed, rejected
    }

    private struct Channel {
        let key: Key
        var state = State.opening
        let packet: Int
        var closedAt: Int64?
        /// When the other side closed or rejected it.
        var endedByOther: Int64?
    }

    private struct Side {
        var channels: [UInt64: Channel] = [:]
    }

    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.isCut else { return }
        var groups: [[UInt8]: [SecretStreamTrace]] = [:]
        var order: [[UInt8]] = []
        for stream in context.dissection.secretStreams where stream.protomuxFrames > 0 {
            if groups[stream.handshakeHash] == nil { order.append(stream.handshakeHash) }
            groups[stream.handshakeHash, default: []].append(stream)
        }
        for hash in order {
            // A relayed stream has a leg on each side of the relay; both tell the same.
            let sides = [true, false].map { isInitiator in
                (groups[hash] ?? []).filter { $0.isFromInitiator == isInitiator }.max { $0.frames.count < $1.frames.count }
            }
            connection(context, sides, &report)
        }
    }

    private static func items(_ plaintext: [UInt8]) -> [MuxItem] {
        switch try? MuxMessage(decoding: plaintext) {
        case .single(let item): [item]
        case .batch(let items): items
        default: []
        }
    }

    private static func connection(_ context: TraceContext, _ streams: [SecretStreamTrace?], _ report: inout TraceReport) {
        var said: [(packet: Int, side: Int, item: MuxItem)] = []
        for (side, stream) in streams.enumerated() {
            for frame in stream?.frames ?? [] { for item in items(frame.plaintext) { said.append((frame.packet, side, item)) } }
        }
        // Stable: what one packet brings keeps its order.
        said = said.enumerated().sorted { ($0.element.packet, $0.offset) < ($1.element.packet, $1.offset) }.map(\.element)
        var sides = [Side(), Side()]
        for (packet, side, item) in said {
            let number = context.number(packet)
            let now = UDXRules.time(context, packet)
            let other = 1 - side
            switch item {
            case .open(let open):
                let key = Key(name: open.protocolName, id: open.channelID)
                let isUsed =
                    sides[side].channels[open.localID].map { $0.state == .opening || $0.state == .open && $0.endedByOther == nil } ?? false
                report.check("protomux.open", open.localID > 0, number, "protomux.localID", nil, "an open with id 0")
                report.check("protomux.open", !isUsed, number, "protomux.localID", nil, "an open with id \(open.localID), which is in use")
                var channel = Channel(key: key, packet: packet)
                if let match = oldestOpening(sides[other], key) {
                    channel.state = .open
                    sides[other].channels[match]?.state = .open
                }
                sides[side].channels[open.localID] = channel
            case .data(let id, _, _):
                let channel = sides[side].channels[id]
                report.check(
                    "protomux.channel", channel != nil && channel?.closedAt == nil, number, "protomux.channel", nil,
                    channel == nil ? "data on channel \(id), which was never opened" : "data on channel \(id) after its close")
                // What was under way when the other side closed or rejected is ignored there.
                let ended = channel?.endedByOther.map { now - $0 } ?? 0
                report.check(
                    "protomux.channel", ended < 1_000_000_000, number, "protomux.channel", nil,
                    "data on channel \(id), \(ended / 1_000_000) ms after the other side ended it")
            case .reject(let id):
                let channel = sides[other].channels[id]
                report.check(
                    "protomux.reject", channel?.state == .opening, number, "protomux.id", nil,
                    channel == nil
                        ? "a reject of id \(id), which the other side never opened" : "a reject of id \(id), which is open or closed")
                sides[other].channels[id]?.state = .rejected
                sides[other].channels[id]?.endedByOther = now
            case .close(let id):
                let channel = sides[side].channels[id]
                report.check(
                    "protomux.close", channel != nil && channel?.closedAt == nil && channel?.state != .rejected, number, "protomux.id", nil,
                    channel == nil ? "a close of id \(id), which was never opened" : "a second close of id \(id)")
                let ended = channel?.endedByOther.map { now - $0 } ?? 0
                report.check(
                    "protomux.close", ended < 50_000_000, number, "protomux.id", nil,
                    "a close of id \(id) \(ended / 1_000_000) ms after the other side closed it")
                guard let key = channel?.key, let name = channel.map({ _ in id }) else { continue }
                sides[side].channels[name]?.closedAt = now
                sides[side].channels[name]?.state = .closed
                if let match = sides[other].channels.filter({ $0.value.key == key && $0.value.state == .open }).keys.min() {
                    sides[other].channels[match]?.endedByOther = now
                }
            case .unknownControl(let type, _):
                report.check("protomux.control", false, number, "protomux.type", nil, "a control message of type \(type)")
            }
        }
        unanswered(context, streams, sides, &report)
    }

    private static func oldestOpening(_ side: Side, _ key: Key) -> UInt64? {
        side.channels.filter { $0.value.key == key && $0.value.state == .opening }.min {
            ($0.value.packet, $0.key) < ($1.value.packet, $1.key)
        }?.key
    }

    /// An open is answered by the other side's, or rejected.
    private static func unanswered(
        _ context: TraceContext, _ streams: [SecretStreamTrace?], _ sides: [Side], _ report: inout TraceReport
    ) {
        let flows = streams.compactMap { $0?.flow }.map { context.dissection.flows[$0] }
        // The connection lives until one side ends or destroys it.
        let ends = flows.compactMap { flow -> Int64? in
            let end = flow.destroyed ?? flow.packets.first { UDXRules.message(context, $0)?.header.type.contains(.end) ?? false }
            return end.map { UDXRules.time(context, $0) }
        }
        let last = min(ends.min() ?? .max, context.packets.last?.packet.timeNanoseconds ?? 0)
        for side in sides {
            for (id, channel) in side.channels.sorted(by: { $0.key < $1.key }) {
                report.check(
                    "protomux.answered", channel.state != .opening || last - UDXRules.time(context, channel.packet) < 1_000_000_000,
                    context.number(channel.packet), "protomux.localID", nil, "the open of id \(id) was neither answered nor rejected")
            }
        }
    }
}
