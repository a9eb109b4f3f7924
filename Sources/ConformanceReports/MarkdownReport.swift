import Conformance

/// For a pull request's summary.
public struct MarkdownReport {
    public let results: Results
    public var limit = 50

    public init(_ results: Results) { self.results = results }

    public var text: String {
        let counts = results.counts
        var lines = [
            "## Hyperswarm wire conformance: \(Text.score(results.score)) of 100", "",
            "\(Escape.markdown(results.implementation.name)) \(Escape.markdown(results.implementation.version)), \(counts.passed) of \(counts.total) requirements passed, \(counts.failed) failed, \(counts.notRun) not run, coverage \(Text.percent(results.coverage)).",
            "", "| layer | requirements | passed | failed | not run | score | coverage |", "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for layer in results.layers {
            lines.append(
                "| \(layer.name) | \(layer.counts.total) | \(layer.counts.passed) | \(layer.counts.failed) | \(layer.counts.notRun) | \(Text.score(layer.score)) | \(Text.percent(layer.coverage)) |"
            )
        }
        let hardening = results.hardening
        lines += [
            "", "- hardening: \(hardening.passed) of \(hardening.total) passed (not part of the score)",
            "- vectors: \(results.vectors.passed) of \(results.vectors.cases) cases passed, \(results.vectors.fieldsCompared) of \(results.vectors.fieldsExpected) expected fields compared",
            "- recordings: \(results.bundles.filter(\.verdict.isPassed).count) of \(results.bundles.count) passed, \(results.bundles.map(\.unexplained).reduce(0, +)) packets unexplained",
            "- reference (\(Escape.markdown(results.referenceName))): \(results.reference.passed) requirements shown by its recordings, \(results.reference.failed) contradicted",
        ]
        let failed = results.checks.filter { $0.verdict.isFailed || $0.verdict == .harnessError }
        if !failed.isEmpty {
            lines += ["", "### What failed", "", "| check | verdict | field | expected | actual | where |", "|---|---|---|---|---|---|"]
            for check in failed.prefix(limit) {
                let finding = check.evidence.findings.first
                let cells = [
                    check.id, check.verdict.rawValue, finding?.field ?? "", Text.shortened(finding?.expected ?? check.evidence.reason, 64),
                    Text.shortened(finding?.actual ?? "", 64), finding?.location ?? "",
                ]
                lines.append("| " + cells.map(Escape.markdown).joined(separator: " | ") + " |")
            }
            if failed.count > limit { lines.append("\nAnd \(failed.count - limit) more.") }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
