import NetworkSimulator
import SansIO
import UDX

/// How much of a bottleneck one stream fills: application bytes over (rate x 1152/1200), in virtual time after the start.
public struct GoodputScenario: Sendable {
    public var megabitsPerSecond: Int
    public var roundTripMilliseconds: Int
    /// Fraction of packets lost at random, each way.
    public var loss: Double
    public var congestionControl: CongestionControl
    /// Virtual seconds that are left out, and that are measured.
    public var startSeconds = 5
    public var measuredSeconds = 60

    public init(megabitsPerSecond: Int, roundTripMilliseconds: Int, loss: Double, congestionControl: CongestionControl = .bbr) {
        self.megabitsPerSecond = megabitsPerSecond
        self.roundTripMilliseconds = roundTripMilliseconds
        self.loss = loss
        self.congestionControl = congestionControl
    }

    /// The share of the achievable rate, 0...1.
    public func run(seed: UInt64) -> Double {
        let rate = Int64(megabitsPerSecond) * 1_000_000
        let delay = Interval.milliseconds(Int64(roundTripMilliseconds) / 2)
        // A queue of one bandwidth-delay product.
        let queue = Int(rate) / 8 * roundTripMilliseconds / 1000
        var forward = LinkProfile(delay: delay, bandwidth: rate, queueBytes: queue)
        var back = LinkProfile(delay: delay)
        if loss > 0 {
            forward.loss = .random(loss)
            back.loss = .random(loss)
        }
        var limits = UDXLimits()
        limits.congestionControl = congestionControl
        var sending = UDXHost.Plan()
        // More than the line carries in the time, so that the sender always has something to send.
        sending.bytesToSend = Int(rate) / 8 * (startSeconds + measuredSeconds + 10)
        sending.chunk = 65_536
        sending.verifies = false
        var receiving = UDXHost.Plan()
        receiving.verifies = false
        let a = UDXHost(
            seed: seed, stream: StreamID(1), initialSequence: .zero, peerSequence: .zero, plan: sending, isFirst: true, limits: limits)
        let b = UDXHost(
            seed: seed &+ 1, stream: StreamID(2), initialSequence: .zero, peerSequence: .zero, plan: receiving, isFirst: false,
            limits: limits)
        let simulation = Simulation(seed: seed, link: forward)
        let hostA = simulation.addHost(a, address: .v4(0x0a00_0001))
        let hostB = simulation.addHost(b, address: .v4(0x0a00_0002))
        simulation.setLink(from: hostA, to: hostB, forward)
        simulation.setLink(from: hostB, to: hostA, back)
        simulation.bind(hostA, SocketID(1), port: 4001)
        simulation.bind(hostB, SocketID(1), port: 4002)
        a.connect(SocketID(1), to: StreamID(2), at: Endpoint(.v4(0x0a00_0002), 4002))
        b.connect(SocketID(1), to: StreamID(1), at: Endpoint(.v4(0x0a00_0001), 4001))
        _ = try? simulation.run(until: .zero + .seconds(Int64(startSeconds)))
        let before = b.bytesReceived
        _ = try? simulation.run(until: .zero + .seconds(Int64(startSeconds + measuredSeconds)))
        guard a.broken == nil, b.broken == nil else { return 0 }
        let achievable = Double(rate) / 8 * 1152 / 1200 * Double(measuredSeconds)
        return Double(b.bytesReceived - before) / achievable
    }

    /// The median over seeds 1...n.
    public func median(seeds: Int) -> Double {
        let shares = (1...max(1, seeds)).map { run(seed: UInt64($0)) }.sorted()
        return shares[shares.count / 2]
    }
}
