import CompactEncoding
import Conformance
import DHTRPC
import PacketCapture
import SansIO

/// What our node sent in a recorded node's place, beside what that node sent.
struct NodeComparison {
    let replay: NodeReplay
    /// Each allowance is listed once a bundle.
    private var allowed: Set<String>

    init(_ replay: NodeReplay, allowed: Set<String>) {
        self.replay = replay
        self.allowed = allowed
    }

    private struct Flow: Hashable {
        let port: UInt16
        let destination: Endpoint
    }

    /// Returns the allowances that are listed by now.
    mutating func run(_ exam: Examination) -> Set<String> {
        let name = replay.view.peer.name
        var order: [Flow] = []
        var theirs: [Flow: [CapturedPacket]] = [:]
        let claimed = replay.claimedPorts
        for packet in replay.view.packets
        where packet.source.address == replay.view.host && (replay.isAloneOnHost || claimed.contains(packet.source.port))
            && !Exchange.isStreamPacket(packet.payload)
        {
            let flow = Flow(port: packet.source.port, destination: packet.destination)
            if theirs[flow] == nil { order.append(flow) }
            theirs[flow, default: []].append(packet)
        }
        var ours: [Flow: [NodeReplay.Sent]] = [:]
        for item in replay.sent where !Exchange.isStreamPacket(item.payload) {
            guard let port = replay.ports[item.socket] else {
                exam.report(
                    "\(name) to \(item.destination)", expected: "nothing from a further socket", actual: NodeComparison.text(item.payload))
                continue
            }
            let flow = Flow(port: port, destination: item.destination)
            if ours[flow] == nil, theirs[flow] == nil { order.append(flow) }
            ours[flow, default: []].append(item)
        }
        if replay.keepsPace { allow(NodeReplay.paceRule, exam) }
        for flow in order { compare(name, flow, theirs[flow] ?? [], ours[flow] ?? [], exam) }
        return allowed
    }

    private mutating func allow(_ what: String, _ exam: Examination) { if allowed.insert(what).inserted { exam.allow(what) } }

    private mutating func compare(_ name: String, _ flow: Flow, _ theirs: [CapturedPacket], _ ours: [NodeReplay.Sent], _ exam: Examination)
    {
        let place = "\(name):\(flow.port) to \(flow.destination)"
        let differences = NodeDifferences(replay.view, replay.tokenSecrets)
        if theirs.count != ours.count {
            let extra =
                ours.count > theirs.count
                ? "ours also sent \(NodeComparison.text(ours[theirs.count].payload))"
                : "ours did not send packet \(theirs[ours.count].number), \(NodeComparison.text(theirs[ours.count].payload))"
            exam.report("\(place): datagrams", expected: "\(theirs.count)", actual: "\(ours.count); \(extra)")
        } else {
            exam.count(1)
        }
        for (packet, mine) in zip(theirs, ours) {
            exam.at("packet \(packet.number), \(place)") {
                if mine.payload == packet.payload {
                    exam.count(1)
                } else if let allowance = differences.allowance(mine.payload, packet.payload, before: packet.number) {
                    exam.count(1)
                    allow(allowance, exam)
                } else {
                    exam.report(
                        NodeComparison.difference(mine.payload, packet.payload), expected: NodeComparison.text(packet.payload),
                        actual: NodeComparison.text(mine.payload))
                }
                exam.equal("time to live", mine.timeToLive == 0 ? 64 : mine.timeToLive, packet.timeToLive)
                compareTime(packet.time, mine.at, exam)
            }
        }
    }

    /// The recorded process may have been held up: time in which nothing at all left its host does not count.
    private mutating func compareTime(_ theirs: Instant, _ ours: Instant, _ exam: Examination) {
        let delay = theirs - ours
        var allowed = NodeReplay.tolerance
        if delay > allowed {
            let stalled = replay.stalled(from: ours, to: theirs)
            allowed = allowed + stalled
            if delay <= allowed { allow(NodeReplay.stallRule, exam) }
        }
        exam.require(
            "time", delay <= allowed && delay.microseconds >= -NodeReplay.tolerance.microseconds,
            "\(delay.microseconds) µs from the recorded time")
    }

    /// The first field that differs.
    private static func difference(_ ours: [UInt8], _ theirs: [UInt8]) -> String {
        if let a = try? Request(decoding: ours), let b = try? Request(decoding: theirs) {
            let fields: [(String, Bool)] = [
                ("tid", a.tid == b.tid), ("to", a.to == b.to), ("id", a.id == b.id), ("token", a.token == b.token),
                ("command", a.command == b.command && a.isInternal == b.isInternal), ("target", a.target == b.target),
                ("value", a.value == b.value),
            ]
            return fields.first { !$0.1 }?.0 ?? "datagram"
        }
        if let a = try? Response(decoding: ours), let b = try? Response(decoding: theirs) {
            let fields: [(String, Bool)] = [
                ("tid", a.tid == b.tid), ("to", a.to == b.to), ("id", a.id == b.id), ("token", a.token == b.token),
                ("closerNodes", a.closerNodes == b.closerNodes), ("error", a.error == b.error), ("value", a.value == b.value),
            ]
            return fields.first { !$0.1 }?.0 ?? "datagram"
        }
        return "datagram"
    }

    /// A datagram in a few words.
    static func text(_ payload: [UInt8]) -> String {
        if let request = try? Request(decoding: payload) {
            return
                "request tid \(request.tid), command \(request.isInternal ? "internal " : "")\(request.command), target \(request.target?.description.prefix(8) ?? "none"), \(Hex.encode(payload))"
        }
        if let response = try? Response(decoding: payload) {
            let nodes = response.closerNodes.map { "\($0.port)" }.joined(separator: " ")
            return "response tid \(response.tid), error \(response.error), closer nodes [\(nodes)], \(Hex.encode(payload))"
        }
        return Hex.encode(payload)
    }
}
