/// How a field may differ between two captures that say the same.
public enum Variance: Sendable, Hashable, CustomStringConvertible {
    /// Not at all.
    case exact
    /// Within limits that the sentence gives.
    case bounded(String)
    /// Must differ: keys and nonces of two runs are never the same.
    case fresh
    /// Follows from something else in the same capture: a response's tid, a node's id, an address.
    case linked(String)
    /// In any way, for a reason. The report lists these.
    case free(String)

    public var name: String {
        switch self {
        case .exact: "exact"
        case .bounded: "bounded"
        case .fresh: "fresh"
        case .linked: "linked"
        case .free: "free"
        }
    }

    public var description: String {
        switch self {
        case .exact, .fresh: name
        case .bounded(let text), .linked(let text), .free(let text): "\(name) (\(text))"
        }
    }
}

/// One difference between two captures.
public struct DiffFinding: Sendable, Hashable {
    public enum Kind: String, Sendable {
        case changed
        /// In A, not in B.
        case missing
        /// In B, not in A.
        case extra
        case reordered
    }

    public let kind: Kind
    /// What the packets belong to ("client to server, PEER_HANDSHAKE", "stream 1001").
    public let conversation: String
    /// Packet numbers.
    public let packetA: Int?
    public let packetB: Int?
    /// Layer and field ("udx.ack", "dht-rpc.to"); the packet's kind for whole packets.
    public let field: String
    /// Offset of the first differing byte in the UDP or TCP payload, where one can be pointed at.
    public let offset: Int?
    public let a: String
    public let b: String
    public let rule: Variance
}

/// Differences that are allowed, gathered by field.
public struct AllowedDifference: Sendable, Hashable {
    public let field: String
    public let rule: Variance
    public var count: Int
    /// The first of them.
    public let a: String
    public let b: String
}

/// What a comparison of two captures found.
public struct CaptureDiff: Sendable {
    public enum Verdict: String, Sendable {
        case identical
        /// Differs only as declared.
        case equivalent
        case deviates
    }

    /// How the two relate; it decides what may differ.
    public enum Relation: String, Sendable {
        /// One recording and a copy of it: packets bear the same times. Every field is exact.
        case copy
        /// Two runs: what is drawn at random, and what follows from it, differs as declared field by field.
        case runs
    }

    public let nameA: String
    public let nameB: String
    public let relation: Relation
    public let packetsA: Int
    public let packetsB: Int
    /// Pairs of packets in which nothing differs, or only what is allowed.
    public internal(set) var foldedPackets = 0
    public internal(set) var comparedFields = 0
    public internal(set) var equalFields = 0
    public internal(set) var findings: [DiffFinding] = []
    public internal(set) var allowed: [AllowedDifference] = []
    /// Sentences about the captures as wholes.
    public internal(set) var notes: [String] = []

    init(nameA: String, nameB: String, relation: Relation, packetsA: Int, packetsB: Int) {
        self.nameA = nameA
        self.nameB = nameB
        self.relation = relation
        self.packetsA = packetsA
        self.packetsB = packetsB
    }

    public var verdict: Verdict {
        if !findings.isEmpty { return .deviates }
        // Two runs are never identical: they were not seen at the same time.
        return relation == .copy && allowed.isEmpty ? .identical : .equivalent
    }

    mutating func allow(_ field: String, _ rule: Variance, _ a: String, _ b: String) {
        if let index = allowed.firstIndex(where: { $0.field == field && $0.rule == rule }) {
            allowed[index].count += 1
        } else {
            allowed.append(AllowedDifference(field: field, rule: rule, count: 1, a: a, b: b))
        }
    }
}
