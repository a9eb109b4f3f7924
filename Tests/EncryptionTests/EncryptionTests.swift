import Conformance
import EncryptionChecks
import Testing

@Suite struct EncryptionTests {
    /// Every check passes and every mutant dies.
    @Test func suitesHold() throws {
        let corpus = try #require(Corpus.find())
        let weaknesses = SuiteTrial.weaknesses(EncryptionChecks.suites, corpus: corpus)
        #expect(weaknesses.isEmpty, "\(weaknesses.joined(separator: "\n"))")
    }
}
