import Conformance
import DHTChecks
import Testing

@Suite struct HyperDHTVectorTests {
    @Test(arguments: HyperDHTChecks.suite.checks.map(\.id))
    func checkPasses(_ id: String) throws {
        let corpus = try #require(Corpus.find())
        let check = try #require(HyperDHTChecks.suite.checks.first { $0.id == id })
        let exam = Examination(corpus: corpus)
        try check.run(exam)
        for finding in exam.findings {
            Issue.record("\(id): \(finding.location) \(finding.field): expected \(finding.expected), got \(finding.actual)")
        }
        #expect(exam.verdict.isPassed || exam.verdict == .notRun)
    }
}
