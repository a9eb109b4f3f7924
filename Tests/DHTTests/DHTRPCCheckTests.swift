import Conformance
import DHTChecks
import Testing

@Suite struct DHTRPCCheckTests {
    static let corpus = Corpus.find(from: #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 })
    static let suites = corpus.map { DHTChecks.suites(in: $0) } ?? []

    @Test func checksOfDHTRPCPassAndEveryMutantDies() throws {
        let corpus = try #require(Self.corpus)
        #expect(SuiteTrial.weaknesses(Self.suites.filter { $0.layer == "dht-rpc" }, corpus: corpus) == [])
    }
}
