import CompactEncoding
import KeyLog
import PacketCapture
import SansIO

/// How many checks of each kind held, or did not.
public struct Tally: Sendable, Hashable {
    public var nodeIDs = 0
    public var tokens = 0
    public var signatures = 0
    public var hashes = 0
    public var noise = 0
    public var tags = 0

    public init() {}

    public var all: [(name: String, count: Int)] {
        [
            ("nodeIDs", nodeIDs), ("tokens", tokens), ("signatures", signatures), ("hashes", hashes), ("noise", noise), ("tags", tags),
        ]
    }
}

/// A capture understood: packets with their layers, and the conversations that they belong to.
public struct Dissection: Sendable {
    public let name: String
    public internal(set) var packets: [DissectedPacket] = []
    public internal(set) var exchanges: [Exchange] = []
    public internal(set) var flows: [UDXFlow] = []
    public internal(set) var handshakes: [Handshake] = []
    public internal(set) var secretStreams: [SecretStreamTrace] = []
    public internal(set) var issues: [Issue] = []
    public internal(set) var verified = Tally()
    public internal(set) var failed = Tally()
    /// What the capture file itself could not tell ("a UDP header is cut", 3).
    public internal(set) var captureIssues: [(reason: String, count: Int)] = []

    /// The capture shows a network that was already talking: some of its first packets answer or continue what is not in it.
    public internal(set) var beganMidway = false

    /// Whether a packet stands so near the beginning of such a capture that what it belongs to may be missing.
    public func mayContinue(_ index: Int) -> Bool {
        guard beganMidway, let first = packets.first else { return false }
        return packets[index].packet.timeNanoseconds - first.packet.timeNanoseconds < 6_000_000_000
    }

    /// Index in `packets` by packet number.
    public func index(of number: Int) -> Int? {
        // Packets stand in order of their numbers, which count from 1 without holes.
        if packets.indices.contains(number - 1), packets[number - 1].number == number { return number - 1 }
        return packets.firstIndex { $0.number == number }
    }

    public init(name: String) { self.name = name }

    /// Reads a bundle's main capture with everything that the bundle knows.
    public init(_ bundle: TraceBundle) { self = Dissection(bundle, capture: bundle.capture) }

    /// Reads one of a bundle's captures ("client" and "server" sides have their own).
    public init(_ bundle: TraceBundle, capture: Capture) {
        self.init(name: bundle.name, capture: capture, keyLog: bundle.keyLog, knowledge: Knowledge(bundle))
    }

    /// As above, with knowledge that was gathered before: for whoever dissects many variants of one bundle.
    public init(name: String, capture: Capture, keyLog: KeyLog?, knowledge: Knowledge, memory: DissectionMemory? = nil) {
        self = TraceDissector(name: name, capture: capture, keyLog: keyLog, knowledge: knowledge, memory: memory).run()
    }
}

extension Dissection {
    /// The version families of KadePy's protocols that the capture holds, sorted; empty for a capture of Hyperswarm.
    public var kadepyFamilies: [String] {
        var families: Set<String> = []
        for packet in packets { if case .kadepy(let message) = packet.kind { families.insert(message.family.rawValue) } }
        return families.sorted()
    }
}
