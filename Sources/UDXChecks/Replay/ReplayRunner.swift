import CompactEncoding
import Conformance
import SansIO
import UDX

/// Our stream in a recorded party's place: fed what that party read, when it read it, with its calls; what ours sends is held against what it sent.
///
/// - exact: every ACK, SACK, MESSAGE, HEARTBEAT and DESTROY in order; type, seq, payload and window of every DATA and END; the bytes delivered.
/// - linked: `ack` of DATA (everything read so far), `seq` of other packets (ours to be used next).
/// - bounded: when a packet first leaves, and how often it is sent again. Congestion control and pacing are policy.
final class ReplayRunner {
    struct Bounds {
        /// Milliseconds that a first transmission may come before or after the recorded one.
        var early: Int64 = 8
        var late: Int64 = 8
        /// Milliseconds between a HEARTBEAT of ours and the recorded one.
        var heartbeat: Int64 = 8
        /// Retransmissions beyond the recorded number; nil where their number says nothing. Each has a reason in any case.
        var extraRetransmissions: Int? = 0
    }

    private let script: ReplayScript
    private let exam: Examination
    private let bounds: Bounds
    private let instance: UDXInstance
    private let own: StreamID
    private var now: Instant
    private var sent: [(at: Instant, packet: RawPacket)] = []
    private var delivered: [UInt8] = []
    private var closed: CloseReason?
    /// Everything before this was read.
    private var nextExpected: UInt32 = 0
    private var held: Set<UInt32> = []
    /// The newest recorded ACK of packets that ours has not sent yet, and our next number when it was last tried.
    private var owed: RawPacket?
    private var owedSeen: UInt32 = 0
    private var allowed: Set<String> = []
    private var repeats = RepeatReasons()

    init(_ script: ReplayScript, _ bounds: Bounds, _ exam: Examination) throws {
        self.script = script
        self.bounds = bounds
        self.exam = exam
        now = min(script.inputs.first?.time ?? .zero, script.own.first?.time ?? .distantFuture)
        instance = UDXInstance(entropy: SeededEntropy(seed: exam.seed))
        own = StreamID(script.ownID)
        try instance.createStream(id: own, at: now)
    }

    func run() throws {
        for (index, item) in script.inputs.enumerated() {
            pass(until: item.time)
            if case .read(let bytes) = item.input {
                note(bytes)
                feed(bytes)
            } else {
                try call(item.input)
            }
            // Calls that follow one another at once are one turn of the recorded event loop.
            let next = index + 1 < script.inputs.count ? script.inputs[index + 1] : nil
            if let next, next.input.isCall, item.input.isCall, next.time <= item.time + .milliseconds(1) { continue }
            instance.endTurn(at: now)
            collect()
        }
        let end = max(now, script.own.last?.time ?? now) + .milliseconds(bounds.late)
        pass(until: end)
        compare()
    }

    private func call(_ input: ReplayScript.Input) throws {
        // After its close a stream's owner may still call it; the reference ignores that, too.
        guard closed == nil else { return }
        switch input {
        case .connect: try instance.connect(own, SocketID(1), to: StreamID(script.peerID), at: script.peerPlace, now: now)
        case .write(let bytes, let ends):
            if ends { try instance.end(own, writing: bytes, now: now) } else { try instance.write(own, bytes, now: now) }
        case .end: try instance.end(own, now: now)
        case .send(let bytes): try instance.send(own, message: bytes, now: now)
        case .destroy: try instance.destroy(own, now: now)
        case .heldBytes(let count):
            try instance.setHeldBytes(own, count, now: now)
            takeAnnouncement()
        case .maximumReceiveSize(let size):
            try instance.setMaximumReceiveSize(own, size, now: now)
            takeAnnouncement()
        case .keepalive(let milliseconds): try instance.setKeepalive(own, milliseconds: milliseconds, now: now)
        case .read: break
        }
    }

    /// The ACK that tells of a reopened window; the reference has none.
    private func takeAnnouncement() {
        for transmit in instance.takeTransmits() {
            allow(ExchangeTolerance.reopened)
            let packet = RawPacket(transmit.payload)
            exam.require(
                "an ACK of a reopened window", packet?.type == 0 && (packet?.window ?? 0) >= 2904 && packet?.ack == nextExpected,
                RawPacket.describe(transmit.payload))
        }
    }

    private func pass(until time: Instant) {
        while instance.nextWakeUp <= time {
            now = max(now, instance.nextWakeUp)
            instance.advance(to: now)
            collect()
        }
        now = max(now, time)
        instance.advance(to: now)
        collect()
    }

    // MARK: Acknowledgements of what ours has not sent yet

    /// What ours can read of a recorded packet now: acknowledgements of packets that ours has not sent yet are read once it has sent them.
    private func readable(_ bytes: [UInt8]) -> [UInt8] {
        guard var packet = RawPacket(bytes), let next = instance.statistics(of: own)?.nextSequenceNumber.rawValue else { return bytes }
        let isPlain = packet.type & ~RawPacket.sack == 0
        var blocks = isPlain ? packet.blocks : []
        let isAhead = Int32(bitPattern: packet.ack &- next) > 0 || blocks.contains { Int32(bitPattern: $0.end &- next) > 0 }
        if isPlain { owed = nil }
        guard isAhead else { return bytes }
        owed = RawPacket(
            isPlain ? packet.type : 0, id: packet.id, window: packet.window, seq: packet.seq, ack: packet.ack,
            body: isPlain ? packet.body : [])
        allow("linked: a recorded ACK of packets that ours has not sent yet is read when it has sent them")
        if Int32(bitPattern: packet.ack &- next) > 0 { packet.ack = next }
        guard isPlain else { return packet.bytes }
        blocks = blocks.filter { Int32(bitPattern: $0.start &- next) < 0 }.map {
            Int32(bitPattern: $0.end &- next) > 0 ? Range32(start: $0.start, end: next) : $0
        }
        packet.type = blocks.isEmpty ? 0 : RawPacket.sack
        packet.body = RawPacket.sack(blocks)
        return packet.bytes
    }

    private func feed(_ bytes: [UInt8]) {
        let readable = readable(bytes)
        if let packet = RawPacket(readable) { repeats.read(packet) }
        _ = instance.receive(readable, from: script.peerPlace, on: SocketID(1), at: now)
    }

    /// Ours sent more: what was recorded as acknowledged of it is read now.
    private func settleOwed() {
        var rounds = 0
        while let packet = owed, rounds < 1000, let next = instance.statistics(of: own)?.nextSequenceNumber.rawValue, next != owedSeen {
            owedSeen = next
            rounds += 1
            feed(packet.bytes)
            instance.endTurn(at: now)
            drain()
        }
    }

    /// The checks' own idea of what was read, for the linked fields.
    private func note(_ bytes: [UInt8]) {
        guard let packet = RawPacket(bytes), packet.has(RawPacket.data | RawPacket.end) else { return }
        held.insert(packet.seq)
        while held.remove(nextExpected) != nil { nextExpected &+= 1 }
    }

    private func collect() {
        drain()
        settleOwed()
    }

    private func drain() {
        for transmit in instance.takeTransmits() {
            guard let packet = RawPacket(transmit.payload) else { continue }
            exam.equal("destination", transmit.destination, script.peerPlace)
            if packet.has(RawPacket.data | RawPacket.message | RawPacket.destroy | RawPacket.heartbeat) {
                exam.equal("ack of \(RawPacket.describe(packet.bytes))", packet.ack, nextExpected)
            }
            sent.append((now, packet))
            if packet.has(RawPacket.data | RawPacket.end) { repeats.sent(packet, at: now) }
        }
        for event in instance.takeEvents() {
            switch event {
            case .data(_, let bytes): delivered += bytes
            case .closed(_, let reason): closed = reason
            default: break
            }
        }
    }

    /// Each allowance is listed once.
    private func allow(_ what: String) { if allowed.insert(what).inserted { exam.allow(what) } }

    // MARK: Comparing

    private func compare() {
        compareControl()
        compareData()
        compareTimed(RawPacket.heartbeat, "HEARTBEAT")
        let expected = script.inputs.reduce(into: (bytes: [UInt32: [UInt8]](), top: UInt32(0))) {
            guard case .read(let bytes) = $1.input, let packet = RawPacket(bytes), packet.has(RawPacket.data) else { return }
            $0.bytes[packet.seq] = Array(packet.body.dropFirst(Int(packet.dataOffset)))
            $0.top = max($0.top, packet.seq &+ 1)
        }
        let stream = (0..<expected.top).flatMap { expected.bytes[$0] ?? [] }
        exam.bytes("bytes delivered", delivered, stream)
        let destroys = script.own.contains { $0.packet.has(RawPacket.destroy) }
        let isReset = script.inputs.contains {
            if case .read(let b) = $0.input { RawPacket(b)?.has(RawPacket.destroy) ?? false } else { false }
        }
        exam.equal("close", closed, destroys ? .destroyed : isReset ? .reset : .finished)
        for rule in script.rules { allow(rule) }
    }

    /// ACK, SACK, MESSAGE and DESTROY, in order.
    private func compareControl() {
        func isControl(_ packet: RawPacket) -> Bool { !packet.has(RawPacket.data | RawPacket.end | RawPacket.heartbeat) }
        let ours = sent.map(\.packet).filter(isControl)
        let recorded = script.own.filter { isControl($0.packet) }
        exam.equal("ACK, SACK, MESSAGE and DESTROY packets", ours.count, recorded.count)
        var arrived: Set<UInt32> = []
        var reads = script.inputs.compactMap { item -> RawPacket? in
            guard case .read(let bytes) = item.input else { return nil }
            return RawPacket(bytes)
        }[...]
        for (mine, theirs) in zip(ours, recorded) {
            var wanted = theirs.packet
            if wanted.type & ~RawPacket.sack == 0 {
                // What had arrived when this ACK left: everything up to the packet that it answers.
                while let next = reads.first {
                    reads.removeFirst()
                    if next.has(RawPacket.data | RawPacket.end) { arrived.insert(next.seq) }
                    if next.has(RawPacket.data | RawPacket.end | RawPacket.heartbeat) { break }
                    if reads.isEmpty { break }
                }
                let held = HeldNumbers(arrived, above: wanted.ack)
                if held.blocks != held.blocksOfLibudx() && wanted.blocks == held.blocksOfLibudx() {
                    allow(ExchangeTolerance.holes)
                    wanted.type = RawPacket.sack
                    wanted.body = RawPacket.sack(held.blocks)
                }
            }
            if wanted.seq != mine.seq {
                allow("linked: seq of ACK packets is our next number; our data leaves by our own congestion control")
                wanted.seq = mine.seq
            }
            exam.bytes(
                "packet \(theirs.number): \(RawPacket.describe(mine.bytes)) for \(RawPacket.describe(wanted.bytes))", mine.bytes,
                wanted.bytes)
        }
    }

    /// DATA and END: each number once with the recorded contents, near the recorded time; repeated no more often.
    private func compareData() {
        var ours: [UInt32: [(at: Instant, packet: RawPacket)]] = [:]
        for item in sent where item.packet.has(RawPacket.data | RawPacket.end) { ours[item.packet.seq, default: []].append(item) }
        var theirs: [UInt32: [ReplayScript.Own]] = [:]
        for item in script.own where item.packet.has(RawPacket.data | RawPacket.end) { theirs[item.packet.seq, default: []].append(item) }
        exam.equal("numbers used", ours.keys.sorted(), theirs.keys.sorted())
        var earliest: Int64 = 0
        var latest: Int64 = 0
        var copies = 0
        var recordedCopies = 0
        for seq in theirs.keys.sorted() {
            guard let mine = ours[seq], let recorded = theirs[seq] else { continue }
            for item in mine {
                exam.equal("seq \(seq): type", item.packet.type, recorded[0].packet.type)
                exam.equal("seq \(seq): window", item.packet.window, recorded[0].packet.window)
                exam.equal("seq \(seq): data offset", item.packet.dataOffset, 0)
                exam.bytes("seq \(seq): payload", item.packet.body, recorded[0].packet.body)
            }
            let difference = (mine[0].at - recorded[0].time).milliseconds
            earliest = min(earliest, difference)
            latest = max(latest, difference)
            copies += mine.count - 1
            recordedCopies += recorded.count - 1
        }
        exam.require("first transmissions before the recorded time", -earliest <= bounds.early, "\(-earliest) ms early")
        exam.require("first transmissions after the recorded time", latest <= bounds.late, "\(latest) ms late")
        exam.require("reasons of retransmissions", repeats.unexplained.isEmpty, repeats.unexplained.prefix(3).joined(separator: "; "))
        if let extra = bounds.extraRetransmissions {
            exam.require("retransmissions", copies <= recordedCopies + extra, "\(copies), recorded were \(recordedCopies)")
        }
        if earliest < -1 || latest > 1 {
            allow("bounded: first transmissions within \(bounds.early) ms before and \(bounds.late) ms after the recorded ones")
        }
        if copies != recordedCopies {
            let number = bounds.extraRetransmissions.map { "at most \($0) more than recorded" } ?? "any number"
            allow(
                "bounded: retransmissions each with a reason in what was read before, \(number), for a recorded ACK answers a recorded retransmission, not an earlier one of ours"
            )
        }
    }

    private func compareTimed(_ bit: UInt8, _ name: String) {
        let ours = sent.filter { $0.packet.has(bit) }
        let recorded = script.own.filter { $0.packet.has(bit) }
        exam.equal("\(name) packets", ours.count, recorded.count)
        for (mine, theirs) in zip(ours, recorded) {
            exam.bytes("packet \(theirs.number)", mine.packet.bytes, theirs.bytes)
            let difference = (mine.at - theirs.time).milliseconds
            exam.require("time of packet \(theirs.number)", abs(difference) <= bounds.heartbeat, "\(difference) ms off")
            if abs(difference) > 1 { allow("bounded: a \(name) within \(bounds.heartbeat) ms of the recorded one") }
        }
    }
}
