import SansIO

/// A machine that the simulator drives by the five calls of the sans-IO contract. The same machine is driven by real sockets elsewhere.
public protocol SimulatedHost: AnyObject {
    /// A datagram came in on one of this host's sockets.
    func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant)
    /// The time is now `now`; timers that are due fire.
    func advance(to now: Instant)
    /// When `advance` must be called again; `.distantFuture` for never.
    var nextWakeUp: Instant { get }
    /// Datagrams to send, in order; the host forgets them.
    func takeTransmits() -> [Transmit]
    /// Sockets to open and close, in order, before the transmits of the same turn; the host forgets them.
    func takeSocketRequests() -> [SocketRequest]
    /// A requested socket is open.
    func socketOpened(_ socket: SocketID, local: Endpoint, now: Instant)
}

extension SimulatedHost {
    public func takeSocketRequests() -> [SocketRequest] { [] }
    public func socketOpened(_ socket: SocketID, local: Endpoint, now: Instant) {}
}

/// A socket that a machine wants its driver to open or close. The machine chooses the id.
public enum SocketRequest: Hashable, Sendable {
    /// Port 0 means any free one.
    case open(SocketID, port: UInt16)
    case close(SocketID)
}

/// A host's number within its simulation.
public struct HostID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: Int
    public var description: String { "host \(number)" }
    public static func < (a: HostID, b: HostID) -> Bool { a.number < b.number }
}

/// A network: the internet, or what lies behind one NAT box.
public struct SegmentID: Hashable, Sendable {
    public let number: Int
    public static let internet = SegmentID(number: 0)
}
