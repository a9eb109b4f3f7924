import StrictJSON

/// The outcome of a run, as `results.json` holds it. Everything shown anywhere is computed from this.
public struct Results: Sendable, Equatable {
    public static let schema = "hyperconform-results/1"
    /// Raised whenever the same verdicts would give another score.
    public static let scoreVersion = 1

    public struct Implementation: Sendable, Equatable {
        public var name: String
        public var version: String
        public init(name: String, version: String) {
            self.name = name
            self.version = version
        }
    }

    /// Counts of requirements. `total` = `passed` + `failed` + `notRun`.
    public struct Counts: Sendable, Equatable {
        public var total = 0
        public var passed = 0
        public var failed = 0
        public var notRun = 0
        public init() {}

        mutating func add(_ verdict: Verdict) {
            total += 1
            if verdict.isPassed { passed += 1 } else if verdict.isFailed { failed += 1 } else { notRun += 1 }
        }
    }

    public struct Layer: Sendable, Equatable {
        public var name: String
        /// nil if nothing in the layer has weight.
        public var score: Double?
        /// Share of requirements that some mutant covers; nil if mutants were not run.
        public var coverage: Double?
        public var counts: Counts
    }

    public struct CheckEntry: Sendable, Equatable {
        public var id: String
        public var tier: Tier
        public var subject: Subject
        public var verdict: Verdict
        public var evidence: Evidence
    }

    /// What a person needs in order to believe a verdict.
    public struct Evidence: Sendable, Equatable {
        public var comparisons: Int
        public var reason: String
        public var allowances: [String]
        public var findings: [Finding]
        /// Mutants that this check killed.
        public var kills: [String]
    }

    public struct RequirementEntry: Sendable, Equatable {
        public var id: String
        public var layer: String
        public var level: Requirement.Level
        public var kind: Requirement.Kind
        public var verdict: Verdict
        public var reason: String
        public var checks: [CheckEntry]
    }

    public struct Vectors: Sendable, Equatable {
        public var cases = 0
        public var passed = 0
        public var fieldsExpected = 0
        public var fieldsCompared = 0
    }

    public struct Bundle: Sendable, Equatable {
        public var name: String
        public var packets: Int
        public var unexplained: Int
        public var verdict: Verdict
    }

    public var implementation: Implementation
    /// How Node's own recordings fare with the checks of subject `recording`.
    public var reference: Counts
    public var referenceName: String
    public var corpusDigest: String
    public var toolVersion: String
    public var seed: UInt64
    public var score: Double?
    public var coverage: Double?
    public var layers: [Layer]
    public var requirements: [RequirementEntry]
    public var vectors: Vectors
    public var bundles: [Bundle]
}

extension Results {
    /// 100 x passed weight / weight, over wire, policy and api. Rounded to two decimals; nil without weight.
    public static func score(_ entries: some Sequence<RequirementEntry>) -> Double? {
        var passed = 0
        var total = 0
        for entry in entries where entry.kind != .hardening {
            total += entry.level.weight
            if entry.verdict.isPassed { passed += entry.level.weight }
        }
        // Rounded in integers, so that every machine prints the same digits.
        return total == 0 ? nil : Double((passed * 20_000 + total) / (2 * total)) / 100
    }

    static func share(_ part: Int, _ total: Int) -> Double { total == 0 ? 0 : Double((part * 20_000 + total) / (2 * total)) / 10_000 }

    /// Counts of `entries`.
    public static func counts(_ entries: some Sequence<RequirementEntry>) -> Counts {
        var counts = Counts()
        for entry in entries { counts.add(entry.verdict) }
        return counts
    }

    /// A requirement is covered if one of its checks killed one of its mutants.
    public static func isCovered(_ entry: RequirementEntry) -> Bool {
        entry.checks.contains { check in check.evidence.kills.contains { $0 == entry.id || $0.hasPrefix(entry.id + "/") } }
    }

    public static func coverage(_ entries: [RequirementEntry]) -> Double { share(entries.filter(isCovered).count, entries.count) }

    static func layers(_ entries: [RequirementEntry], coverageKnown: Bool) -> [Layer] {
        Layers.all.compactMap { name in
            let own = entries.filter { $0.layer == name }
            if own.isEmpty { return nil }
            return Layer(name: name, score: score(own), coverage: coverageKnown ? coverage(own) : nil, counts: counts(own))
        }
    }

    public var counts: Counts { Results.counts(requirements) }
    public var hardening: Counts { Results.counts(requirements.filter { $0.kind == .hardening }) }

    /// Checks that appear, each once, in order.
    public var checks: [CheckEntry] {
        var seen: Set<String> = []
        return requirements.flatMap(\.checks).filter { seen.insert($0.id).inserted }
    }
}
