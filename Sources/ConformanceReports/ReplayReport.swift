import Conformance
import StrictJSON

/// One recording, judged: what its own rules say, and what our machines do in the recorded parties' places.
public struct ReplayReport {
    public struct Rule {
        public let id: String
        public let comparisons: Int
        public let findings: Int

        public init(id: String, comparisons: Int, findings: Int) {
            self.id = id
            self.comparisons = comparisons
            self.findings = findings
        }
    }

    public let name: String
    public let implementation: String
    public let packets: Int
    public let rules: [Rule]
    /// Packet number (0 for the whole capture), field, byte offset, what is wrong, rule.
    public let findings: [(packet: Int, field: String, offset: Int?, message: String, rule: String)]
    public let replays: [CheckResult]
    public let notes: [String]
    public var limit = 40

    public init(
        name: String, implementation: String, packets: Int, rules: [Rule],
        findings: [(packet: Int, field: String, offset: Int?, message: String, rule: String)], replays: [CheckResult], notes: [String]
    ) {
        self.name = name
        self.implementation = implementation
        self.packets = packets
        self.rules = rules
        self.findings = findings
        self.replays = replays
        self.notes = notes
    }

    public var isPassed: Bool { findings.isEmpty && !replays.contains { $0.verdict.isFailed } }

    public func text(colours: Bool) -> String {
        let palette = Palette(on: colours)
        var lines = ["\(name), recorded from \(implementation), \(Text.plural(packets, "packet"))"]
        lines += notes
        lines.append("")
        let width = rules.map(\.id.count).max() ?? 0
        for rule in rules {
            let line = "\(Text.padded(rule.id, width))  \(Text.right("\(rule.comparisons)", 7)) comparisons"
            lines.append(rule.findings > 0 ? palette.red("\(line), \(Text.plural(rule.findings, "finding"))") : line)
        }
        if !replays.isEmpty { lines.append("") }
        for replay in replays {
            let line =
                "our machine in a recorded place: \(replay.id)  \(replay.verdict.rawValue), \(Text.plural(replay.comparisons, "comparison"))"
            lines.append(replay.verdict.isFailed ? palette.red(line) : line)
            for allowance in replay.allowances { lines.append("  allowed: \(allowance)") }
            for finding in replay.findings.prefix(5) {
                lines.append("  \(finding.location): \(finding.field)")
                lines.append("    expected \(Text.shortened(finding.expected, 160))")
                lines.append("    actual   \(Text.shortened(finding.actual, 160))")
            }
            if !replay.reason.isEmpty { lines.append("  \(replay.reason)") }
        }
        if !findings.isEmpty { lines.append("") }
        for finding in findings.prefix(limit) {
            let place = finding.packet == 0 ? "the capture" : "packet \(finding.packet)"
            let offset = finding.offset.map { ", byte \($0)" } ?? ""
            lines.append("\(place), \(palette.red(finding.field))\(offset): \(finding.message)  (\(finding.rule))")
        }
        if findings.count > limit { lines.append("and \(findings.count - limit) more: see --format json") }
        lines.append("")
        lines.append(isPassed ? palette.green("passed") : palette.red("failed"))
        return lines.joined(separator: "\n") + "\n"
    }

    public var json: JSON {
        [
            "schema": "hyperconform-replay/1", "name": .string(name), "implementation": .string(implementation),
            "packets": .integer(packets),
            "passed": .bool(isPassed), "notes": .array(notes.map { .string($0) }),
            "rules": .array(
                rules.map { ["rule": .string($0.id), "comparisons": .integer($0.comparisons), "findings": .integer($0.findings)] }),
            "findings": .array(
                findings.map {
                    [
                        "packet": .integer($0.packet), "field": .string($0.field), "offset": $0.offset.map { .integer($0) } ?? .null,
                        "message": .string($0.message), "rule": .string($0.rule),
                    ]
                }),
            "replays": .array(
                replays.map {
                    [
                        "check": .string($0.id), "verdict": .string($0.verdict.rawValue), "comparisons": .integer($0.comparisons),
                        "reason": .string($0.reason),
                        "findings": .array(
                            $0.findings.map {
                                [
                                    "field": .string($0.field), "expected": .string($0.expected), "actual": .string($0.actual),
                                    "location": .string($0.location),
                                ]
                            }),
                    ]
                }),
        ]
    }
}
