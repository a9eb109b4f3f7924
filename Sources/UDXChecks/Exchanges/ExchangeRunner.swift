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
    private let exam: Examination
    private let script: ExchangeCase
    private let instance: UDXInstance
    private let local: StreamID
    private var now = Instant(microseconds: 5_000_000)
    private let comparison: ExchangeComparison

    init(_ script: ExchangeCase, _ exam: Examination) throws {
        self.exam = exam
        self.script = script
        comparison = ExchangeComparison(script, exam, origin: now)
        instance = UDXInstance(entropy: SeededEntropy(seed: exam.seed))
        local = StreamID(script.setup.localID)
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
                comparison.compare(expected, node)
            case .wait(let milliseconds): pass(milliseconds)
            case .event(let node, let kind, let stream): try comparison.compareEvent(node, kind, stream)
            }
        }
        comparison.finish()
    }

    // MARK: Doing

    private func apply(_ calls: [ExchangeCase.Call], _ node: VectorNode) throws {
        for call in calls {
            let windowBefore = instance.statistics(of: local)?.ownWindow
            do {
                try perform(call)
                exam.equal("\(node.path).application.error", "none", call.error ?? "none")
                comparison.called(call)
            } catch let error as UDXError {
                exam.equal("\(node.path).application.error", ExchangeRunner.name(of: error, refusing: call), call.error ?? "none")
            }
            if windowBefore == 0, let after = instance.statistics(of: local)?.ownWindow, after > 0 { comparison.windowReopened = true }
        }
        instance.endTurn(at: now)
        collect()
    }

    /// libudx's name for a refusal. A closed stream is unknown to ours; libudx still has the object, unconnected, and does nothing with it.
    private static func name(of error: UDXError, refusing call: ExchangeCase.Call) -> String {
        switch error.kind {
        case .notConnected: call.name == "changeRemote" ? "EINVAL" : "ENOTCONN"
        case .alreadyConnected: "EISCONN"
        case .ended: "EPIPE"
        case .invalidAddress: "EINVAL"
        case .unknownStream:
            switch call.name {
            case "write", "writeAndEnd", "end", "message": "ENOTCONN"
            case "connect", "changeRemote": "EINVAL"
            default: "none"
            }
        default: "\(error)"
        }
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
            comparison.testerSent(datagram)
            let disposition = instance.receive(datagram, from: from.endpoint, on: to.id, at: now)
            if disposition == .notForStream {
                settle()
                comparison.saw("datagram", Hex.encode(datagram))
            }
            if !together { instance.endTurn(at: now) }
            collect()
        }
        instance.endTurn(at: now)
        collect()
    }

    /// Lets virtual time pass, from one wake-up to the next.
    private func pass(_ milliseconds: Int64) {
        comparison.origin = now
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
                comparison.read(bytes)
            case .message(_, let bytes): comparison.saw("message", Hex.encode(bytes), partner: partner)
            case .end: comparison.saw("end", "true", partner: partner)
            case .closed(_, let reason):
                if reason == .finished && !partner { comparison.hasFinished = true }
                let value = reason == .reset ? "ECONNRESET" : reason == .timedOut ? "ETIMEDOUT" : "ok"
                comparison.saw("closed", value, partner: partner)
            case .firewall(_, _, _, let allowed): comparison.saw("firewall", allowed ? "allow" : "deny", partner: partner)
            case .remoteChanged: comparison.saw("remoteChanged", "true", partner: partner)
            case .drained, .flushed, .connected: break
            }
        }
    }

    private func collect() {
        for transmit in instance.takeTransmits() {
            comparison.sent.append(
                ExchangeComparison.Sent(
                    at: now, payload: transmit.payload, place: transmit.destination.description, socket: transmit.socket.description))
        }
        settle()
    }
}
