import KeyLog
import PacketCapture
import SansIO

/// Writes what crosses a simulated network as pcapng, with a key log: a failing run opens in Wireshark, `pcap show` and `pcap diff`.
///
/// Each datagram stands once, as its sender put it on the network, at the address that its NAT boxes gave it. Lost ones carry a comment.
public final class SimulationCapture {
    private var packets: [(frame: [UInt8], nanoseconds: Int64, comments: [String])] = []
    private var bytes = 0
    /// The wall time that stands for the simulation's start.
    public let epoch: Instant
    /// Stops recording beyond this many bytes of frames; `isComplete` then is false.
    public let byteLimit: Int
    public private(set) var isComplete = true
    public var keyLog = KeyLog()

    /// 1 January 2026, so that two runs of one seed are equal byte for byte.
    public init(epoch: Instant = Instant(microseconds: 1_767_225_600_000_000), byteLimit: Int = 1 << 30) {
        self.epoch = epoch
        self.byteLimit = byteLimit
    }

    /// Records everything from now on.
    public func attach(to simulation: Simulation) { simulation.tap = { [self] packet in record(packet) } }

    public func record(_ packet: SimulatedPacket) {
        guard bytes < byteLimit else {
            isComplete = false
            return
        }
        let frame = FrameBuilder.udp(
            packet.payload, from: packet.publicSource, to: packet.destination, timeToLive: packet.timeToLive,
            dontFragment: packet.dontFragment)
        bytes += frame.count
        var comments: [String] = []
        if case .dropped(let reason) = packet.fate { comments.append("dropped by the simulated network: \(reason.rawValue)") }
        let nanoseconds = (epoch.microseconds &+ packet.time.microseconds) &* 1000
        packets.append((frame, nanoseconds, comments))
    }

    public var count: Int { packets.count }

    /// The whole file: secrets first, then packets.
    public func pcapng() -> [UInt8] {
        var writer = PcapNGWriter(interfaceName: "simulation")
        if !keyLog.entries.isEmpty { writer.add(keyLog: keyLog, headerTime: epoch) }
        for packet in packets { writer.add(frame: packet.frame, timeNanoseconds: packet.nanoseconds, comments: packet.comments) }
        return writer.bytes
    }
}
