/// Bounds and policies of an instance and its streams. The defaults are invisible to a well-behaved peer.
public struct UDXLimits: Hashable, Sendable {
    /// Live streams.
    public var maximumStreams = 65_536
    /// Closed streams whose last packets are still acknowledged. UDX-59.
    public var maximumLingering = 4096
    /// Milliseconds for which a gracefully closed stream still acknowledges the peer's END.
    public var lingerMilliseconds: Int64 = 30_000
    /// Longer datagrams are cut, as the reference's receive buffer does. Bytes of UDP payload. UDX-38b.
    public var largestDatagram = 2048
    /// How far ahead of the next expected number an out-of-order packet may lie: as far as the reference reports any. UDX-40.
    public var reorderingSpan = 65_536
    /// Bytes of out-of-order packets held beside the receive window, so that a small window still allows repair. UDX-40.
    public var minimumHeldBytes = 262_144
    /// What the advertised window is counted down from. Bytes.
    public var receiveWindow: UInt32 = 4_194_304
    /// Whether an ACK announces that a closed window reopened; the reference waits for a probe. udx.md section 7.
    public var announcesReopenedWindow = true
    /// Whether to look for a path MTU above 1200. The reference's own search is inert. UDX-42.
    public var probesPathMTU = false
    /// Bytes queued beyond the send window before `write` says "not drained".
    public var highWaterMark = 262_144
    public var congestionControl = CongestionControl.bbr

    public init() {}
}

/// Which algorithm sets the congestion window. udx.md section 12.
public enum CongestionControl: String, Hashable, Sendable, CaseIterable {
    /// BBR version 1, the reference's since August 2025.
    case bbr
    /// CUBIC, the reference's before: without pacing but for a flat limit.
    case cubic
}
