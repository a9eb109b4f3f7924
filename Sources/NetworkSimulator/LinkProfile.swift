import SansIO

/// How a path from one host to another treats datagrams. Every probability is in 0...1.
public struct LinkProfile: Sendable {
    public enum Loss: Sendable {
        case none
        case random(Double)
        /// Gilbert and Elliott's two states: a packet enters the bad state with `enter`, leaves it with `leave`, and is lost in it with `loss`.
        /// After a pause of 200 ms the state is drawn afresh.
        case burst(enter: Double, leave: Double, loss: Double)
        /// The numbers, from 0, of the packets of this link that are lost.
        case numbers(Set<Int>)
        /// True loses the packet: its number on this link, and its payload.
        case scripted(@Sendable (Int, [UInt8]) -> Bool)
    }

    /// One way.
    public var delay: Interval
    /// Added to the delay, uniform in 0...jitter. Packets overtake each other only through `reordering`.
    public var jitter: Interval
    public var loss: Loss
    /// Bits a second of IP packets; 0 for no limit.
    public var bandwidth: Int64
    /// Bytes that may wait for the wire; what finds the queue full is lost. Only with a bandwidth.
    public var queueBytes: Int
    /// Probability that a packet is held back by `reorderingDelay`, so that later ones overtake it.
    public var reordering: Double
    public var reorderingDelay: Interval
    public var duplication: Double
    /// Probability of damage that the UDP checksum catches: the packet is lost.
    public var detectedCorruption: Double
    /// Probability that one bit of the payload flips and the checksum does not notice.
    public var corruption: Double
    /// Largest IP packet in bytes. A larger datagram is fragmented if it may be, and lost with any one fragment; else it is dropped.
    public var mtu: Int

    public init(
        delay: Interval = .milliseconds(1), jitter: Interval = .zero, loss: Loss = .none, bandwidth: Int64 = 0,
        queueBytes: Int = 256 * 1024,
        reordering: Double = 0, reorderingDelay: Interval = .milliseconds(10), duplication: Double = 0, detectedCorruption: Double = 0,
        corruption: Double = 0, mtu: Int = 1500
    ) {
        self.delay = delay
        self.jitter = jitter
        self.loss = loss
        self.bandwidth = bandwidth
        self.queueBytes = queueBytes
        self.reordering = reordering
        self.reorderingDelay = reorderingDelay
        self.duplication = duplication
        self.detectedCorruption = detectedCorruption
        self.corruption = corruption
        self.mtu = mtu
    }

    /// Whether one packet's treatment depends on earlier packets.
    var hasMemory: Bool {
        if bandwidth > 0 || jitter > .zero || reordering > 0 { return true }
        switch loss {
        case .none, .random: return false
        case .burst, .numbers, .scripted: return true
        }
    }
}
