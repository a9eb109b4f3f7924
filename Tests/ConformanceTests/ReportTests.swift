import Conformance
import ConformanceReports
import Foundation
import StrictJSON
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite struct ReportTests {
    private let nasty = Finding(field: "a<b>&\"c\"", expected: "00ff", actual: "00fe\u{1b}", location: "vectors/x.json, offset 12")

    @Test func junitIsXMLWithOneCaseACheck() throws {
        let text = JUnitReport(try Support.results(nasty)).text
        let parser = XMLParser(data: Data(text.utf8))
        #expect(parser.parse())
        #expect(text.contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""))
        #expect(text.components(separatedBy: "<testcase").count == 3)
    }

    @Test func htmlNamesFieldBytesAndPlaceAndLoadsNothing() throws {
        let text = HTMLReport(try Support.results(nasty), catalogue: try Support.catalogue()).text
        #expect(text.contains("a&lt;b&gt;&amp;&quot;c&quot;"))
        #expect(text.contains("00f<mark>f</mark>"))
        #expect(text.contains("vectors/x.json, offset 12"))
        #expect(!text.contains("http:") && !text.contains("https:") && !text.contains("src="))
    }

    @Test func markdownKeepsItsTable() throws {
        let text = MarkdownReport(try Support.results(Finding(field: "a|b\nc", expected: "1", actual: "2"))).text
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("| udx.one") })
        #expect(line.contains("a\\|b c"))
    }

    @Test func theTableHasNoColourUnlessAsked() throws {
        let results = try Support.results(Support.wrongAck)
        #expect(!TableReport(results).text.contains("\u{1b}"))
        #expect(TableReport(results, colours: true).text.contains("\u{1b}[31m"))
        #expect(TableReport(results).text.contains("udx.ack is 2, expected 1 (packet 7)"))
    }

    @Test func theBadgeShowsScoreAndFailures() throws {
        #expect(Badge(try Support.results(Support.wrongAck)).text.contains("25, 1 failed"))
        #expect(XMLParser(data: Data(Badge(try Support.results()).text.utf8)).parse())
    }
}
