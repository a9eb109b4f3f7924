import CompactEncoding
import DHTRPC
import HyperDHT
import PacketCapture
import SansIO

/// When a recorded node read each datagram, as far as its packets tell: a capture shows when a datagram was sent, not when it was read.
/// A request was read when its answer or its relayed copy left, any other datagram when it was captured, none before an earlier one of its
/// socket.
enum ReadTimes {
    /// Packet numbers and the time at which each was read, for one socket.
    static func of(_ place: Endpoint, _ packets: [CapturedPacket], keys: Set<Bytes32>) -> [(packet: CapturedPacket, time: Instant)] {
        // What left with a tid: answers and relayed copies, each standing for one datagram that came in.
        var left: [UInt16: [CapturedPacket]] = [:]
        for packet in packets where packet.source == place {
            if let tid = Exchange.tid(packet.payload) { left[tid, default: []].append(packet) }
        }
        var last = Instant.zero
        var result: [(CapturedPacket, Instant)] = []
        for packet in packets where packet.destination == place {
            var time = packet.time
            if let request = try? Request(decoding: packet.payload), isAnsweredAtOnce(request, keys) {
                if let at = left[request.tid]?.firstIndex(where: { $0.number > packet.number && answers($0, request, packet) }),
                    let answer = left[request.tid]?.remove(at: at)
                {
                    time = answer.time
                }
            }
            last = max(last, time)
            result.append((packet, last))
        }
        return result
    }

    /// The longest time that a request lay unread, as its answer shows.
    static func longestDelay(_ places: [Endpoint], _ packets: [CapturedPacket], keys: Set<Bytes32>) -> Interval {
        var longest = Interval.zero
        for place in places {
            for (packet, time) in of(place, packets, keys: keys) { longest = max(longest, time - packet.time) }
        }
        return longest
    }

    private static func answers(_ packet: CapturedPacket, _ request: Request, _ original: CapturedPacket) -> Bool {
        guard packet.time < original.time + .seconds(1) else { return false }
        if let copy = try? Request(decoding: packet.payload) {
            return copy.command == request.command && copy.isInternal == request.isInternal && copy.target == request.target
        }
        // Not an answer to somebody else's request of the same tid.
        return packet.destination.address == original.source.address || request.command <= HyperDHTCommand.peerHolepunch.rawValue
    }

    /// A delayed PING waits; a server works on a handshake or hole punch while it reads on.
    private static func isAnsweredAtOnce(_ request: Request, _ keys: Set<Bytes32>) -> Bool {
        if request.isInternal { return request.command != InternalCommand.delayedPing.rawValue }
        guard request.command <= HyperDHTCommand.peerHolepunch.rawValue else { return true }
        return !(request.target.map { keys.contains($0) } ?? false)
    }
}
