/// A datagram that a machine wants sent. Effects of one call leave in the order in which they were appended.
public struct Transmit: Hashable, Sendable {
    public var socket: SocketID
    public var destination: Endpoint
    public var payload: [UInt8]
    /// IP time to live; 0 means the socket's default (64).
    public var timeToLive: UInt8
    /// False lets IP fragment this datagram (paths below 1200).
    public var dontFragment: Bool

    @inlinable public init(
        socket: SocketID, destination: Endpoint, payload: [UInt8], timeToLive: UInt8 = 0, dontFragment: Bool = true
    ) {
        self.socket = socket
        self.destination = destination
        self.payload = payload
        self.timeToLive = timeToLive
        self.dontFragment = dontFragment
    }
}
