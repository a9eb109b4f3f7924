import CompactEncoding
import SansIO
import UDX

/// Whole-stream scripts: two instances with a stream each, and a path between them that loses, repeats, reorders and delays at the script's will.
///
/// Of an honest script (the path is the only adversary) everything is promised: every byte once, in order, no stall. A hostile one also forges
/// packets, so only what must hold whatever a peer sends is looked at.
final class UDXScript {
    private final class End {
        let instance: UDXInstance
        let id: StreamID
        let place: Endpoint
        let salt: UInt8
        var written = 0
        var hasEnded = false
        var received = 0
        var sawEnd = false
        var closed: CloseReason?
        var isAbandoned = false
        /// On the way to the other end.
        var path: [[UInt8]] = []
        var relayLeg: StreamID?

        init(_ id: UInt32, _ port: UInt16, salt: UInt8, limits: UDXLimits, seed: UInt64) {
            instance = UDXInstance(entropy: SeededEntropy(seed: seed), limits: limits)
            self.id = StreamID(id)
            place = .loopback(port)
            self.salt = salt
        }
    }

    private static let socket = SocketID(1)
    /// Bytes that an end writes at most.
    private static let longest = 1 << 17

    private var script: Script
    private let isHostile: Bool
    private let promises = Promises()
    private let clock = Clock()
    private let limits: UDXLimits
    private let ends: [End]

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        isHostile = script.bool()
        var limits = UDXLimits()
        let choice = script.byte()
        limits.congestionControl = choice & 1 == 0 ? .bbr : .cubic
        limits.probesPathMTU = choice & 2 != 0
        limits.announcesReopenedWindow = choice & 4 == 0
        limits.receiveWindow = choice & 8 == 0 ? 4_194_304 : 8000
        limits.minimumHeldBytes = choice & 16 == 0 ? 262_144 : 4096
        limits.reorderingSpan = choice & 32 == 0 ? 65_536 : 64
        self.limits = limits
        ends = [
            End(11, 40_001, salt: 17, limits: limits, seed: 1), End(22, 40_002, salt: 91, limits: limits, seed: 2),
        ]
    }

    static func run(_ bytes: [UInt8]) -> String? { UDXScript(bytes).run() }

    private func run() -> String? {
        begin()
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 400 {
            steps += 1
            step()
        }
        if !isHostile { finish() }
        return promises.broken
    }

    private func begin() {
        let first = SequenceNumber(script.bool() ? 0xffff_fff0 &+ UInt32(script.byte() & 15) : 0)
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            do {
                try end.instance.createStream(id: end.id, initialSequence: first, remoteSequence: first, at: clock.now)
                if isHostile, script.byte() & 7 == 7 {
                    try end.instance.setFirewall(end.id, script.bool() ? .ask : .connectToSource(other.id))
                    continue
                }
                try end.instance.connect(end.id, UDXScript.socket, to: other.id, at: other.place, now: clock.now)
            } catch { promises.break("the stream can't be made: \(error)") }
        }
    }

    // MARK: Steps

    private func step() {
        let choice = script.byte()
        let end = ends[Int(choice >> 7)]
        let other = ends[1 - Int(choice >> 7)]
        switch choice & 31 {
        case 0...4: write(end, script.int(4096), ending: false)
        case 5: write(end, script.int(65_536), ending: false)
        case 6: write(end, script.int(64), ending: true)
        case 7...12: deliver(from: end, to: other, 1 + script.int(32))
        case 13: deliver(from: end, to: other, .max)
        case 14, 15: lose(end)
        case 16: reorder(end)
        case 17: if let some = pick(end) { arrive(some, from: end, at: other) }
        case 18, 19: pass(script.milliseconds())
        case 20: pass(1)
        case 21: command(end, other)
        default: isHostile ? forge(at: end, from: other) : exchange(1 + script.int(8))
        }
        if promises.broken == nil { settle() }
    }

    private func write(_ end: End, _ count: Int, ending: Bool) {
        guard !end.hasEnded, end.closed == nil, end.written + count <= UDXScript.longest || ending else { return }
        let bytes = UDXScript.pattern(end.written..<end.written + count, end.salt)
        do {
            if ending {
                try end.instance.end(end.id, writing: bytes, now: clock.now)
            } else {
                try end.instance.write(end.id, bytes, now: clock.now)
            }
            end.written += count
            end.hasEnded = end.hasEnded || ending
        } catch { promises.hold(isHostile || error.kind == .unknownStream, "a write was refused: \(error)") }
    }

    /// These bytes of a direction: cut from a table, for scripts are many.
    private static func pattern(_ range: Range<Int>, _ salt: UInt8) -> [UInt8] {
        Array(table[range.lowerBound + Int(salt)..<range.upperBound + Int(salt)])
    }

    private static let table = (0..<longest + 256).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 7) ^ ($0 >> 13)) }

    private func deliver(from end: End, to other: End, _ count: Int) {
        let now = Array(end.path.prefix(count))
        end.path.removeFirst(now.count)
        for datagram in now { arrive(datagram, from: end, at: other) }
    }

    private func arrive(_ datagram: [UInt8], from end: End, at other: End) {
        arrive(datagram, source: end.place, on: UDXScript.socket, at: other)
    }

    private func arrive(_ datagram: [UInt8], source: Endpoint, on socket: SocketID, at other: End) {
        let disposition = other.instance.receive(datagram, from: source, on: socket, at: clock.now)
        if case .askOwner = disposition {
            _ = other.instance.receive(datagram, from: source, on: socket, at: clock.now, verdict: script.bool() ? .allow : .deny)
        }
        collect(other)
    }

    private func pick(_ end: End) -> [UInt8]? { end.path.isEmpty ? nil : end.path[script.int(min(end.path.count, 65_536))] }

    private func lose(_ end: End) {
        guard !end.path.isEmpty else { return }
        let start = script.int(min(end.path.count, 65_536))
        end.path.removeSubrange(start..<min(end.path.count, start + 1 + script.int(16)))
    }

    private func reorder(_ end: End) {
        guard end.path.count > 1 else { return }
        let from = script.int(min(end.path.count, 65_536))
        let datagram = end.path.remove(at: from)
        end.path.insert(datagram, at: script.int(min(end.path.count + 1, 65_536)))
    }

    private func exchange(_ rounds: Int) {
        for _ in 0..<rounds {
            deliver(from: ends[0], to: ends[1], .max)
            deliver(from: ends[1], to: ends[0], .max)
            pass(5)
        }
    }

    private func pass(_ milliseconds: Int64) {
        let end = clock.now + .milliseconds(milliseconds)
        clock.run(
            until: end, limit: 300, promises, nextWakeUp: { min(ends[0].instance.nextWakeUp, ends[1].instance.nextWakeUp) },
            wake: { now in
                for end in ends {
                    end.instance.advance(to: now)
                    collect(end)
                }
            })
    }

    private func command(_ end: End, _ other: End) {
        let now = clock.now
        let instance = end.instance
        do {
            switch script.byte() % (isHostile ? 12 : 6) {
            case 0: try instance.setKeepalive(end.id, milliseconds: Int64(script.byte()) * 100, now: now)
            case 1: try instance.setHeldBytes(end.id, script.int(16_384), now: now)
            case 2: try instance.setHeldBytes(end.id, 0, now: now)
            case 3: try instance.send(end.id, message: script.take(script.int(64)), now: now)
            case 4: try instance.flush(end.id, token: UInt64(script.byte()))
            case 5: try instance.changeRemote(end.id, UDXScript.socket, to: other.id, at: other.place, now: now)
            case 6: try instance.setMaximumReceiveSize(end.id, script.uint32(), now: now)
            case 7: try instance.setKeepalive(end.id, milliseconds: Int64(bitPattern: script.uint64()), now: now)
            case 8: try instance.setHeldBytes(end.id, Int(truncatingIfNeeded: script.uint64()), now: now)
            case 9:
                let target = try instance.createStream(at: now)
                end.relayLeg = target
                try instance.connect(target, UDXScript.socket, to: StreamID(script.uint32()), at: other.place, now: now)
                try instance.relay(end.id, to: target)
            case 10:
                end.isAbandoned = true
                try instance.destroy(end.id, now: now)
            default: if let leg = end.relayLeg { try instance.destroy(leg, now: now) }
            }
        } catch { return }
        collect(end)
    }

    // MARK: Forged packets

    /// A packet whose numbers lie around those of the stream that gets it.
    private func forge(at end: End, from other: End) {
        guard let state = end.instance.statistics(of: end.id) else { return }
        let type = script.byte()
        var header = PacketHeader(
            type: PacketType(rawValue: type), streamID: end.id, window: UInt32(truncatingIfNeeded: script.number()),
            seq: state.nextExpected.advanced(by: script.distance()), ack: state.unacknowledged.advanced(by: script.distance()))
        var writer = Writer()
        var blocks = 0
        if header.type.contains(.sack) {
            blocks = script.int(60)
            for _ in 0..<blocks {
                let start = state.unacknowledged.advanced(by: script.distance())
                SACKBlock(start, start.advanced(by: script.distance())).encode(to: &writer)
            }
        }
        switch script.byte() & 7 {
        case 0: header.dataOffset = script.byte()
        case 1: header.dataOffset = 0
        default: header.dataOffset = UInt8(truncatingIfNeeded: blocks * 8)
        }
        let payload = [UInt8](repeating: script.byte(), count: script.int(1500))
        let source = script.byte() & 15 == 15 ? Endpoint(.v4(script.uint32()), UInt16(truncatingIfNeeded: script.uint32())) : other.place
        let socket = script.byte() & 15 == 15 ? SocketID(2) : UDXScript.socket
        var datagram = header.encoded + writer.bytes + payload
        if script.byte() & 31 == 31 { datagram = script.damage(datagram) }
        arrive(datagram, source: source, on: socket, at: end)
    }

    // MARK: Promises

    private func settle() {
        for end in ends {
            end.instance.advance(to: clock.now)
            collect(end)
        }
    }

    private func collect(_ end: End) {
        for event in end.instance.takeEvents() where event.stream == end.id { note(event, end) }
        let transmits = end.instance.takeTransmits()
        promises.hold(transmits.count <= 4096, "one call made \(transmits.count) datagrams")
        for transmit in transmits { check(transmit, end) }
        guard let state = end.instance.statistics(of: end.id) else { return }
        let span = state.unacknowledged.distance(to: state.nextSequenceNumber)
        promises.hold(span >= 0, "snd.una is after snd.nxt")
        promises.hold(
            state.packetsInFlight >= 0 && state.packetsWaitingForRetransmission >= 0
                && state.packetsInFlight + state.packetsWaitingForRetransmission <= span,
            "\(state.packetsInFlight) packets in flight and \(state.packetsWaitingForRetransmission) lost of \(span) outstanding")
        promises.hold(state.bytesQueued >= 0, "bytes queued: \(state.bytesQueued)")
        promises.hold(state.congestionWindow >= 1, "congestion window \(state.congestionWindow)")
        promises.hold(state.packetsHeldOutOfOrder <= limits.reorderingSpan + 1, "\(state.packetsHeldOutOfOrder) packets held")
        let bound = max(limits.minimumHeldBytes, 1 << 22) + 2048
        promises.hold(isHostile || state.bytesHeldOutOfOrder <= bound, "\(state.bytesHeldOutOfOrder) bytes held")
        promises.hold(
            state.retransmissionTimeoutMilliseconds >= 1000 && state.retransmissionTimeoutMilliseconds <= 30_000,
            "a retransmission timeout of \(state.retransmissionTimeoutMilliseconds) ms")
    }

    private func note(_ event: UDXEvent, _ end: End) {
        promises.hold(end.closed == nil, "an event after the end: \(event)")
        let other = end === ends[0] ? ends[1] : ends[0]
        switch event {
        case .data(_, let bytes):
            promises.hold(!end.sawEnd, "data after the peer's end")
            promises.hold(!bytes.isEmpty, "a data event without bytes")
            guard !isHostile else { return }
            let position = end.received
            end.received += bytes.count
            promises.hold(end.received <= other.written, "more bytes arrived than were written")
            promises.hold(
                bytes == UDXScript.pattern(position..<end.received, other.salt),
                "bytes \(position) to \(end.received) are not those that were sent")
        case .end:
            promises.hold(!end.sawEnd, "two ends")
            end.sawEnd = true
            promises.hold(isHostile || (other.hasEnded && end.received == other.written), "the end came before all bytes did")
        case .closed(_, let reason): end.closed = reason
        default: break
        }
    }

    /// Whatever came in, what goes out is a packet that a peer can use.
    private func check(_ transmit: Transmit, _ end: End) {
        if end.path.count < 20_000 { end.path.append(transmit.payload) }
        promises.hold(transmit.destination.port != 0, "a datagram to port 0")
        guard let packet = try? Packet(decoding: transmit.payload) else {
            // What a relay passes on is not its own.
            return promises.hold(end.relayLeg != nil, "a packet that does not decode: \(Hex.encode(transmit.payload))")
        }
        guard end.relayLeg == nil else { return }
        promises.hold(packet.sacks.count <= SACKBlock.maximumCount, "\(packet.sacks.count) SACK blocks")
        promises.hold(packet.header.window == 0 || packet.header.window >= 2904, "a silly window: \(packet.header.window)")
        var last = packet.header.ack
        for block in packet.sacks {
            promises.hold(
                last.isBefore(block.start) && block.start.isBefore(block.end),
                "SACK blocks don't ascend beyond the ack \(packet.header.ack): \(packet.sacks)")
            last = block.end
        }
    }

    /// An honest path from now on: whatever was written arrives, or the stream ends by a rule.
    private func finish() {
        for end in ends {
            try? end.instance.setHeldBytes(end.id, 0, now: clock.now)
            try? end.instance.setKeepalive(end.id, milliseconds: 0, now: clock.now)
            write(end, 1, ending: true)
            collect(end)
        }
        var rounds = 0
        while promises.broken == nil, rounds < 20_000, ends.contains(where: { $0.closed == nil }) {
            rounds += 1
            deliver(from: ends[0], to: ends[1], .max)
            deliver(from: ends[1], to: ends[0], .max)
            settle()
            guard ends.allSatisfy({ $0.path.isEmpty }) else { continue }
            let next = min(ends[0].instance.nextWakeUp, ends[1].instance.nextWakeUp)
            if next == .distantFuture {
                // Whoever has nothing to say and no keepalive never learns that its peer gave up.
                promises.hold(ends.allSatisfy { $0.closed != nil } || gaveUp, "the streams wait for nothing, and are not closed")
                break
            }
            clock.set(next)
            settle()
        }
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] where promises.broken == nil {
            guard !gaveUp else { return }
            promises.hold(end.closed != nil, "not closed after \(rounds) rounds of an honest path")
            promises.hold(
                end.closed == .finished && end.received == other.written,
                "closed as \(String(describing: end.closed)) with \(end.received) of \(other.written) bytes")
        }
    }

    /// The script may have lost packets for longer than a peer lives.
    private var gaveUp: Bool { ends.contains { $0.closed == .timedOut } }
}
