import Conformance
import DHTChecks
import Testing

@Suite struct HyperDHTCheckTests {
    /// Every check of the suite that can run here passes.
    @Test func everyCheckPasses() throws {
        let corpus = try #require(Corpus.find())
        var passed = 0
        let checks = DHTChecks.suites(in: corpus).filter { $0.layer == "hyperdht" }.flatMap(\.checks)
        for check in checks {
            let exam = Examination(corpus: corpus)
            try check.run(exam)
            if exam.verdict == .notRun {
                print("\(check.id): not run: \(exam.notRunReason ?? "")")
                continue
            }
            for finding in exam.findings.prefix(4) {
                Issue.record("\(check.id): \(finding.location) \(finding.field): expected \(finding.expected), got \(finding.actual)")
            }
            if exam.verdict.isPassed { passed += 1 }
        }
        print("passed \(passed) of \(checks.count)")
    }
}
