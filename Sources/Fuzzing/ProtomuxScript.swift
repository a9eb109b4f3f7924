import CompactEncoding
import Protomux
import SansIO

/// Two muxes that open, close, accept and reject channels with few names, so that they cross all the time. A hostile script also forges messages.
final class ProtomuxScript {
    private final class End {
        let mux: Protomux
        var outgoing: [[UInt8]] = []
        var open: [ChannelHandle] = []
        var everOpened: Set<ChannelHandle> = []
        var paired: Set<ChannelHandle> = []
        var requests: [OpenRequest] = []
        var ended = false
        var sentCount: UInt64 = 0
        /// The last number seen on each channel.
        var last: [ChannelHandle: UInt64] = [:]

        init(_ limits: Protomux.Limits) { mux = Protomux(limits: limits) }
    }

    private var script: Script
    private let isHostile: Bool
    private let promises = Promises()
    private let ends: [End]
    private let limits: Protomux.Limits

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        let choice = script.byte()
        isHostile = choice & 1 == 1
        var limits = Protomux.Limits()
        if choice & 2 != 0 {
            limits.batchSize = 64
            limits.messageSize = 256
        }
        if choice & 4 != 0 { limits.pendingOpens = 3 }
        if choice & 8 != 0, isHostile { limits.remoteChannels = 5 }
        self.limits = limits
        ends = [End(limits), End(limits)]
    }

    static func run(_ bytes: [UInt8]) -> String? { ProtomuxScript(bytes).run() }

    private func run() -> String? {
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 400 {
            steps += 1
            step()
        }
        finish()
        return promises.broken
    }

    private func key() -> ChannelKey {
        let choice = script.byte()
        return ChannelKey(choice & 1 == 0 ? "a" : "b", id: choice & 6 == 0 ? nil : [choice & 6])
    }

    private func options(_ key: ChannelKey) -> ChannelOptions {
        let choice = script.byte()
        return ChannelOptions(
            key, aliases: choice & 1 == 0 ? [] : [isHostile ? "b" : "c"], isUnique: choice & 2 == 0, messageCount: Int(choice >> 2 & 3),
            handshakeType: choice & 0x70 == 0x70 ? MutableHandshake.self : nil)
    }

    /// A handshake of one number, as protocols above have.
    private struct MutableHandshake: CompactCodable, Sendable {
        let number: UInt64
        init(from reader: inout Reader) throws(DecodingFailure) { number = try reader.uint("number") }
        func encode(to writer: inout Writer) { writer.uint(number) }
    }

    private func step() {
        let choice = script.byte()
        let end = ends[Int(choice >> 7)]
        let other = ends[1 - Int(choice >> 7)]
        switch choice & 31 {
        case 0...3: opens(end)
        case 4, 5: if !end.open.isEmpty { end.mux.close(end.open[script.int(end.open.count)]) }
        case 6...9: send(end)
        case 10: end.mux.listen(for: key())
        case 11: end.mux.stopListening(for: key())
        case 12: if !end.requests.isEmpty { accept(end, end.requests.remove(at: script.int(end.requests.count))) }
        case 13: if !end.requests.isEmpty { end.mux.reject(end.requests.remove(at: script.int(end.requests.count))) }
        case 14: end.mux.cork()
        case 15, 16: end.mux.uncork()
        case 17...22: pass(end, other, 1 + script.int(8))
        case 23: pass(end, other, .max)
        case 24: _ = end.mux.takeRefused()
        case 25 where isHostile: end.mux.receiveEnd()
        default: if isHostile { end.mux.receive(forged()) }
        }
        for end in ends { collect(end) }
    }

    private func opens(_ end: End) {
        let options = options(key())
        do {
            let handle = try end.mux.open(options, handshake: [script.byte() & 0x7f])
            end.open.append(handle)
            promises.hold(end.everOpened.insert(handle).inserted, "a handle was given twice")
        } catch { promises.hold(error.kind == .duplicate || error.kind == .ended, "an open was refused: \(error)") }
    }

    private func accept(_ end: End, _ request: OpenRequest) {
        guard let handle = try? end.mux.accept(request, options(request.key), handshake: [1]) else { return end.mux.reject(request) }
        end.open.append(handle)
        promises.hold(end.everOpened.insert(handle).inserted, "a handle was given twice")
    }

    private func send(_ end: End) {
        guard !end.open.isEmpty else { return }
        let handle = end.open[script.int(end.open.count)]
        end.sentCount += 1
        var writer = Writer()
        writer.uint(end.sentCount)
        writer.raw([UInt8](repeating: 0, count: script.int(100)))
        _ = try? end.mux.send(handle, type: UInt64(script.byte() & 3), writer.bytes)
    }

    private func forged() -> [UInt8] {
        var writer = Writer()
        if script.byte() & 3 == 0 {
            writer.raw([0, 0])
            writer.uint(UInt64(script.byte() & 7))
            for _ in 0..<script.int(6) {
                if script.byte() & 3 == 0 {
                    writer.uint8(0)
                    writer.uint(UInt64(script.byte() & 7))
                } else {
                    writer.buffer(item())
                }
            }
        } else {
            writer.uint(script.byte() & 3 == 0 ? UInt64(script.byte() & 7) : 0)
            writer.raw(item())
        }
        return script.byte() & 15 == 15 ? script.damage(writer.bytes) : writer.bytes
    }

    private func item() -> [UInt8] {
        var writer = Writer()
        let type = script.byte() & 7
        writer.uint(UInt64(type))
        switch type {
        case 1:
            writer.uint(script.byte() & 15 == 15 ? script.number() : UInt64(script.byte() & 7))
            let key = key()
            writer.string(key.protocolName)
            writer.buffer(key.id)
            writer.raw(script.take(script.int(3)))
        case 2, 3: writer.uint(script.byte() & 15 == 15 ? script.number() : UInt64(script.byte() & 7))
        default: writer.raw(script.take(script.int(12)))
        }
        return writer.bytes
    }

    private func pass(_ end: End, _ other: End, _ count: Int) {
        let now = Array(end.outgoing.prefix(count))
        end.outgoing.removeFirst(now.count)
        for message in now {
            other.mux.receive(message)
            collect(other)
        }
    }

    private func collect(_ end: End) {
        for effect in end.mux.takeEffects() {
            switch effect {
            case .send(let bytes):
                promises.hold(bytes.count <= limits.messageSize, "a message of \(bytes.count) bytes")
                promises.hold((try? MuxMessage(decoding: bytes)) != nil, "a message that does not decode: \(Hex.encode(bytes))")
                end.outgoing.append(bytes)
            case .destroy(let error): promises.hold(isHostile, "an honest peer was cut off: \(error)")
            case .pause, .resume, .end: break
            }
        }
        for event in end.mux.takeEvents() { note(event, end) }
    }

    private func note(_ event: Protomux.Event, _ end: End) {
        promises.hold(!end.ended, "an event after the last one: \(event)")
        switch event {
        case .opened(let handle, _): promises.hold(end.paired.insert(handle).inserted, "paired twice")
        case .message(let handle, _, let payload):
            promises.hold(end.paired.contains(handle), "data before the pairing")
            guard !isHostile else { return }
            var reader = Reader(payload)
            let number = (try? reader.uint("number")) ?? 0
            promises.hold(number > end.last[handle] ?? 0, "channel \(handle.number): message \(number) after \(end.last[handle] ?? 0)")
            end.last[handle] = number
        case .closed(let handle, _):
            // Opened by a call that has not returned yet, it is in the list later.
            if let index = end.open.firstIndex(of: handle) { end.open.remove(at: index) }
            end.paired.remove(handle)
        case .requested(let request): end.requests.append(request)
        case .withdrawn(let request): end.requests.removeAll { $0 == request }
        case .ended: end.ended = true
        }
    }

    /// Everything arrives and every request is refused: then both sides count the same pairs.
    private func finish() {
        guard promises.broken == nil else { return }
        for end in ends { for _ in 0..<512 { end.mux.uncork() } }
        for _ in 0..<64 where promises.broken == nil {
            for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                pass(end, other, .max)
                for request in end.requests { end.mux.reject(request) }
                end.requests = []
                collect(end)
                collect(other)
            }
        }
        guard !isHostile, !ends.contains(where: { $0.ended }) else { return }
        promises.hold(
            ends[0].paired.count == ends[1].paired.count,
            "\(ends[0].paired.count) and \(ends[1].paired.count) channels are open at the two ends")
        promises.hold(!ends[0].mux.isPaused && !ends[1].mux.isPaused, "still paused with nothing left to wait for")
    }
}
