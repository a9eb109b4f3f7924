import Conformance
import StrictJSON

/// Golden vectors by file.
public struct VectorReport {
    public struct Row {
        public let file: String
        public var cases = 0
        public var passed = 0
        public var failed = 0
        public var notRun: Int { cases - passed - failed }
        public var fieldsExpected = 0
        public var fieldsCompared = 0
    }

    public let rows: [Row]
    public let findings: [(check: String, finding: Finding)]
    public let errors: [(check: String, reason: String)]

    public init(files: [VectorFile], results: [CheckResult]) {
        let seen = VectorCaseResult.merged(results)
        rows = files.map { file in
            var row = Row(file: file.path)
            for id in file.ids {
                row.cases += 1
                guard let result = seen[VectorCaseResult.key(file.path, id)] else { continue }
                if result.passed { row.passed += 1 } else { row.failed += 1 }
                row.fieldsCompared += result.compared.count
                row.fieldsExpected += result.fieldsExpected
            }
            return row
        }
        findings = results.flatMap { result in result.findings.map { (result.id, $0) } }
        errors = results.filter { !$0.reason.isEmpty && !$0.verdict.isPassed }.map { ($0.id, $0.reason) }
    }

    public func text(colours: Bool) -> String {
        let palette = Palette(on: colours)
        let width = rows.map(\.file.count).max() ?? 0
        var lines = [palette.dim("\(Text.padded("file", width))  cases  passed  failed  not run  fields compared")]
        for row in rows {
            let line =
                "\(Text.padded(row.file, width))  \(Text.right("\(row.cases)", 5))  \(Text.right("\(row.passed)", 6))  \(Text.right("\(row.failed)", 6))  \(Text.right("\(row.notRun)", 7))  \(row.fieldsCompared) of \(row.fieldsExpected)"
            lines.append(row.failed > 0 ? palette.red(line) : row.notRun > 0 ? palette.yellow(line) : palette.green(line))
        }
        for (check, finding) in findings.prefix(40) {
            lines.append("")
            lines.append("\(palette.red(finding.field))  (\(check))")
            if !finding.location.isEmpty { lines.append("  at       \(finding.location)") }
            lines.append("  expected \(Text.shortened(finding.expected, 200))")
            lines.append("  actual   \(Text.shortened(finding.actual, 200))")
        }
        if findings.count > 40 { lines.append("and \(findings.count - 40) more") }
        for (check, reason) in errors { lines.append("\(check): \(reason)") }
        return lines.joined(separator: "\n") + "\n"
    }

    public var json: JSON {
        [
            "schema": "hyperconform-vectors-report/1",
            "files": .array(
                rows.map {
                    [
                        "file": .string($0.file), "cases": .integer($0.cases), "passed": .integer($0.passed), "failed": .integer($0.failed),
                        "notRun": .integer($0.notRun), "fieldsExpected": .integer($0.fieldsExpected),
                        "fieldsCompared": .integer($0.fieldsCompared),
                    ]
                }),
            "findings": .array(
                findings.map {
                    [
                        "check": .string($0.check), "field": .string($0.finding.field), "expected": .string($0.finding.expected),
                        "actual": .string($0.finding.actual), "location": .string($0.finding.location),
                    ]
                }),
            "errors": .array(errors.map { ["check": .string($0.check), "reason": .string($0.reason)] }),
        ]
    }
}
