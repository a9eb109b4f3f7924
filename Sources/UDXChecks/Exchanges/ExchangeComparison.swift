import CompactEncoding
import Conformance
import SansIO

/// Holds what one side sent and saw against a golden exchange, wherever it comes from: our stream under the virtual clock, or a peer's over real UDP.
package final class ExchangeComparison {
    package struct Sent {
        let at: Instant
        let payload: [UInt8]
        /// The endpoint of a place, as the script names it.
        let place: String
        let socket: String

        package init(at: Instant, payload: [UInt8], place: String, socket: String) {
            self.at = at
            self.payload = payload
            self.place = place
            self.socket = socket
        }
    }

    /// How far real time may be off, and whether the reference's own packet passes where ours must or may send another.
    package struct Timing: Sendable {
        package var early: Int64
        package var late: Int64
        package var takesRecorded: Bool
        var isReal: Bool

        /// A peer behind real sockets.
        package static func real(early: Int64, late: Int64, takesRecorded: Bool) -> Timing {
            Timing(early: early, late: late, takesRecorded: takesRecorded, isReal: true)
        }

        package static let virtual = Timing(early: 0, late: 0, takesRecorded: false, isReal: false)
    }

    private enum Seen: Hashable {
        case read([UInt8])
        case other(kind: String, value: String, partner: Bool)
    }

    private let script: ExchangeCase
    private let exam: Examination
    private let timing: Timing
    private var tolerance: ExchangeTolerance
    /// When the first step after the last receive or wait happened.
    package var origin: Instant
    /// How much later than that the application's last call was over, in milliseconds.
    package var lag: Int64 = 0
    package var sent: [Sent] = []
    /// Every packet that was compared.
    private var said: Set<[UInt8]> = []
    private var seen: [Seen] = []
    package var hasFinished = false
    /// An ACK that announces a reopened window may stand among the next packets.
    package var windowReopened = false
    /// How many answers of the lingering stream must follow the next packets; and datagrams that libudx handed over instead.
    private var lateArrivals = 0
    private var swallowed: [[UInt8]] = []

    package init(_ script: ExchangeCase, _ exam: Examination, origin: Instant, timing: Timing = .virtual) {
        self.script = script
        self.exam = exam
        self.timing = timing
        self.origin = origin
        tolerance = ExchangeTolerance(script.setup)
    }

    // MARK: What happens

    /// The application called, and was not refused.
    package func called(_ call: ExchangeCase.Call) {
        if ["write", "writeAndEnd"].contains(call.name) { tolerance.written += call.payload }
        if call.name == "heldBytes" { tolerance.heldBytes = call.bytes }
        if call.name == "maximumReceiveSize" { tolerance.maximumReceiveSize = call.bytes }
        if ["end", "writeAndEnd"].contains(call.name) { tolerance.hasEnded = true }
    }

    package func testerSent(_ datagram: [UInt8]) {
        tolerance.testerSent(datagram)
        if hasFinished && tolerance.isAnsweredLate(datagram) {
            lateArrivals += 1
            swallowed.append(datagram)
        }
    }

    package func read(_ bytes: [UInt8]) {
        let last = timing.isReal ? seen.lastIndex { lane($0) == "stream" } : seen.indices.last
        if let last, case .read(let before) = seen[last] { seen[last] = .read(before + bytes) } else { seen.append(.read(bytes)) }
    }

    package func saw(_ kind: String, _ value: String, partner: Bool = false) {
        seen.append(.other(kind: kind, value: value, partner: partner))
    }

    /// What a real peer tells of messages and datagrams comes another way than what it tells of the stream: each way keeps its own order only.
    private func lane(_ seen: Seen) -> String {
        switch seen {
        case .read: "stream"
        case .other(let kind, _, let partner): ["message", "datagram"].contains(kind) ? kind : partner ? "partner" : "stream"
        }
    }

    /// Where the next event of the lane of `wanted` stands.
    private func next(_ wanted: Seen) -> Int? {
        timing.isReal ? seen.firstIndex { lane($0) == lane(wanted) } : seen.indices.first
    }

    /// Whether an event of this kind waits to be compared, or so many bytes.
    package func hasSeen(_ kind: String, bytes: Int = 0) -> Bool {
        if kind == "read" {
            if let index = next(.read([])), case .read(let found) = seen[index] { return found.count >= bytes }
            return bytes == 0
        }
        return seen.contains { if case .other(kind, _, _) = $0 { true } else { false } }
    }

    /// All steps are done: nothing may be left.
    package func finish() {
        for left in seen where left != .read([]) { exam.report("events", expected: "no more", actual: describe(left)) }
        exam.count(1)
    }

    // MARK: Comparing

    package func compare(_ expected: [ExchangeCase.Expected], _ node: VectorNode) {
        var actual = (timing.isReal ? ordered(sent, as: expected) : sent)[...]
        sent = []
        for wanted in expected {
            var (bytes, reasons) = tolerance.adjust(wanted.bytes)
            if timing.isReal && !timing.takesRecorded { bytes = tolerance.withHeldBlocks(bytes) }
            skipReopening(&actual, before: bytes)
            if let first = actual.first?.payload, let whole = tolerance.withAllBlocks(bytes, as: first) {
                bytes = whole
                reasons.append(ExchangeTolerance.holes)
            } else if let first = actual.first?.payload, let probe = tolerance.asDataProbe(bytes, as: first) {
                bytes = probe
                tolerance.dataProbeSent(probe)
                reasons.append(ExchangeTolerance.dataProbe)
            } else if timing.takesRecorded, let first = actual.first?.payload, let recut = tolerance.recut(bytes, as: first) {
                bytes = recut
                reasons.append(ExchangeTolerance.firstWhole)
            }
            guard let got = actual.popFirst() else {
                exam.report(wanted.node.path, expected: RawPacket.describe(bytes), actual: "silence")
                wanted.packet.compare(.null)
                continue
            }
            var payload = mask(got.payload, wanted)
            if timing.takesRecorded, RawPacket(bytes)?.dataOffset == 0, let plain = ExchangeTolerance.withoutPadding(payload) {
                payload = plain
                reasons.append(ExchangeTolerance.padded)
            }
            let isRecorded = timing.takesRecorded && !reasons.isEmpty && payload == mask(wanted.bytes, wanted)
            let isStale = isStaleRepetition(payload, of: mask(bytes, wanted))
            let isRight = isRecorded || isStale || payload == mask(bytes, wanted)
            if isStale { exam.allow("UDX-49: a retransmission repeats the old ack and window; judged by UDX-49's own checks") }
            said.insert(got.payload)
            if !isRecorded { for reason in reasons { exam.allow(reason) } }
            if isRight {
                wanted.packet.compare(wanted.packet.json)
            } else {
                wanted.packet.compare(.string(Hex.encode(payload)))
                exam.bytes("\(wanted.node.path) \(RawPacket.describe(payload)) for \(RawPacket.describe(bytes))", payload, bytes)
            }
            let after = (got.at - origin).milliseconds
            exam.require(
                "\(wanted.node.path).afterMilliseconds",
                (wanted.earliest - timing.early...max(wanted.earliest, wanted.latest) + timing.late + lag).contains(after),
                "\(after) ms")
            wanted.after.compare(wanted.after.json)
            exam.equal("\(wanted.node.path).at", got.place, wanted.place.endpoint.description)
            exam.equal("\(wanted.node.path).from", got.socket, wanted.socket.id.description)
        }
        skipReopening(&actual, before: nil)
        takeLateAnswers(&actual, node)
        for extra in actual {
            exam.report(
                "\(node.path).receive[\(expected.count)]", expected: "silence",
                actual: "\(RawPacket.describe(extra.payload)) after \((extra.at - origin).milliseconds) ms")
        }
        exam.count(1)
        windowReopened = false
    }

    /// Takes out the ACK that announces a reopened window: libudx does not send it.
    private func skipReopening(_ actual: inout ArraySlice<Sent>, before next: [UInt8]?) {
        guard windowReopened, let first = actual.first?.payload, first != next, let packet = RawPacket(first) else { return }
        guard packet.type & ~RawPacket.sack == 0, packet.window >= 2904 else { return }
        exam.allow(ExchangeTolerance.reopened)
        windowReopened = false
        actual.removeFirst()
    }

    /// Takes out the answers of the lingering stream: libudx gives none.
    private func takeLateAnswers(_ actual: inout ArraySlice<Sent>, _ node: VectorNode) {
        guard let answer = tolerance.lingeringAnswer else { return lateArrivals = 0 }
        while lateArrivals > 0 && actual.first?.payload == answer {
            exam.allow(ExchangeTolerance.linger)
            actual.removeFirst()
            lateArrivals -= 1
        }
        for _ in 0..<(timing.takesRecorded ? 0 : lateArrivals) {
            exam.report(node.path, expected: RawPacket.describe(answer), actual: "silence")
        }
        lateArrivals = 0
    }

    /// Over real sockets the order between two places is not known: each keeps its own.
    private func ordered(_ sent: [Sent], as expected: [ExchangeCase.Expected]) -> [Sent] {
        var left = sent
        var result: [Sent] = []
        for wanted in expected {
            guard let index = left.firstIndex(where: { $0.place == wanted.place.endpoint.description }) else { continue }
            result.append(left.remove(at: index))
        }
        return result + left
    }

    /// A real peer that repeats a packet as it stood, where the recorded one carries a newer ack or window.
    private func isStaleRepetition(_ payload: [UInt8], of wanted: [UInt8]) -> Bool {
        guard timing.takesRecorded, !script.requirements.contains("UDX-49"), payload != wanted, said.contains(payload),
            var packet = RawPacket(payload), let right = RawPacket(wanted), packet.has(RawPacket.data | RawPacket.end)
        else { return false }
        packet.ack = right.ack
        packet.window = right.window
        return packet.bytes == wanted
    }

    /// Fields that differed between the reference's own runs are not compared.
    private func mask(_ bytes: [UInt8], _ wanted: ExchangeCase.Expected) -> [UInt8] {
        let fields = ["type": 2..<3, "dataOffset": 3..<4, "streamId": 4..<8, "window": 8..<12, "seq": 12..<16, "ack": 16..<20]
        var result = bytes
        for name in wanted.volatile {
            if let range = fields[name], range.upperBound <= result.count {
                result.replaceSubrange(range, with: repeatElement(0, count: range.count))
            } else if ["sacks", "payload"].contains(name) {
                result = Array(result.prefix(20))
            } else {
                exam.report("\(wanted.node.path).volatile", expected: "a field's name", actual: name)
            }
        }
        return result
    }

    package func compareEvent(_ node: VectorNode, _ kind: String, _ stream: String?) throws {
        if kind == "read" {
            let bytes = try node.bytes()
            guard !bytes.isEmpty else { return node.compare(node.json) }
            guard let index = next(.read([])), case .read(let found) = seen[index] else {
                return node.compare(.string(seen.first.map(describe) ?? "nothing"))
            }
            node.expect(Array(found.prefix(bytes.count)))
            let rest = Array(found.dropFirst(bytes.count))
            if rest.isEmpty { seen.remove(at: index) } else { seen[index] = .read(rest) }
            return
        }
        let value = node.json.string ?? (node.json.bool == true ? "true" : node.json.text())
        let wanted = Seen.other(kind: kind, value: value, partner: stream == "partner")
        let index = next(wanted)
        if let index, seen[index] == wanted {
            seen.remove(at: index)
            node.compare(node.json)
        } else if kind == "datagram", let bytes = Hex.decode(value), let index = swallowed.firstIndex(of: bytes) {
            // Ours answered it instead; that was compared above.
            swallowed.remove(at: index)
            node.compare(node.json)
        } else if let index,
            value == "ETIMEDOUT" && script.mayDiffer?.contains("MAY be a normal close") == true
                && seen[index] == .other(kind: "closed", value: "ok", partner: false)
        {
            exam.allow(ExchangeTolerance.normalClose)
            seen.remove(at: index)
            node.compare(node.json)
        } else if timing.isReal && kind == "closed" && stream == "partner" && index == nil {
            exam.allow("libudx up to udx-native 1.20.7 closes the other leg of a relay without telling its owner")
            node.compare(node.json)
        } else {
            node.compare(.string(index.map { describe(seen[$0]) } ?? "nothing"))
        }
    }

    private func describe(_ seen: Seen) -> String {
        switch seen {
        case .read(let bytes): "read \(bytes.count) bytes \(Hex.encode(Array(bytes.prefix(32))))"
        case .other(let kind, let value, let partner): "\(kind) \(value)\(partner ? " of the partner" : "")"
        }
    }
}
