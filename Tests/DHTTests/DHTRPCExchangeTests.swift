import Conformance
import DHTChecks
import Testing

@Suite struct DHTRPCExchangeTests {
    static let folder = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    static let checks = DHTChecks.suites.filter { $0.layer == "dht-rpc" }.flatMap(\.checks).filter { $0.id.hasPrefix("dht.exchange.") }

    @Test(arguments: checks.map(\.id))
    func exchange(_ id: String) throws {
        let corpus = try #require(Corpus.find(from: Self.folder))
        let check = try #require(Self.checks.first { $0.id == id })
        let exam = Examination(corpus: corpus)
        try check.run(exam)
        if exam.notRunReason != nil { return }
        #expect(exam.verdict.isPassed, "\(exam.findings.prefix(3))")
    }
}
