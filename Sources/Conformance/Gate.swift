/// Decides whether results may pass: against what was reached before, and against the failures that are known.
public struct Gate: Sendable {
    public enum Rule: String, Sendable, CaseIterable {
        /// A check failed and no expectation knows it.
        case unexpectedFailure = "unexpected-failure"
        /// A check passed in the baseline and does not pass now.
        case regression
        /// A requirement was covered by a mutant and is not any more.
        case lostCoverage = "lost-coverage"
        /// A check passes although a failure is expected.
        case unexpectedPass = "unexpected-pass"
        /// A check could not be judged.
        case harnessError = "harness-error"
        /// An expectation that matches no check.
        case stale
        /// An expectation past its day.
        case expired
        /// Two expectations for one check.
        case doubled
    }

    public struct Complaint: Sendable, Hashable {
        public let rule: Rule
        /// Check or requirement.
        public let id: String
        public let text: String
    }

    public let complaints: [Complaint]
    /// Checks that failed as expected, with the reason.
    public let expected: [(check: String, reason: String)]

    /// - Parameter today: year-month-day.
    public init(_ results: Results, baseline: Baseline? = nil, expectations: Expectations = Expectations(), today: String) {
        var complaints: [Complaint] = []
        var expected: [(String, String)] = []
        let checks = results.checks
        var entries: [String: Results.CheckEntry] = [:]
        for check in checks { entries[check.id] = check }

        var excused: Set<String> = []
        var seen: Set<String> = []
        for expectation in expectations.entries {
            let id = expectation.check
            func complain(_ rule: Rule, _ text: String) { complaints.append(Complaint(rule: rule, id: id, text: text)) }
            guard seen.insert(id).inserted else {
                complain(.doubled, "two expectations name this check; keep one")
                continue
            }
            guard let entry = entries[id] else {
                complain(.stale, "no check of this id ran; remove the expectation")
                continue
            }
            if expectation.expires < today {
                complain(.expired, "the expectation held until \(expectation.expires); mend the failure, or say anew why it may stay")
                continue
            }
            if entry.verdict.isPassed {
                complain(.unexpectedPass, "it passes now; remove the expectation so that it stays so")
                continue
            }
            guard expectation.matches(entry) else {
                let finding = entry.evidence.findings.first
                complain(
                    .stale,
                    "expected \(expectation.verdict.rawValue) at \"\(expectation.field)\" (\(expectation.kind)), found \(entry.verdict.rawValue) at \"\(finding?.field ?? "")\" (\(finding?.kind.rawValue ?? ""))"
                )
                continue
            }
            excused.insert(id)
            expected.append((id, expectation.reason))
        }

        for check in checks where !excused.contains(check.id) {
            let finding = check.evidence.findings.first
            let detail =
                finding.map { "\($0.field) is \(Judgement.shortened($0.actual)), expected \(Judgement.shortened($0.expected))" }
                ?? check.evidence.reason
            if check.verdict.isFailed {
                complaints.append(Complaint(rule: .unexpectedFailure, id: check.id, text: "\(check.verdict.rawValue): \(detail)"))
            } else if check.verdict == .harnessError {
                complaints.append(Complaint(rule: .harnessError, id: check.id, text: detail))
            }
        }
        if let baseline {
            for id in baseline.passed where entries[id]?.verdict.isPassed != true && !excused.contains(id) {
                let now = entries[id].map { "it is \($0.verdict.rawValue) now" } ?? "it did not run now"
                complaints.append(Complaint(rule: .regression, id: id, text: "it passed in the baseline; \(now)"))
            }
            if results.vectors.passed < baseline.vectorsPassed {
                complaints.append(
                    Complaint(
                        rule: .regression, id: "vectors",
                        text: "\(baseline.vectorsPassed) cases passed in the baseline, \(results.vectors.passed) do now"))
            }
            if results.coverage != nil {
                let covered = Set(results.requirements.filter(Results.isCovered).map(\.id))
                for id in baseline.covered where !covered.contains(id) {
                    complaints.append(Complaint(rule: .lostCoverage, id: id, text: "a mutant covered it in the baseline; none does now"))
                }
            }
        }
        self.complaints = complaints
        self.expected = expected
    }

    /// 0 as expected, 1 unexpected verdicts, 3 the harness could not judge, 4 expectations that no longer hold.
    /// Where several apply, verdicts come before the harness and the harness before expectations.
    public var exitCode: Int32 {
        let rules = Set(complaints.map(\.rule))
        if !rules.isDisjoint(with: [.unexpectedFailure, .regression, .lostCoverage, .unexpectedPass]) { return 1 }
        if rules.contains(.harnessError) { return 3 }
        return rules.isEmpty ? 0 : 4
    }
}
