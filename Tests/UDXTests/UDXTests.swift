import Conformance
import Testing
import UDXChecks

@Suite struct UDXTests {
    @Test func everyCheckPassesAndEveryMutantDies() throws {
        let corpus = try #require(Corpus.find())
        #expect(SuiteTrial.weaknesses(UDXChecks.suites(in: corpus), corpus: corpus) == [])
    }
}
