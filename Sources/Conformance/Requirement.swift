/// One numbered sentence of the specification, as `requirements.json` lists it.
public struct Requirement: Sendable {
    public enum Level: String, Sendable, CaseIterable {
        case must = "MUST"
        case should = "SHOULD"
        case may = "MAY"

        /// Weight in the score.
        public var weight: Int {
            switch self {
            case .must: 3
            case .should: 1
            case .may: 0
            }
        }
    }

    public enum Kind: String, Sendable, CaseIterable {
        case wire, policy, api, hardening
    }

    /// Whether Node.js obeys it.
    public enum Reference: String, Sendable, CaseIterable {
        case conforms, deviates, unverified
    }

    public let id: String
    public let layer: String
    public let source: String
    public let text: String
    public let kind: Kind
    public let level: Level
    public let reference: Reference
    /// Which part of an implementation carries it: `codec` or `stack`.
    public let subject: Subject
    /// Tiers that can judge it.
    public let tiers: [Tier]
    /// When it applies; nil is always.
    public let condition: String?
    public let note: String?
}

/// The layers from the wire up, in the order in which every report shows them.
public enum Layers {
    public static let all = ["noise", "secret-stream", "protomux", "blind-relay", "udx", "dht-rpc", "hyperdht", "hyperswarm"]

    /// Position in a report; unknown layers come last.
    public static func rank(_ layer: String) -> Int { all.firstIndex(of: layer) ?? all.count }
}
