import Conformance

/// The first screen: score by layer, then what failed and why.
public struct TableReport {
    public let results: Results
    public let colours: Bool
    /// Failures beyond this many are only counted.
    public var limit = 20

    public init(_ results: Results, colours: Bool = false) {
        self.results = results
        self.colours = colours
    }

    public var text: String {
        let palette = Palette(on: colours)
        var lines = [
            palette.bold("\(results.implementation.name) \(results.implementation.version)")
                + " held against bytes that Node.js made (corpus \(results.corpusDigest.prefix(12)))", "",
        ]
        let header = ["layer", "requirements", "passed", "failed", "not run", "score", "coverage"]
        var rows: [[String]] = results.layers.map { layer in
            [
                layer.name, "\(layer.counts.total)", "\(layer.counts.passed)", "\(layer.counts.failed)", "\(layer.counts.notRun)",
                Text.score(layer.score), Text.percent(layer.coverage),
            ]
        }
        let counts = results.counts
        rows.append([
            "all", "\(counts.total)", "\(counts.passed)", "\(counts.failed)", "\(counts.notRun)", Text.score(results.score),
            Text.percent(results.coverage),
        ])
        let widths = header.indices.map { column in max(header[column].count, rows.map { $0[column].count }.max() ?? 0) }
        func line(_ row: [String]) -> String {
            row.indices.map { $0 == 0 ? Text.padded(row[$0], widths[$0]) : Text.right(row[$0], widths[$0]) }.joined(separator: "  ")
        }
        lines.append(palette.dim(line(header)))
        for (index, row) in rows.enumerated() {
            let isTotal = index == rows.count - 1
            if isTotal { lines.append(palette.dim(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "))) }
            let failed = isTotal ? counts.failed : results.layers[index].counts.failed
            let notRun = isTotal ? counts.notRun : results.layers[index].counts.notRun
            let text = line(row)
            lines.append(failed > 0 ? palette.red(text) : notRun > 0 ? palette.yellow(text) : palette.green(text))
        }
        lines.append("")
        let hardening = results.hardening
        if hardening.total > 0 { lines.append("hardening   \(hardening.passed) of \(hardening.total) passed (not part of the score)") }
        let vectors = results.vectors
        lines.append(
            "vectors     \(vectors.passed) of \(vectors.cases) cases passed, \(vectors.fieldsCompared) of \(vectors.fieldsExpected) expected fields compared"
        )
        if !results.bundles.isEmpty {
            let packets = results.bundles.map(\.packets).reduce(0, +)
            let unexplained = results.bundles.map(\.unexplained).reduce(0, +)
            let passed = results.bundles.filter(\.verdict.isPassed).count
            lines.append(
                "recordings  \(passed) of \(results.bundles.count) passed, \(packets) packets, \(unexplained) unexplained")
        }
        let reference = results.reference
        lines.append(
            "reference   \(results.referenceName): \(reference.passed) requirements shown by its recordings, \(reference.failed) contradicted"
        )
        lines += failures(palette)
        return lines.joined(separator: "\n") + "\n"
    }

    private func failures(_ palette: Palette) -> [String] {
        let bad = results.requirements.filter { $0.verdict.isFailed || $0.verdict == .harnessError }
        let reference = results.checks.filter { $0.subject == .recording && ($0.verdict.isFailed || $0.verdict == .harnessError) }
        var lines: [String] = []
        if !bad.isEmpty {
            lines += ["", palette.bold("Failed requirements")]
            for entry in bad.prefix(limit) {
                lines.append(
                    "  \(palette.red(Text.padded(entry.id, 10))) \(Text.padded(entry.verdict.rawValue, 13)) \(Text.shortened(entry.reason, 240))"
                )
            }
            if bad.count > limit { lines.append("  and \(bad.count - limit) more: see the JSON or HTML report") }
        }
        if !reference.isEmpty {
            lines += ["", palette.bold("Checks that the recordings of Node fail (a defect of the check, or a damaged recording)")]
            for entry in reference.prefix(limit) {
                let finding = entry.evidence.findings.first
                let what = finding.map {
                    "\($0.location.isEmpty ? "" : $0.location + ": ")\($0.field) is \(Text.shortened($0.actual)), expected \(Text.shortened($0.expected))"
                }
                lines.append("  \(palette.red(entry.id)) \(entry.verdict.rawValue)  \(what ?? entry.evidence.reason)")
            }
            if reference.count > limit { lines.append("  and \(reference.count - limit) more") }
        }
        if !bad.isEmpty { lines += ["", "\"hyperconform explain ID\" tells what a requirement says and which check failed."] }
        return lines
    }
}
