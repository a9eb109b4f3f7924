import Conformance
import StrictJSON
import Testing

@Suite struct StrictLoadingTests {
    /// What stands in the repository's catalogue, with one text replaced.
    private func damaged(_ path: String, _ text: String, _ replacement: String) throws -> [UInt8] {
        let original = String(decoding: try Support.corpus().read(path), as: UTF8.self)
        let range = try #require(original.range(of: text))
        return Array(original.replacingCharacters(in: range, with: replacement).utf8)
    }

    @Test func theCatalogueLoads() throws {
        let catalogue = try Catalogue(Support.corpus())
        #expect(catalogue.requirements.count == 361)
        #expect(catalogue["UDX-34b"]?.level == .should)
    }

    @Test(arguments: [
        ("\"layer\": \"udx\"", "\"layer\": \"udx\", \"layer\": \"udx\"", "stands twice"),
        ("\"layer\": \"udx\"", "\"layer\": \"udx\", \"colour\": \"red\"", "unknown key \"colour\""),
        ("\"layer\": \"udx\"", "\"layer\": \"tcp\"", "unknown layer"),
        ("\"level\": \"MUST\"", "\"level\": \"OUGHT\"", "unknown level"),
        ("hyperswarm-requirements/2", "hyperswarm-requirements/3", "schema"),
        ("\"id\": \"UDX-2\"", "\"id\": \"UDX-1\"", "stands twice"),
    ])
    func aDamagedCatalogueIsRefusedWithOffset(text: String, replacement: String, words: String) throws {
        let bytes = try damaged(Catalogue.path, text, replacement)
        let error = #expect(throws: CorpusError.self) { try Catalogue(text: bytes) }
        #expect(error?.message.contains(words) == true)
        #expect(error?.offset != nil)
        #expect(error?.file == Catalogue.path)
    }

    @Test func resultsSurviveTheirFile() throws {
        let results = try Support.results(Support.wrongAck)
        let text = results.json.text(indent: 1)
        let again = try Results(text: Array(text.utf8), file: "results.json")
        #expect(again == results)
        #expect(again.json.text(indent: 1) == text)
    }

    @Test(arguments: [
        ("\"score\": 25", "\"score\": 26"), ("\"failed\": 1,", "\"failed\": 0,"), ("\"verdict\": \"fails\"", "\"verdict\": \"exact\""),
        ("\"coverage\": 0.5", "\"coverage\": 1"), ("hyperconform-results/1", "hyperconform-results/9"),
        ("\"seed\": 1", "\"seed\": 1, \"x\": 1"),
        ("\"scoreVersion\": 1", "\"scoreVersion\": 2"), ("\"kind\": \"value\"", "\"kind\": \"missing\""), ("\"total\": 2", "\"total\": 3"),
    ])
    func resultsThatContradictThemselvesAreRefused(text: String, replacement: String) throws {
        let original = try Support.results(Support.wrongAck).json.text(indent: 1)
        let range = try #require(original.range(of: text))
        let bytes = Array(original.replacingCharacters(in: range, with: replacement).utf8)
        #expect(throws: CorpusError.self) { try Results(text: bytes, file: "results.json") }
    }

    @Test func aBaselineSurvivesItsFile() throws {
        let baseline = Baseline(try Support.results())
        #expect(try Baseline(text: Array(baseline.json.text().utf8), file: "b") == baseline)
        #expect(throws: CorpusError.self) { try Baseline(text: Array("{}".utf8), file: "b") }
    }

    @Test(arguments: [
        "{\"schema\":\"hyperconform-expectations/1\",\"expectations\":[{}]}",
        "{\"schema\":\"hyperconform-expectations/2\",\"expectations\":[]}",
        "{\"schema\":\"hyperconform-expectations/1\"}", "[]", "", "{\"schema\":\"hyperconform-expectations/1\",\"expectations\":[]}x",
        "{\"schema\":\"hyperconform-expectations/1\",\"expectations\":[{\"check\":\"a\",\"verdict\":\"exact\",\"signature\":{\"field\":\"\",\"kind\":\"\"},\"reason\":\"r\",\"expires\":\"2027-01-01\"}]}",
        "{\"schema\":\"hyperconform-expectations/1\",\"expectations\":[{\"check\":\"a\",\"verdict\":\"fails\",\"signature\":{\"field\":\"\",\"kind\":\"\"},\"reason\":\"r\",\"expires\":\"tomorrow\"}]}",
    ])
    func brokenExpectationsAreRefused(text: String) {
        #expect(throws: CorpusError.self) { try Expectations(text: Array(text.utf8), file: "e") }
    }

    @Test func theRegistryMatchesTheCatalogue() throws {
        let plan = try Plan(catalogue: try Catalogue(Support.corpus()), suites: Support.suites)
        #expect(plan.requirements.count == 361)
    }

    @Test func vectorFilesLoad() throws { #expect(try Support.corpus().vectorFiles().count >= 23) }
}
