import SansIO

/// Puts IP fragments together. Bounded: at most 256 datagrams at a time, 64 KiB each, 30 s; the oldest goes first.
/// Overlapping fragments void their datagram, as RFC 5722 asks for IPv6 and as is prudent for IPv4.
struct FragmentTable {
    struct Key: Hashable {
        let source: IPAddress
        let destination: IPAddress
        let protocolNumber: UInt8
        let identification: UInt32
    }

    enum Outcome {
        case incomplete
        case complete(first: IPPacket, payload: [UInt8])
        case refused(String)
    }

    private struct Entry {
        var pieces: [(offset: Int, bytes: [UInt8])] = []
        var total: Int?
        var first: IPPacket?
        var startedNanoseconds: Int64
        var order: Int
    }

    private var entries: [Key: Entry] = [:]
    private var order = 0
    /// Datagrams that were given up: too old, too many.
    private(set) var abandoned = 0

    /// Datagrams still waiting for pieces.
    var waiting: Int { entries.count }

    mutating func add(_ packet: IPPacket, _ fragment: IPPacket.Fragment, _ bytes: CaptureBytes, atNanoseconds now: Int64) -> Outcome {
        let key = Key(
            source: packet.source, destination: packet.destination, protocolNumber: packet.protocolNumber,
            identification: fragment.identification)
        guard packet.missing == 0 else { return .refused("a fragment is cut") }
        let data = bytes.array(packet.payload)
        guard fragment.isLast || data.count % 8 == 0 else { return .refused("a fragment's length is no multiple of 8") }
        guard fragment.offset + data.count <= 65_535 else {
            entries[key] = nil
            return .refused("a fragment reaches beyond 65535 bytes")
        }
        var entry = entries[key] ?? Entry(startedNanoseconds: now, order: order)
        if now &- entry.startedNanoseconds > 30_000_000_000 {
            abandoned += 1
            entry = Entry(startedNanoseconds: now, order: order)
        }
        order += 1
        for piece in entry.pieces {
            if piece.offset == fragment.offset, piece.bytes == data { return .incomplete }
            if fragment.offset < piece.offset + piece.bytes.count, piece.offset < fragment.offset + data.count {
                entries[key] = nil
                return .refused("fragments overlap")
            }
        }
        entry.pieces.append((fragment.offset, data))
        if fragment.isLast { entry.total = fragment.offset + data.count }
        if fragment.offset == 0 { entry.first = packet }
        if let total = entry.total, let first = entry.first, entry.pieces.reduce(0, { $0 + $1.bytes.count }) >= total {
            entries[key] = nil
            let payload = entry.pieces.sorted { $0.offset < $1.offset }.flatMap(\.bytes)
            return payload.count == total ? .complete(first: first, payload: payload) : .refused("fragments reach beyond the last one")
        }
        entries[key] = entry
        if entries.count > 256, let oldest = entries.min(by: { $0.value.order < $1.value.order })?.key {
            entries[oldest] = nil
            abandoned += 1
        }
        return .incomplete
    }
}
