import SansIO

/// One direction of a TCP connection, each byte once and in order.
public struct TCPStream: Sendable {
    /// Bytes that one packet brought first.
    public struct Chunk: Sendable {
        /// Number of the packet.
        public let packet: Int
        /// Offset in the stream.
        public let offset: Int
        public let count: Int
        /// Offset in the packet's payload at which these bytes begin.
        public let payloadOffset: Int
    }

    public let source: Endpoint
    public let destination: Endpoint
    public fileprivate(set) var bytes: [UInt8] = []
    public fileprivate(set) var chunks: [Chunk] = []
    /// The capture shows how the connection began.
    public fileprivate(set) var hasStart = false
    public fileprivate(set) var hasEnd = false
    public fileprivate(set) var retransmissions = 0
    /// Bytes that came after a hole that nothing filled.
    public fileprivate(set) var unreachableBytes = 0
    /// A packet repeated bytes with another content: its number.
    public fileprivate(set) var conflicts: [Int] = []

    /// The packet that brought the byte at `offset`, with the byte's place in that packet's payload.
    public func packet(at offset: Int) -> (packet: Int, payloadOffset: Int)? {
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if chunks[middle].offset + chunks[middle].count <= offset { low = middle + 1 } else { high = middle }
        }
        guard chunks.indices.contains(low), chunks[low].offset <= offset else { return nil }
        return (chunks[low].packet, chunks[low].payloadOffset + offset - chunks[low].offset)
    }
}

/// Reassembles TCP streams, far enough to read a conversation that was captured whole. Bounded: 4096 directions, 16 MiB waiting behind holes.
struct TCPReassembler {
    private struct Key: Hashable {
        let source: Endpoint
        let destination: Endpoint
    }

    private struct State {
        var stream: TCPStream
        var next: UInt32?
        var waiting: [(sequence: UInt32, packet: Int, payload: [UInt8])] = []
        var waitingBytes = 0
        var firstSequence: UInt32 = 0
    }

    private var states: [State] = []
    private var indices: [Key: Int] = [:]

    var streams: [TCPStream] {
        states.map { state in
            var stream = state.stream
            stream.unreachableBytes += state.waitingBytes
            return stream
        }
    }

    mutating func add(_ packet: CapturedPacket, _ header: TCPHeader) {
        let key = Key(source: packet.source, destination: packet.destination)
        let index: Int
        if let known = indices[key], !(header.isSYN && states[known].stream.hasEnd) {
            index = known
        } else {
            guard states.count < 4096 else { return }
            index = states.count
            states.append(State(stream: TCPStream(source: packet.source, destination: packet.destination)))
            indices[key] = index
        }
        if header.isSYN {
            if states[index].next == nil {
                states[index].next = header.sequence &+ 1
                states[index].firstSequence = header.sequence &+ 1
                states[index].stream.hasStart = true
            }
            return
        }
        if header.isFIN || header.isReset { states[index].stream.hasEnd = true }
        guard !packet.payload.isEmpty else { return }
        if states[index].next == nil {
            states[index].next = header.sequence
            states[index].firstSequence = header.sequence
        }
        accept(index, header.sequence, packet.number, packet.payload)
        var progress = true
        while progress {
            progress = false
            for position in states[index].waiting.indices {
                let piece = states[index].waiting[position]
                // The same question as in `accept`: what it would put back must not be taken out.
                if let next = states[index].next, Int32(bitPattern: next &- piece.sequence) >= 0 {
                    states[index].waiting.remove(at: position)
                    states[index].waitingBytes -= piece.payload.count
                    accept(index, piece.sequence, piece.packet, piece.payload)
                    progress = true
                    break
                }
            }
        }
    }

    private mutating func accept(_ index: Int, _ sequence: UInt32, _ packet: Int, _ payload: [UInt8]) {
        guard let next = states[index].next else { return }
        let distance = Int(Int32(bitPattern: next &- sequence))
        if distance < 0 {
            guard states[index].waitingBytes + payload.count <= 16 << 20, states[index].waiting.count < 4096 else {
                states[index].stream.unreachableBytes += payload.count
                return
            }
            states[index].waiting.append((sequence, packet, payload))
            states[index].waitingBytes += payload.count
            return
        }
        let overlap = min(distance, payload.count)
        if overlap > 0 {
            if distance >= payload.count { states[index].stream.retransmissions += 1 }
            let start = states[index].stream.bytes.count - distance
            if start >= 0, states[index].stream.bytes[start..<start + overlap] != payload[..<overlap] {
                states[index].stream.conflicts.append(packet)
            }
        }
        let fresh = payload[overlap...]
        guard !fresh.isEmpty else { return }
        states[index].stream.chunks.append(
            TCPStream.Chunk(packet: packet, offset: states[index].stream.bytes.count, count: fresh.count, payloadOffset: overlap))
        states[index].stream.bytes += fresh
        states[index].next = next &+ UInt32(truncatingIfNeeded: fresh.count)
    }
}
