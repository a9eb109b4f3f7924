import OrderedCollections
import CompactEncoding
import SansIO

/// Streams that closed gracefully and still answer a repeated DATA or END with a plain ACK, so that a peer whose last ACK was lost
/// does not time out. The reference forgets such streams. UDX-59.
struct LingeringStreams {
    private struct Entry {
        let remoteID: StreamID
        let remote: Endpoint
        let socket: SocketID
        let window: UInt32
        let seq: SequenceNumber
        let ack: SequenceNumber
        let until: Int64
    }

    /// In the order of closing, which is the order of expiry.
    private var entries: OrderedDictionary<StreamID, Entry> = [:]

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    func contains(_ id: StreamID) -> Bool { entries[id] != nil }

    mutating func add(_ stream: Stream, limits: UDXLimits, at now: Int64) {
        guard let socket = stream.socket, !Mutation.udx(59).isActive else { return }
        remove(stream.id)
        // Thirteen timeouts: as long as the peer goes on sending.
        let time = max(limits.lingerMilliseconds, 13 * stream.rtt.timeout)
        entries[stream.id] = Entry(
            remoteID: stream.remoteID, remote: stream.remote, socket: socket, window: stream.advertisedWindow, seq: stream.sndNxt,
            ack: stream.nextExpected, until: now + time)
        while entries.count > limits.maximumLingering { entries.removeFirst() }
    }

    /// A new stream took the id.
    mutating func remove(_ id: StreamID) { entries.removeValue(forKey: id) }

    mutating func removeAll() { entries.removeAll() }

    /// The ACK that answers this packet, or nil if it is not for a lingering stream or asks for nothing.
    mutating func answer(_ header: PacketHeader, at now: Int64) -> Transmit? {
        guard !entries.isEmpty, let entry = entries[header.streamID] else { return nil }
        guard entry.until > now else {
            entries.removeValue(forKey: header.streamID)
            return nil
        }
        guard !header.type.contains(.heartbeat), !header.type.isDisjoint(with: [.data, .end]) else { return nil }
        let reply = PacketHeader(
            type: .acknowledgement, streamID: entry.remoteID, window: entry.window, seq: entry.seq, ack: entry.ack)
        return Transmit(socket: entry.socket, destination: entry.remote, payload: reply.encoded)
    }

    /// Forgets what has expired; called now and then.
    mutating func expire(at now: Int64) {
        while let first = entries.elements.first, first.value.until <= now { entries.removeFirst() }
    }
}
