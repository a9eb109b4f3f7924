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
        #expect(exam.verdict.isPassed, "\(exam.findings.prefix(5)) \(exam.notRunReason ?? "")")
    }
}
