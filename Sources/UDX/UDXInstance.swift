import CompactEncoding
import SansIO

/// Many UDX streams over any number of UDP sockets: bytes and time in, datagrams and events out. udx.md.
///
/// Drive it with five calls: `receive` for each datagram, `advance(to:)` at the end of each turn and when `nextWakeUp` comes, the commands of
/// streams, and `takeTransmits` / `takeEvents` afterwards. It reads no clock and draws no randomness but through `Entropy`.
public final class UDXInstance {
    let context: Context
    private let entropy: any Entropy
    @exclusivity(unchecked) private var streams: [StreamID: Stream] = [:]
    /// In the order of creation, which is the order in which timers of one instant fire.
    @exclusivity(unchecked) private var order: [Stream] = []
    /// The stream of the last packet: bursts come from one.
    @exclusivity(unchecked) private var recent: Stream?
    @exclusivity(unchecked) private var lingering = LingeringStreams()
    @exclusivity(unchecked) private var lastFlush: Int64 = 0

    public init(entropy: any Entropy, limits: UDXLimits = UDXLimits()) {
        self.entropy = entropy
        context = Context(limits: limits)
    }

    /// Streams hold the context and, where they relay, one another: what still stands in a list then goes with the instance.
    deinit {
        context.partial = []
        context.closed = []
        for stream in order {
            stream.relayTarget = nil
            stream.relaySources = []
        }
    }

    public var limits: UDXLimits { context.limits }

    // MARK: Streams

    /// Creates a stream that receives from now on; sending needs `connect`. Without an id one is drawn from all 32 bits (UDX-14).
    ///
    /// `initialSequence` is our first number, which the peer must know as the first that it expects; `remoteSequence` is the peer's.
    @discardableResult
    public func createStream(
        id: StreamID? = nil, initialSequence: SequenceNumber = .zero, remoteSequence: SequenceNumber = .zero,
        firewall: FirewallRule = .none, at now: Instant
    ) throws(UDXError) -> StreamID {
        note(now)
        if let id, streams[id] != nil { throw UDXError(.idInUse, id) }
        guard streams.count < context.limits.maximumStreams else { throw UDXError(.tooManyStreams, id ?? StreamID(0)) }
        let chosen = id ?? drawID()
        let stream = Stream(context: context, id: chosen, initialSequence: initialSequence, firewall: firewall)
        stream.nextExpected = remoteSequence
        stream.windowUpdateSeq = remoteSequence
        streams[chosen] = stream
        order.append(stream)
        lingering.remove(chosen)
        return chosen
    }

    private func drawID() -> StreamID {
        while true {
            var id = StreamID(entropy.uint32(for: EntropyLabel(.streamID)))
            /// UDX-14.
            if Mutation.udx(14).isActive { id.rawValue &= 0xffff }
            if streams[id] == nil && !lingering.contains(id) { return id }
        }
    }

    /// Sets both first numbers of a stream that has neither sent nor received anything.
    public func setSequences(_ id: StreamID, initial: SequenceNumber, remote: SequenceNumber) throws(UDXError) {
        let stream = try live(id)
        guard stream.packetsSent == 0, stream.packetsReceived == 0, !stream.hasUnsent else { throw UDXError(.tooLate, id) }
        (stream.sndNxt, stream.sndUna, stream.windowUpdateAck) = (initial, initial, initial)
        (stream.forwardMost, stream.recoveryMark) = (initial, initial)
        (stream.nextExpected, stream.windowUpdateSeq) = (remote, remote)
    }

    /// Live streams in the order of their creation.
    public var streamIDs: [StreamID] { order.map(\.id) }
    public var lingeringCount: Int { lingering.count }

    /// Counters and estimates; nil for a stream that does not exist.
    public func statistics(of id: StreamID) -> StreamStatistics? { streams[id]?.statistics }

    /// What was not used, by reason; only reasons that occurred.
    public var drops: [(reason: DropReason, count: UInt64)] {
        DropReason.allCases.compactMap { context.drops[$0.rawValue] > 0 ? ($0, context.drops[$0.rawValue]) : nil }
    }

    func live(_ id: StreamID) throws(UDXError) -> Stream {
        if let recent, recent.id == id { return recent }
        guard let stream = streams[id] else { throw UDXError(.unknownStream, id) }
        return stream
    }

    // MARK: Time

    func note(_ now: Instant) { context.note(now) }

    /// The time is `now`: fires timers, then ends the turn (partial packets leave, as the reference sends them at the end of an event-loop turn).
    public func advance(to now: Instant) {
        note(now)
        if context.nextDeadline <= context.now {
            context.nextDeadline = .max
            var index = 0
            // Streams that close in here stay in `order` until `sweep`.
            while index < order.count {
                let stream = order[index]
                if !stream.isClosed {
                    if stream.nextDeadline <= context.now { stream.advance() }
                    context.wake(at: stream.nextDeadline)
                }
                index += 1
            }
        }
        flush()
        sweep()
        if !lingering.isEmpty && context.now - lastFlush > 1000 {
            lastFlush = context.now
            lingering.expire(at: context.now)
        }
    }

    /// The end of a turn in which time was noted already: partial packets leave.
    public func endTurn(at now: Instant) { advance(to: now) }

    private func flush() {
        guard !context.partial.isEmpty else { return }
        let waiting = context.partial
        context.partial.removeAll(keepingCapacity: true)
        for stream in waiting { stream.flushPartial() }
        // What was flushed may have made room for a further partial packet of the same turn.
        if !context.partial.isEmpty { flush() }
    }

    /// When `advance` must be called at the latest; `distantFuture` when nothing waits.
    public var nextWakeUp: Instant {
        if !context.partial.isEmpty { return Instant(microseconds: context.now * 1000) }
        return context.nextDeadline == .max ? .distantFuture : Instant(microseconds: context.nextDeadline * 1000)
    }

    // MARK: Effects

    public var hasEffects: Bool { !context.transmits.isEmpty || context.hasEvents }

    /// Appends the datagrams to be sent, in order.
    public func takeTransmits(into transmits: inout [Transmit]) { context.takeTransmits(into: &transmits) }
    /// Appends what happened, in order.
    public func takeEvents(into events: inout [UDXEvent]) { context.takeEvents(into: &events) }

    /// Datagrams to send, in order.
    public func takeTransmits() -> [Transmit] {
        var all: [Transmit] = []
        takeTransmits(into: &all)
        return all
    }

    /// What happened, in order.
    public func takeEvents() -> [UDXEvent] {
        var all: [UDXEvent] = []
        takeEvents(into: &all)
        return all
    }

    // MARK: Receiving

    /// One datagram, or the part `range` of a larger buffer. Returns whose it is.
    ///
    /// `verdict` is the owner's answer when the same datagram came back as `askOwner` before.
    public func receive(
        _ bytes: [UInt8], range: Range<Int>? = nil, from source: Endpoint, on socket: SocketID, at now: Instant,
        verdict: FirewallVerdict? = nil
    ) -> Disposition {
        note(now)
        let whole = (range ?? 0..<bytes.count).clamped(to: 0..<bytes.count)
        let disposition = dispatch(bytes, cut(whole), source, socket, verdict)
        sweep()
        return disposition
    }

    /// What is received from now on came in one buffer, joined by the kernel: up to 32 packets in order that follow one another are answered by one ACK,
    /// which is owed until `endBurst`. Call that before anything else.
    public func beginBurst() { context.beginBurst() }

    /// Answers what the burst left unanswered.
    public func endBurst() {
        context.endBurst()
        sweep()
    }

    /// UDX-38a, UDX-38b.
    private func cut(_ range: Range<Int>) -> Range<Int> {
        var limit = context.limits.largestDatagram
        if Mutation.udx(38, 1).isActive { limit = 1220 }
        if Mutation.udx(38, 2).isActive { limit = 1472 }
        if range.count <= limit { return range }
        context.drop(.cutDatagram)
        return range.lowerBound..<range.lowerBound + limit
    }

    /// udx.md section 4, then R1 and R2 of section 5.
    private func dispatch(
        _ bytes: [UInt8], _ range: Range<Int>, _ source: Endpoint, _ socket: SocketID, _ verdict: FirewallVerdict?
    ) -> Disposition {
        /// UDX-10a: what does not match touches no stream. UDX-10b: it is the application's.
        let unmatched: Disposition = Mutation.udx(10, 2).isActive ? .consumed : .notForStream
        guard !streams.isEmpty || !lingering.isEmpty else { return unmatched }
        var reader = Reader(bytes, range: range)
        guard let header = try? PacketHeader(from: &reader) else { return unmatched }
        guard let stream = find(header.streamID) else {
            if let answer = lingering.answer(header, at: context.now) {
                context.transmits.append(answer)
                return .consumed
            }
            /// UDX-13.
            if Mutation.udx(13).isActive {
                let reply = PacketHeader(type: .destroy, streamID: header.streamID, window: 0, seq: header.ack, ack: header.seq)
                context.transmits.append(Transmit(socket: socket, destination: source, payload: reply.encoded))
            }
            return unmatched
        }
        if stream.isConnected {
            /// UDX-11: the source is never compared.
            if Mutation.udx(11).isActive && source != stream.remote { return .consumed }
            /// UDX-12.
            if Mutation.udx(12).isActive && stream.socket != socket { return .consumed }
        }
        /// R1.
        if stream.socket != socket && stream.firewall != .none {
            switch decide(stream, source, socket, verdict) {
            case .ask: return .askOwner(stream.id)
            case .deny:
                context.drop(.firewall)
                return .consumed
            case .allow: if stream.isClosed { return .consumed }
            }
        }
        /// R2.
        if stream.relayTarget != nil {
            stream.relay(header, bytes, range)
        } else {
            stream.receive(header, bytes, range)
        }
        return .consumed
    }

    private func find(_ id: StreamID) -> Stream? {
        if let recent, recent.id == id, !recent.isClosed { return recent }
        guard let stream = streams[id], !stream.isClosed else { return nil }
        recent = stream
        return stream
    }

    private enum Decision {
        case allow, deny, ask
    }

    /// UDX-12, UDX-66, UDX-67.
    private func decide(_ stream: Stream, _ source: Endpoint, _ socket: SocketID, _ verdict: FirewallVerdict?) -> Decision {
        let seen = Endpoint(source.address.unmapped, source.port)
        var allowed: Bool
        switch stream.firewall {
        case .none: return .allow
        case .deny: allowed = false
        case .allow: allowed = true
        case .connectToSource(let remoteID):
            allowed = seen.port != 0
            if allowed && !stream.isConnected {
                stream.connect(socket, remoteID, seen)
                context.emit(.connected(stream.id, socket, seen))
            }
        case .ask:
            guard let verdict else { return .ask }
            allowed = verdict == .allow
        }
        context.emit(.firewall(stream.id, socket, seen, allowed: allowed))
        if Mutation.udx(67).isActive { allowed = true }
        return allowed ? .allow : .deny
    }

    /// Takes streams that closed out of the tables.
    func sweep() {
        guard !context.closed.isEmpty else { return }
        for stream in context.closed {
            if streams[stream.id] === stream { streams.removeValue(forKey: stream.id) }
            if recent === stream { recent = nil }
            /// UDX-64: a destroyed stream is forgotten at once.
            if stream.closedGracefully || Mutation.udx(64).isActive { lingering.add(stream, limits: context.limits, at: context.now) }
        }
        context.closed.removeAll(keepingCapacity: true)
        order.removeAll { $0.isClosed }
    }

    /// Destroys every stream (one DESTROY each, in the order of creation) and forgets the lingering ones.
    public func destroyAll(at now: Instant) {
        note(now)
        for stream in order where !stream.isClosed { stream.destroy() }
        sweep()
        lingering.removeAll()
    }
}
