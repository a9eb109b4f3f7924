import SansIO

/// A snapshot of one stream's numbers. Times in milliseconds, sizes in bytes.
public struct StreamStatistics: Hashable, Sendable {
    /// Smoothed round-trip time; 0 before the first sample.
    public var smoothedRTTMilliseconds: Int64
    public var rttVarianceMilliseconds: Int64
    public var retransmissionTimeoutMilliseconds: Int64
    /// Packets that may be in flight.
    public var congestionWindow: Int
    /// Packets sent, not acknowledged and not thought lost.
    public var packetsInFlight: Int
    public var packetsWaitingForRetransmission: Int
    /// Bytes per millisecond at which packets may leave.
    public var pacingRate: Int
    /// The peer's last valid receive window.
    public var peerWindow: UInt32
    /// The window that we advertise now.
    public var ownWindow: UInt32
    /// IP packet size in use.
    public var mtu: Int
    public var nextSequenceNumber: SequenceNumber
    public var unacknowledged: SequenceNumber
    public var nextExpected: SequenceNumber
    /// Written and not yet acknowledged.
    public var bytesQueued: Int
    public var bytesHeldOutOfOrder: Int
    public var packetsHeldOutOfOrder: Int
    public var bytesSent: UInt64
    public var bytesReceived: UInt64
    public var packetsSent: UInt64
    public var packetsReceived: UInt64
    public var retransmissions: UInt64
    public var timeouts: UInt64
    public var fastRecoveries: UInt64
    public var socket: SocketID?
    public var remote: Endpoint?
    public var remoteID: StreamID
    public var isConnected: Bool
}
