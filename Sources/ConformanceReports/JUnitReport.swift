import Conformance

/// JUnit XML, one test case a check: our own, for `swift test` shows known issues as passes.
public struct JUnitReport {
    public let results: Results

    public init(_ results: Results) { self.results = results }

    public var text: String {
        var suites: [(name: String, checks: [Results.CheckEntry])] = []
        var seen: Set<String> = []
        for layer in Layers.all {
            let checks = results.requirements.filter { $0.layer == layer }.flatMap(\.checks).filter { seen.insert($0.id).inserted }
            let silent = results.requirements.filter { $0.layer == layer && $0.checks.isEmpty }
            if checks.isEmpty, silent.isEmpty { continue }
            suites.append((layer, checks))
        }
        var output = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        let all = suites.flatMap(\.checks)
        output += "<testsuites name=\"hyperconform\" \(JUnitReport.totals(all, silent: silent(nil)))>\n"
        for suite in suites {
            let silent = silent(suite.name)
            output += "  <testsuite name=\"\(Escape.xml(suite.name))\" \(JUnitReport.totals(suite.checks, silent: silent))>\n"
            for check in suite.checks { output += testCase(check, suite.name) }
            for requirement in silent {
                output += "    <testcase classname=\"\(Escape.xml(suite.name)).requirement\" name=\"\(Escape.xml(requirement.id))\">"
                output += "<skipped message=\"\(Escape.xml(requirement.reason))\"/></testcase>\n"
            }
            output += "  </testsuite>\n"
        }
        return output + "</testsuites>\n"
    }

    /// Requirements that no check judges: skipped, never silent.
    private func silent(_ layer: String?) -> [Results.RequirementEntry] {
        results.requirements.filter { $0.checks.isEmpty && (layer == nil || $0.layer == layer) }
    }

    private static func totals(_ checks: [Results.CheckEntry], silent: [Results.RequirementEntry]) -> String {
        let failures = checks.filter(\.verdict.isFailed).count
        let errors = checks.filter { $0.verdict == .harnessError }.count
        let skipped = checks.count - failures - errors - checks.filter(\.verdict.isPassed).count + silent.count
        return "tests=\"\(checks.count + silent.count)\" failures=\"\(failures)\" errors=\"\(errors)\" skipped=\"\(skipped)\""
    }

    private func testCase(_ check: Results.CheckEntry, _ layer: String) -> String {
        let head =
            "    <testcase classname=\"\(Escape.xml(layer)).\(check.tier.rawValue).\(Escape.xml(check.subject.description))\" name=\"\(Escape.xml(check.id))\">"
        let first = check.evidence.findings.first
        let message =
            first.map { "\($0.field): expected \(Text.shortened($0.expected)), actual \(Text.shortened($0.actual))" }
            ?? check.evidence.reason
        let body = check.evidence.findings.map {
            "\($0.location.isEmpty ? "" : $0.location + ": ")\($0.field)\n  expected \($0.expected)\n  actual   \($0.actual)"
        }.joined(separator: "\n")
        if check.verdict.isFailed {
            return head
                + "<failure type=\"\(check.verdict.rawValue)\" message=\"\(Escape.xml(message))\">\(Escape.xml(body))</failure></testcase>\n"
        }
        if check.verdict == .harnessError {
            return head + "<error type=\"harness-error\" message=\"\(Escape.xml(message))\"/></testcase>\n"
        }
        if !check.verdict.isPassed { return head + "<skipped message=\"\(Escape.xml(message))\"/></testcase>\n" }
        return String(head.dropLast()) + "/>\n"
    }
}

/// Text made safe for markup.
enum Escape {
    static func xml(_ text: String) -> String {
        var output = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": output += "&amp;"
            case "<": output += "&lt;"
            case ">": output += "&gt;"
            case "\"": output += "&quot;"
            case "'": output += "&#39;"
            case "\n", "\t": output.unicodeScalars.append(scalar)
            // Other control characters are not XML.
            case "\u{0}"..<"\u{20}", "\u{7f}", "\u{fffe}", "\u{ffff}": output += "\u{fffd}"
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output
    }

    /// For a cell of a Markdown table.
    static func markdown(_ text: String) -> String {
        var output = ""
        for character in text {
            switch character {
            case "|", "*", "_", "`", "<", ">", "[", "]", "\\": output += "\\\(character)"
            case "\n": output += " "
            default: output.append(character)
            }
        }
        return output
    }
}
