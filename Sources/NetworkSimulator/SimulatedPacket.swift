import SansIO

/// A datagram as it entered the network.
public struct SimulatedPacket: Sendable {
    public enum Fate: Hashable, Sendable {
        case sent
        case dropped(DropReason)
    }

    public var time: Instant
    /// The sender's own address.
    public var source: Endpoint
    public var destination: Endpoint
    public var payload: [UInt8]
    public var timeToLive: UInt8
    public var dontFragment: Bool
    public var fate = Fate.sent
    /// The source after the sender's NAT boxes.
    public var publicSource: Endpoint
    /// The source that the receiver sees.
    var deliveredSource: Endpoint

    init(time: Instant, source: Endpoint, destination: Endpoint, payload: [UInt8], timeToLive: UInt8, dontFragment: Bool) {
        self.time = time
        self.source = source
        self.destination = destination
        self.payload = payload
        self.timeToLive = timeToLive
        self.dontFragment = dontFragment
        publicSource = source
        deliveredSource = source
    }
}
