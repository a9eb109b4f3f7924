import SansIO

/// What a frame carried, after link layer and IP.
public enum CapturedTransport: Sendable, Equatable {
    case udp
    case tcp(TCPHeader)
    /// A fragment whose datagram was not complete with it; the frame that completes it carries the payload.
    case fragment
    /// Something that this project does not look into ("ARP", "ICMP", "IP protocol 47"...).
    case other(String)
    /// A frame that could not be read; the reason is also counted.
    case damaged(String)
}

public struct TCPHeader: Sendable, Hashable {
    public let sequence: UInt32
    public let acknowledgement: UInt32
    public let isSYN: Bool
    public let isACK: Bool
    public let isFIN: Bool
    public let isReset: Bool
    public let window: UInt16
}

/// One packet of a capture.
public struct CapturedPacket: Sendable {
    /// Number of its frame, from 1. A datagram that came in fragments has the number of the frame that completed it.
    public let number: Int
    public let timeNanoseconds: Int64
    public let source: Endpoint
    public let destination: Endpoint
    public let transport: CapturedTransport
    /// IP time to live or hop limit (of the first fragment).
    public let timeToLive: UInt8
    /// IPv4's flag; always true for IPv6 packets that are not fragmented.
    public let dontFragment: Bool
    /// Size of the whole IP datagram, header included.
    public let ipLength: Int
    /// UDP or TCP payload.
    public let payload: [UInt8]
    /// Where the payload stands in the file; nil if it was put together from fragments.
    public let payloadFileOffset: Int?
    /// The capture kept fewer bytes than there were.
    public let isCut: Bool
    public let comments: [String]

    /// Microseconds, as the rest of the house counts.
    public var time: Instant { Instant(microseconds: timeNanoseconds / 1000) }
}
