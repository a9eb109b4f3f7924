import CompactEncoding
import SansIO
import UDX

/// One direction of a UDX stream: all packets that carry one receiver's id, put together. Packets are indices into the dissection's `packets`.
public struct UDXFlow: Sendable {
    /// Bytes of the stream that one packet brought first.
    public struct Chunk: Sendable {
        public let packet: Int
        /// Offset in the stream.
        public let offset: Int
        public let count: Int
        /// Offset in the packet's UDP payload at which these bytes begin.
        public let payloadOffset: Int
    }

    /// The receiver's id, as every packet of the flow carries it.
    public let streamID: StreamID
    /// Where the flow's first packet came from, and went. Both may change when a connection moves from a relay to a direct path.
    public let from: Endpoint
    public let to: Endpoint
    public internal(set) var packets: [Int] = []
    /// The flow that goes the other way, as an index into the dissection's `flows`.
    public internal(set) var reverse: Int?
    /// The flow whose packets these are copies of: this is a relay's outgoing leg.
    public internal(set) var relayedFrom: Int?
    public internal(set) var firstSeq = SequenceNumber.zero
    /// One past the highest sequence number that was consumed.
    public internal(set) var nextSeq = SequenceNumber.zero
    /// The stream is older than the capture: what its packets acknowledge, or the numbers they carry, began before the first of them.
    public internal(set) var beganEarlier = false
    /// Number of the packet that ends the direction.
    public internal(set) var endSeq: SequenceNumber?
    /// Index of the DESTROY packet.
    public internal(set) var destroyed: Int?
    /// The stream's bytes in order, each once, up to the first number that is not in the capture.
    public internal(set) var bytes: [UInt8] = []
    public internal(set) var chunks: [Chunk] = []
    /// First sequence number that no packet of the capture carries although later ones are there.
    public internal(set) var gap: SequenceNumber?
    public internal(set) var retransmissions = 0
    /// Unordered messages: packet, and the range in its UDP payload.
    public internal(set) var messages: [(packet: Int, range: Range<Int>)] = []

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
