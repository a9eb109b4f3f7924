import Conformance
import StrictJSON

/// What the gate says, for people and for programs.
public struct GateReport {
    public let gate: Gate
    public let results: Results
    public let baseline: Baseline?

    public init(_ gate: Gate, results: Results, baseline: Baseline?) {
        self.gate = gate
        self.results = results
        self.baseline = baseline
    }

    public func text(colours: Bool) -> String {
        let palette = Palette(on: colours)
        var lines: [String] = []
        for complaint in gate.complaints {
            lines.append("\(palette.red(Text.padded(complaint.rule.rawValue, 18))) \(complaint.id): \(Text.shortened(complaint.text, 240))")
        }
        for (check, reason) in gate.expected { lines.append("\(palette.yellow(Text.padded("expected failure", 18))) \(check): \(reason)") }
        if !lines.isEmpty { lines.append("") }
        let before = baseline?.score.map { " (baseline \(Text.score($0)))" } ?? ""
        let counts = results.counts
        lines.append(
            "score \(Text.score(results.score))\(before), coverage \(Text.percent(results.coverage)), \(counts.passed) of \(counts.total) requirements passed"
        )
        lines.append(
            gate.complaints.isEmpty
                ? palette.green("The gate is open.") : palette.red("The gate is shut: \(Text.plural(gate.complaints.count, "complaint"))."))
        return lines.joined(separator: "\n") + "\n"
    }

    public var json: JSON {
        [
            "schema": "hyperconform-gate/1",
            "open": .bool(gate.complaints.isEmpty),
            "exitCode": .integer(gate.exitCode),
            "score": results.score.map { .number($0) } ?? .null,
            "coverage": results.coverage.map { .number($0) } ?? .null,
            "complaints": .array(
                gate.complaints.map { ["rule": .string($0.rule.rawValue), "id": .string($0.id), "text": .string($0.text)] }),
            "expected": .array(gate.expected.map { ["check": .string($0.check), "reason": .string($0.reason)] }),
        ]
    }
}
