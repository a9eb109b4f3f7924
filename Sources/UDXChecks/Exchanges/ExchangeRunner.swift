import CompactEncoding
import Conformance
import SansIO
import StrictJSON
import UDX

/// Plays a golden exchange against our stream under the virtual clock: what the tester sent goes in, what ours sends is held against what libudx sent.
///
/// Compared: every byte of every packet (fields in `volatile` excepted), its order, place and socket, its time within the recorded range, silence where
/// libudx was silent, every event of the application and its order, refused calls. Adjusted where `ExchangeTolerance` says so.
final class ExchangeRunner {
    private struct Sent {
        let at: Instant
        let transmit: Transmit
    }

    private enum Seen: Hashable {
        case read([UInt8])
        case other(kind: String, value: String, partner: Bool)
    }

    private let exam: Examination
    private let script: ExchangeCase
    private let instance: UDXInstance
    private let local: StreamID
    private var now = Instant(microseconds: 5_000_000)
    /// When the first step after the last receive or wait happened.
    private var origin: Instant
    private var sent: [Sent] = []
    private var seen: [Seen] = []
    private var tolerance: ExchangeTolerance
    private var hasFinished = false
    /// An ACK that announces a reopened window may stand among the next packets.
    private var windowReopened = false
    /// Answers of the lingering stream that must stand among the next packets; and datagrams that libudx handed over instead.
    private var lingeringAnswers: [[UInt8]] = []
    private var swallowed: [[UInt8]] = []

    init(_ script: ExchangeCase, _ exam: Examination) throws {
        self.exam = exam
        self.script = script
        tolerance = ExchangeTolerance(script.setup)
        instance = UDXInstance(entropy: SeededEntropy(seed: exam.seed))
        local = StreamID(script.setup.localID)
        origin = now
        let setup = script.setup
        let firewall: FirewallRule
        switch setup.firewall {
        case nil: firewall = .none
        case "allow": firewall = .allow
        case "deny": firewall = .deny
        default: throw VectorNode.Mismatch(path: "setup.firewall", expected: "allow or deny", actual: setup.firewall ?? "")
        }
        try instance.createStream(
            id: local, initialSequence: SequenceNumber(setup.localSeq), remoteSequence: SequenceNumber(setup.remoteSeq), firewall: firewall,
            at: now)
        if setup.isConnected {
            try instance.connect(
                local, ExchangeCase.Sock.first.id, to: StreamID(setup.remoteID), at: ExchangeCase.Place.a.endpoint, now: now)
        }
        if let partner = setup.partner {
            let other = StreamID(partner.localID)
            try instance.createStream(id: other, at: now)
            try instance.connect(
                other, ExchangeCase.Sock.second.id, to: StreamID(partner.remoteID), at: partner.place.endpoint, now: now)
            try instance.relay(local, to: other)
            try instance.relay(other, to: local)
        }
    }

    func run() throws {
        for (node, step) in script.steps {
            switch step {
            case .application(let calls): try apply(calls, node)
            case .send(let datagrams, let times, let together, let from, let to):
                for _ in 0..<times { deliver(datagrams, together: together, from: from, to: to) }
            case .receive(let expected, let milliseconds):
                pass(milliseconds)
                compare(expected, node)
            case .wait(let milliseconds): pass(milliseconds)
            case .event(let node, let kind, let stream): try compareEvent(node, kind, stream)
            }
        }
        for left in seen where left != .read([]) { exam.report("events", expected: "no more", actual: describe(left)) }
        exam.count(1)
    }

    // MARK: Doing

    private func apply(_ calls: [ExchangeCase.Call], _ node: VectorNode) throws {
        for call in calls {
            let windowBefore = instance.statistics(of: local)?.ownWindow
            do {
                try perform(call)
                exam.equal("\(node.path).application.error", "none", call.error ?? "none")
                if ["write", "writeAndEnd"].contains(call.name) { tolerance.written += call.payload }
                if call.name == "heldBytes" { tolerance.heldBytes = call.bytes }
                if call.name == "maximumReceiveSize" { tolerance.maximumReceiveSize = call.bytes }
                if ["end", "writeAndEnd"].contains(call.name) { tolerance.hasEnded = true }
            } catch let error as UDXError {
                let names: [UDXError.Kind: String] = [
                    .notConnected: "ENOTCONN", .alreadyConnected: "EISCONN", .ended: "EPIPE", .invalidAddress: "EINVAL",
                ]
                exam.equal("\(node.path).application.error", names[error.kind] ?? "\(error)", call.error ?? "none")
            }
            if windowBefore == 0, let after = instance.statistics(of: local)?.ownWindow, after > 0 { windowReopened = true }
        }
        instance.endTurn(at: now)
        collect()
    }

    private func perform(_ call: ExchangeCase.Call) throws {
        switch call.name {
        case "write": try instance.write(local, call.payload, now: now)
        case "writeAndEnd": try instance.end(local, writing: call.payload, now: now)
        case "end": try instance.end(local, now: now)
        case "message": try instance.send(local, message: call.payload, now: now)
        case "destroy": try instance.destroy(local, now: now)
        case "connect":
            try instance.connect(local, ExchangeCase.Sock.first.id, to: StreamID(call.remoteID), at: call.place.endpoint, now: now)
        case "changeRemote":
            try instance.changeRemote(local, ExchangeCase.Sock.first.id, to: StreamID(call.remoteID), at: call.place.endpoint, now: now)
        case "keepalive": try instance.setKeepalive(local, milliseconds: call.milliseconds, now: now)
        case "heldBytes": try instance.setHeldBytes(local, call.bytes, now: now)
        default: try instance.setMaximumReceiveSize(local, UInt32(clamping: call.bytes), now: now)
        }
    }

    private func deliver(_ datagrams: [[UInt8]], together: Bool, from: ExchangeCase.Place, to: ExchangeCase.Sock) {
        for datagram in datagrams {
            tolerance.testerSent(datagram)
            if hasFinished, let answer = tolerance.lingeringAnswer(to: datagram) {
                lingeringAnswers.append(answer)
                swallowed.append(datagram)
            }
            let disposition = instance.receive(datagram, from: from.endpoint, on: to.id, at: now)
            if disposition == .notForStream {
                settle()
                seen.append(.other(kind: "datagram", value: Hex.encode(datagram), partner: false))
            }
            if !together {
                instance.endTurn(at: now)
                collect()
            }
        }
        instance.endTurn(at: now)
        collect()
    }

    /// Lets virtual time pass, from one wake-up to the next.
    private func pass(_ milliseconds: Int64) {
        origin = now
        let end = now + .milliseconds(milliseconds)
        var turns = 0
        while instance.nextWakeUp <= end {
            now = max(now, instance.nextWakeUp)
            instance.advance(to: now)
            collect()
            turns += 1
            guard turns < 100_000 else { return exam.report("time", expected: "to pass", actual: "the stream wakes up without end") }
        }
        now = end
        instance.advance(to: now)
        collect()
    }

    private func settle() {
        for event in instance.takeEvents() {
            let partner = event.stream != local
            switch event {
            case .data(_, let bytes):
                if case .read(let before) = seen.last { seen[seen.count - 1] = .read(before + bytes) } else { seen.append(.read(bytes)) }
            case .message(_, let bytes): seen.append(.other(kind: "message", value: Hex.encode(bytes), partner: partner))
            case .end: seen.append(.other(kind: "end", value: "true", partner: partner))
            case .closed(_, let reason):
                if reason == .finished && !partner { hasFinished = true }
                let value = reason == .reset ? "ECONNRESET" : reason == .timedOut ? "ETIMEDOUT" : "ok"
                seen.append(.other(kind: "closed", value: value, partner: partner))
            case .firewall(_, _, _, let allowed): seen.append(.other(kind: "firewall", value: allowed ? "allow" : "deny", partner: partner))
            case .remoteChanged: seen.append(.other(kind: "remoteChanged", value: "true", partner: partner))
            case .drained, .flushed, .connected: break
            }
        }
    }

    private func collect() {
        for transmit in instance.takeTransmits() { sent.append(Sent(at: now, transmit: transmit)) }
        settle()
    }

    // MARK: Comparing

    private func compare(_ expected: [ExchangeCase.Expected], _ node: VectorNode) {
        var actual = sent[...]
        sent = []
        for wanted in expected {
            let mayBeEarly = tolerance.isDelayedRepair(wanted.bytes)
            let (bytes, reasons) = tolerance.adjust(wanted.bytes)
            skipAdditions(&actual, before: bytes)
            guard let got = actual.popFirst() else {
                exam.report(wanted.node.path, expected: RawPacket.describe(bytes), actual: "silence")
                wanted.packet.compare(.null)
                continue
            }
            for reason in reasons { exam.allow(reason) }
            let payload = mask(got.transmit.payload, wanted)
            let isRight = payload == mask(bytes, wanted)
            if isRight {
                wanted.packet.compare(wanted.packet.json)
            } else {
                wanted.packet.compare(.string(Hex.encode(payload)))
                exam.bytes("\(wanted.node.path) \(RawPacket.describe(payload)) for \(RawPacket.describe(bytes))", payload, bytes)
            }
            let after = (got.at - origin).milliseconds
            let isEarly = mayBeEarly && after < wanted.earliest
            if isEarly { exam.allow(ExchangeTolerance.reordering) }
            exam.require(
                "\(wanted.node.path).afterMilliseconds", isEarly || (wanted.earliest...max(wanted.earliest, wanted.latest)).contains(after),
                "\(after) ms")
            wanted.after.compare(wanted.after.json)
            exam.equal("\(wanted.node.path).at", got.transmit.destination, wanted.place.endpoint)
            exam.equal("\(wanted.node.path).from", got.transmit.socket, wanted.socket.id)
        }
        skipAdditions(&actual, before: nil)
        for extra in actual {
            exam.report(
                "\(node.path).receive[\(expected.count)]", expected: "silence",
                actual: "\(RawPacket.describe(extra.transmit.payload)) after \((extra.at - origin).milliseconds) ms")
        }
        exam.count(1)
        for answer in lingeringAnswers { exam.report(node.path, expected: RawPacket.describe(answer), actual: "silence") }
        lingeringAnswers = []
        tolerance.stepEnded()
        windowReopened = false
    }

    /// Takes out packets of ours that libudx does not send and that a listed rule explains.
    private func skipAdditions(_ actual: inout ArraySlice<Sent>, before next: [UInt8]?) {
        while let first = actual.first?.transmit.payload, first != next {
            if let answer = lingeringAnswers.first, answer == first {
                exam.allow(ExchangeTolerance.linger)
                lingeringAnswers.removeFirst()
            } else if windowReopened, let packet = RawPacket(first), packet.type & ~RawPacket.sack == 0, packet.window >= 2904 {
                exam.allow(ExchangeTolerance.reopened)
                windowReopened = false
            } else {
                return
            }
            actual.removeFirst()
        }
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

    private func compareEvent(_ node: VectorNode, _ kind: String, _ stream: String?) throws {
        if kind == "read" {
            let bytes = try node.bytes()
            guard !bytes.isEmpty else { return node.compare(node.json) }
            guard case .read(let found) = seen.first else {
                return node.compare(.string(seen.first.map(describe) ?? "nothing"))
            }
            node.expect(Array(found.prefix(bytes.count)))
            let rest = Array(found.dropFirst(bytes.count))
            if rest.isEmpty { seen.removeFirst() } else { seen[0] = .read(rest) }
            return
        }
        let value = node.json.string ?? (node.json.bool == true ? "true" : node.json.text())
        if kind == "datagram", let bytes = Hex.decode(value), let index = swallowed.firstIndex(of: bytes) {
            // Ours answered it instead; that was compared above.
            swallowed.remove(at: index)
            return node.compare(node.json)
        }
        let wanted = Seen.other(kind: kind, value: value, partner: stream == "partner")
        if seen.first == wanted {
            seen.removeFirst()
            node.compare(node.json)
        } else if value == "ETIMEDOUT" && script.mayDiffer?.contains("MAY be a normal close") == true
            && seen.first == .other(kind: "closed", value: "ok", partner: false)
        {
            exam.allow(ExchangeTolerance.normalClose)
            seen.removeFirst()
            node.compare(node.json)
        } else {
            node.compare(.string(seen.first.map(describe) ?? "nothing"))
        }
    }

    private func describe(_ seen: Seen) -> String {
        switch seen {
        case .read(let bytes): "read \(bytes.count) bytes \(Hex.encode(Array(bytes.prefix(32))))"
        case .other(let kind, let value, let partner): "\(kind) \(value)\(partner ? " of the partner" : "")"
        }
    }
}
