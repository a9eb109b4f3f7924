import CompactEncoding
import Protomux
import SansIO

/// Two muxes joined back to back; every message that crosses is kept.
final class MuxPair {
    enum Side: String { case a, b }

    let a: Protomux
    let b: Protomux
    private(set) var frames: [(from: Side, bytes: [UInt8])] = []
    private var events: [Side: [Protomux.Event]] = [:]
    private(set) var pauses: [Side: [Protomux.Effect]] = [:]

    init(limits: Protomux.Limits = Protomux.Limits()) {
        a = Protomux(limits: limits)
        b = Protomux(limits: limits)
    }

    subscript(_ side: Side) -> Protomux { side == .a ? a : b }

    /// Carries messages both ways until nobody has anything left to say.
    func pump() {
        while a.hasOutput || b.hasOutput {
            for (side, mux, other) in [(Side.a, a, b), (Side.b, b, a)] {
                for effect in mux.takeEffects() {
                    switch effect {
                    case .send(let bytes):
                        frames.append((side, bytes))
                        other.receive(bytes)
                    case .end, .destroy: other.receiveEnd()
                    case .pause, .resume: pauses[side, default: []].append(effect)
                    }
                }
                events[side, default: []] += mux.takeEvents()
            }
        }
    }

    /// Events of one side since the last call.
    func take(_ side: Side) -> [Protomux.Event] {
        pump()
        defer { events[side] = [] }
        return events[side] ?? []
    }
}

/// A handshake or message of UTF-8 text with its length, for the checks' protocol.
struct Text: CompactCodable, Hashable, Sendable {
    var text: String

    init(_ text: String) { self.text = text }
    init(from reader: inout Reader) throws(DecodingFailure) { text = try reader.string("text") }
    func encode(to writer: inout Writer) { writer.string(text) }
}

extension Protomux {
    /// The messages that it wants sent; other effects are left out.
    func takeMessages() -> [[UInt8]] { takeEffects().compactMap { if case .send(let bytes) = $0 { bytes } else { nil } } }
}

extension [Protomux.Event] {
    /// "opened", "message 0 0178", ...: without handles, which have no meaning outside.
    var texts: [String] {
        map { event in
            switch event {
            case .opened(_, let handshake): "opened \(Hex.encode(handshake))"
            case .message(_, let type, let payload): "message \(type) \(Hex.encode(payload))"
            case .closed(_, let byRemote): byRemote ? "closed by remote" : "closed"
            case .requested(let request): "requested \(request.key)"
            case .withdrawn(let request): "withdrawn \(request.key)"
            case .ended(let error): error.map { "ended: \($0.kind)" } ?? "ended"
            }
        }
    }

    var requests: [OpenRequest] { compactMap { if case .requested(let request) = $0 { request } else { nil } } }
}
