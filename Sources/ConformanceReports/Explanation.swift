import Conformance

/// One requirement, told to a person: what it says, who judges it, how it stands.
public struct Explanation {
    public let requirement: Requirement
    public let results: [CheckResult]
    public let mutants: [Mutant]

    /// Columns of what the requirement says; nil where whoever shows it breaks lines.
    public let width: Int?

    public init(requirement: Requirement, results: [CheckResult], mutants: [Mutant], width: Int? = 100) {
        self.width = width
        self.requirement = requirement
        self.results = results
        self.mutants = mutants
    }

    public var text: String {
        var lines = ["\(requirement.id)  \(requirement.layer), \(requirement.level.rawValue), \(requirement.kind.rawValue)"]
        lines.append(width.map { Text.wrapped(requirement.text, indent: 2, width: $0) } ?? "  \(requirement.text)")
        if let condition = requirement.condition { lines.append("  applies if  \(condition)") }
        lines.append("  source      \(requirement.source)")
        lines.append(
            "  reference   Node.js \(requirement.reference == .unverified ? "has not been verified" : requirement.reference.rawValue)")
        if let note = requirement.note { lines.append("  note        \(note)") }
        lines.append("  judged by   tiers \(requirement.tiers.map(\.rawValue).joined(separator: ", "))")
        let (verdict, reason) = Judgement.verdict(results.map { Results.CheckEntry($0) })
        lines.append("  verdict     \(verdict.rawValue)\(reason.isEmpty ? "" : " (\(reason))")")
        for result in results {
            lines.append(
                "  check       \(result.id) (\(result.tier.rawValue), \(result.subject)): \(result.verdict.rawValue), \(Text.plural(result.comparisons, "comparison"))"
            )
            if !result.reason.isEmpty { lines.append("              \(result.reason)") }
            for finding in result.findings.prefix(5) {
                lines.append("              \(finding.location.isEmpty ? "" : finding.location + ": ")\(finding.field)")
                lines.append("                expected \(Text.shortened(finding.expected, 160))")
                lines.append("                actual   \(Text.shortened(finding.actual, 160))")
            }
            if result.findings.count > 5 { lines.append("              and \(result.findings.count - 5) more") }
        }
        if results.isEmpty { lines.append("  check       none") }
        for mutant in mutants { lines.append("  mutant      \(mutant.id): \(mutant.bug)") }
        if mutants.isEmpty { lines.append("  mutant      none") }
        return lines.joined(separator: "\n") + "\n"
    }
}
