import Conformance
import DHTChecks
import Testing

@Suite struct DHTRPCVectorTests {
    static let checks = DHTChecks.suites.filter { $0.layer == "dht-rpc" }.flatMap(\.checks)

    @Test(arguments: checks.filter { $0.tier == .vector }.map(\.id))
    func vectors(_ id: String) throws {
        let corpus = try #require(Corpus.find(from: #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }))
        let check = try #require(Self.checks.first { $0.id == id })
        let exam = Examination(corpus: corpus)
        try check.run(exam)
        #expect(exam.verdict == .exact, "\(exam.findings.prefix(3))")
    }
}
