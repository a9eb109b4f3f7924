import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import PacketCapture
import SansIO

/// Flips one byte of a recording at a time and asks whether the audit names the packet.
///
/// Bytes are drawn class by class with a seed. What the capture's owner can't judge is left out: opaque bytes, and the payload of streams that
/// have no protection of their own.
public final class FlipCampaign {
    /// What a byte belongs to.
    public enum ByteKind: String, Sendable, CaseIterable {
        case dhtRPC = "dht-rpc"
        case hyperDHT = "HyperDHT values"
        case noise = "Noise messages"
        case udx = "UDX headers"
        case secretStream = "secret-stream"
        case protomux = "Protomux"
    }

    public struct Target: Sendable, Hashable {
        /// Index in the capture's packets.
        public let packet: Int
        public let offset: Int
        /// A hash, tag or signature covers the byte.
        public let isAuthenticated: Bool
    }

    public struct Outcome: Sendable {
        public let kind: ByteKind
        public let packet: Int
        public let offset: Int
        public let field: String
        public let mask: UInt8
        public let isAuthenticated: Bool
        /// The finding that names the packet, if there is one.
        public let finding: TraceFinding?
        /// Findings that name other packets.
        public let others: Int
    }

    public struct Summary: Sendable {
        public var flips = 0
        public var found = 0
        public var authenticated = 0
        public var authenticatedFound = 0
        public var misses: [Outcome] = []

        public init() {}

        public mutating func add(_ other: Summary) {
            flips += other.flips
            found += other.found
            authenticated += other.authenticated
            authenticatedFound += other.authenticatedFound
            misses += other.misses
        }

        mutating func add(_ outcome: Outcome) {
            flips += 1
            found += outcome.finding != nil ? 1 : 0
            if outcome.isAuthenticated {
                authenticated += 1
                authenticatedFound += outcome.finding != nil ? 1 : 0
            }
            if outcome.finding == nil, misses.count < 200 { misses.append(outcome) }
        }
    }

    public let bundle: TraceBundle
    /// All bytes that may be flipped, by kind.
    public let targets: [ByteKind: [Target]]
    /// Opaque bytes that are outside, by reason.
    public let opaque: [(reason: String, count: Int)]
    private let baseline: Set<TraceFinding>
    private let background: TraceBackground
    private let memory = DissectionMemory()

    public init(_ bundle: TraceBundle) {
        self.bundle = bundle
        background = TraceBackground(bundle)
        let context = TraceContext(background, capture: bundle.capture, memory: memory)
        baseline = Set(TraceAudit(context).findings)
        opaque = Statistics(context.dissection).opaque
        var targets: [ByteKind: [Target]] = [:]
        for index in context.packets.indices {
            for (kind, offset) in FlipCampaign.kinds(context, index) {
                targets[kind, default: []].append(
                    Target(packet: index, offset: offset, isAuthenticated: context.packets[index].account.classes[offset] >= .verified))
            }
        }
        self.targets = targets
    }

    /// The kinds of a packet's bytes; bytes of no kind are left out.
    private static func kinds(_ context: TraceContext, _ index: Int) -> [(ByteKind, Int)] {
        let packet = context.packets[index]
        let count = packet.packet.payload.count
        var result: [(ByteKind, Int)] = []
        switch packet.kind {
        case .dhtRequest, .dhtResponse:
            let value =
                packet.units.first { $0.layer == .hyperDHT }?.range
                ?? packet.units.first?.field("value").flatMap { isStored(context, index) ? $0.range : nil }
            let noise = packet.units.first { $0.layer == .noise }?.range
            for offset in 0..<count {
                if noise?.contains(offset) ?? false {
                    result.append((.noise, offset))
                } else if value?.contains(offset) ?? false {
                    result.append((.hyperDHT, offset))
                } else {
                    result.append((.dhtRPC, offset))
                }
            }
        case .udx:
            guard case .udx(let message) = packet.message else { return [] }
            let header = count - message.payload.count
            for offset in 0..<header { result.append((.udx, offset)) }
            guard let flow = context.flowOf[index],
                let stream = context.dissection.secretStreams.first(where: { $0.flow == flow })
            else { return result }
            let kind: ByteKind = stream.protomuxFrames > 0 ? .protomux : .secretStream
            for offset in header..<count where packet.account.classes[offset] >= .field { result.append((kind, offset)) }
        case .tcp:
            for offset in 0..<count where packet.account.classes[offset] >= .field { result.append((.secretStream, offset)) }
        default: break
        }
        return result
    }

    /// Immutable values stand in the dht-rpc value field as they are.
    private static func isStored(_ context: TraceContext, _ index: Int) -> Bool {
        guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), !exchange.isInternal else { return false }
        let command = HyperDHTCommand(rawValue: exchange.commandNumber)
        return command == .immutablePut || command == .immutableGet
    }

    /// Flips one byte and looks.
    public func flip(_ target: Target, kind: ByteKind, mask: UInt8) -> Outcome {
        let packet = bundle.capture.packets[target.packet]
        var payload = packet.payload
        if payload.indices.contains(target.offset) { payload[target.offset] ^= mask }
        let capture = bundle.capture.replacingPayload(ofPacketAt: target.packet, with: payload)
        let context = TraceContext(background, capture: capture, memory: memory)
        let findings = TraceAudit(context).findings.filter { !baseline.contains($0) }
        let naming = findings.first { $0.packet == packet.number }
        return Outcome(
            kind: kind, packet: packet.number, offset: target.offset, field: context.packets[target.packet].field(at: target.offset),
            mask: mask,
            isAuthenticated: target.isAuthenticated, finding: naming, others: findings.count - (naming == nil ? 0 : 1))
    }

    /// `count` flips of one kind, drawn with `seed`.
    public func run(_ kind: ByteKind, count: Int, seed: UInt64) -> Summary {
        var summary = Summary()
        guard let targets = targets[kind], !targets.isEmpty else { return summary }
        let entropy = SeededEntropy(seed: seed)
        for _ in 0..<count {
            let target = targets[Int(entropy.uniform(below: UInt64(targets.count), for: EntropyLabel(.test)))]
            let mask = UInt8(1 + entropy.uniform(below: 255, for: EntropyLabel(.test, 1)))
            summary.add(flip(target, kind: kind, mask: mask))
        }
        return summary
    }
}
