import Conformance
import EncryptionChecks
import Testing

@Suite struct EncryptionTests {
    static let checks = EncryptionChecks.suites.flatMap(\.checks)

    @Test(arguments: EncryptionTests.checks.map(\.id))
    func checkPasses(_ id: String) throws {
        let corpus = try #require(Corpus.find())
        let check = try #require(EncryptionTests.checks.first { $0.id == id })
        let exam = Examination(corpus: corpus)
        try check.run(exam)
        let findings = exam.findings.prefix(5).map { "\($0.location): \($0.field): \($0.expected) -> \($0.actual)" }
        #expect(exam.verdict.isPassed, "\(findings.joined(separator: " | ")) \(exam.notRunReason ?? "")")
    }
}
