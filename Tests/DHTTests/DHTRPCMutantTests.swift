import Conformance
import DHTChecks
import Testing

@Suite struct DHTRPCMutantTests {
    @Test func everyMutantDies() throws {
        let corpus = try #require(Corpus.find(from: DHTRPCExchangeTests.folder))
        let suites = DHTChecks.suites.filter { $0.layer == "dht-rpc" }
        #expect(SuiteTrial.weaknesses(suites, corpus: corpus) == [])
    }
}
