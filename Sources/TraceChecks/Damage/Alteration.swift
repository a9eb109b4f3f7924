import CompactEncoding
import DHTRPC
import Dissection
import PacketCapture
import SansIO
import UDX

/// One way in which a recording can be made wrong: a field of one packet, or a packet's place, changed so that the run means something else.
public struct Alteration: Sendable {
    public let name: String
    /// Rules of which one at least names it; empty if what it breaks depends on where it strikes.
    public let rules: [String]
    /// Indices of packets at which it can be made.
    let places: @Sendable (TraceContext) -> [Int]
    /// The packets of the altered capture; nil if it can't be made here after all.
    let apply: @Sendable (TraceContext, Int, SeededEntropy) -> [CapturedPacket]?

    init(
        _ name: String, _ rules: [String] = [], at places: @escaping @Sendable (TraceContext) -> [Int],
        _ apply: @escaping @Sendable (TraceContext, Int, SeededEntropy) -> [CapturedPacket]?
    ) {
        self.name = name
        self.rules = rules
        self.places = places
        self.apply = apply
    }

    public static let all: [Alteration] = udx + udxOrder + dhtRPC + hyperDHT + encrypted + encryptedContents

    // MARK: Tools

    static func packets(_ context: TraceContext) -> [CapturedPacket] { context.packets.map(\.packet) }

    /// All packets with one of them changed.
    static func changing(_ context: TraceContext, _ index: Int, _ change: (CapturedPacket) -> CapturedPacket) -> [CapturedPacket] {
        var result = packets(context)
        result[index] = change(result[index])
        return result
    }

    static func dropping(_ context: TraceContext, _ indices: Int...) -> [CapturedPacket] {
        packets(context).enumerated().filter { !indices.contains($0.offset) }.map(\.element)
    }

    /// All packets with one sent again after some nanoseconds.
    static func repeating(_ context: TraceContext, _ index: Int, after delay: Int64) -> [CapturedPacket] {
        moving(context, index, by: delay, keepsOriginal: true)
    }

    static func moving(_ context: TraceContext, _ index: Int, by delay: Int64, keepsOriginal: Bool = false) -> [CapturedPacket] {
        var result = packets(context)
        let packet = result[index]
        let time = packet.timeNanoseconds + delay
        if !keepsOriginal { result.remove(at: index) }
        let place = result.firstIndex { $0.timeNanoseconds > time } ?? result.count
        result.insert(packet.with(timeNanoseconds: time), at: place)
        return result
    }

    static func swapping(_ context: TraceContext, _ a: Int, _ b: Int) -> [CapturedPacket] {
        var result = packets(context)
        let (first, second) = (result[a], result[b])
        result[a] = second.with(timeNanoseconds: first.timeNanoseconds)
        result[b] = first.with(timeNanoseconds: second.timeNanoseconds)
        return result
    }
}

/// Makes alterations at random places and asks whether the audit notices.
public final class DamageCampaign {
    public struct Outcome: Sendable {
        public let alteration: String
        /// Number of the packet that was altered.
        public let packet: Int
        public let summary: String
        public let rules: [String]
        public let expected: [String]

        public var isNoticed: Bool { !rules.isEmpty }
        /// One of the rules that the alteration is meant for spoke.
        public var isNamed: Bool { expected.isEmpty ? isNoticed : expected.contains { rules.contains($0) } }
    }

    public let bundle: TraceBundle
    private let background: TraceBackground
    private let context: TraceContext

    public init(_ bundle: TraceBundle) {
        self.bundle = bundle
        background = TraceBackground(bundle)
        context = TraceContext(background, capture: bundle.capture)
    }

    /// Whether the alteration can be made in this bundle.
    public func allows(_ alteration: Alteration) -> Bool { !alteration.places(context).isEmpty }

    /// Makes an alteration `count` times, each at a place of its own as far as there are as many.
    public func run(_ alteration: Alteration, count: Int, seed: UInt64) -> [Outcome] {
        var places = alteration.places(context)
        let entropy = SeededEntropy(seed: seed)
        var outcomes: [Outcome] = []
        while outcomes.count < count, !places.isEmpty {
            let index = places.remove(at: Int(entropy.uniform(below: UInt64(places.count), for: EntropyLabel(.test))))
            guard let packets = alteration.apply(context, index, entropy) else { continue }
            let capture = bundle.capture.replacingPackets(packets)
            let findings = TraceAudit(TraceContext(background, capture: capture)).findings
            let rules = Set(findings.map(\.rule)).sorted()
            outcomes.append(
                Outcome(
                    alteration: alteration.name, packet: context.number(index), summary: context.packets[index].summary, rules: rules,
                    expected: alteration.rules))
        }
        return outcomes
    }
}
