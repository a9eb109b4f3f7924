import CompactEncoding
import SansIO

/// Cuts a byte stream into frames, however it was chopped on the way; holds at most one unfinished frame. Stack and dissector share it.
public struct FrameParser: Sendable {
    public enum Result: Sendable {
        /// All bytes were taken; the frame is not whole yet.
        case incomplete
        /// A body that stands in the bytes just given.
        case inPlace(Range<Int>)
        /// A body that came in pieces.
        case assembled([UInt8])
        /// A length outside the limits: nothing of the body was taken.
        case refused(length: Int)
    }

    private var prefix: [UInt8] = []
    private var body: [UInt8] = []
    private var length: Int?

    public init() {}

    /// Whether a frame has begun and is not whole.
    public var isInsideFrame: Bool { !prefix.isEmpty || length != nil }

    /// Bytes of memory held for the unfinished frame. SS-28.
    public var heldBytes: Int { body.capacity + prefix.count }

    /// What has arrived of the unfinished body.
    var partialBody: [UInt8] { body }

    /// Goes on at `bytes[offset...]` and moves `offset` past what it took. Lengths outside `limits` are refused before anything is
    /// held for them. SS-3, SS-4.
    public mutating func next(_ bytes: [UInt8], from offset: inout Int, limits: ClosedRange<Int>) -> Result {
        if length == nil {
            if prefix.isEmpty, bytes.count - offset < FrameLength.size, Mutation.secretStream(3).isActive {
                offset = bytes.count
                return .incomplete
            }
            while prefix.count < FrameLength.size {
                guard offset < bytes.count else { return .incomplete }
                prefix.append(bytes[offset])
                offset += 1
            }
            let announced = (try? FrameLength(decoding: prefix).length) ?? 0
            guard limits.contains(announced) else { return .refused(length: announced) }
            length = announced
            if Mutation.secretStream(28).isActive { body.reserveCapacity(announced) }
        }
        let wanted = length ?? 0
        if body.isEmpty, bytes.count - offset >= wanted {
            let range = offset..<offset + wanted
            offset += wanted
            restart()
            return .inPlace(range)
        }
        let taken = min(wanted - body.count, bytes.count - offset)
        body.append(contentsOf: bytes[offset..<offset + taken])
        offset += taken
        guard body.count == wanted else { return .incomplete }
        let whole = body
        restart()
        return .assembled(whole)
    }

    private mutating func restart() {
        length = nil
        prefix.removeAll(keepingCapacity: true)
        body = []
    }
}
