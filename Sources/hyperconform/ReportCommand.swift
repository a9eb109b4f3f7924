import ArgumentParser
import Conformance
import ConformanceReports
import Foundation

enum ReportFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, junit, markdown, html, badge, baseline
}

struct ReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Any results.json as a table, HTML, JUnit, Markdown, a badge, or the baseline of a gate.",
        discussion: """
            Several files are shards of one run (made with "run --layer") and need --merge. The results are checked while they are loaded: \
            totals, verdicts, score and coverage must follow from the checks that stand in the file.
            """)

    @Argument(help: ArgumentHelp("results.json, as \"run -o\" wrote it.", valueName: "results"))
    var results: [String]

    @Option(name: .long, help: "table, json, junit, markdown, html, badge (SVG) or baseline.")
    var format: ReportFormat = .table

    @Option(name: [.short, .long], help: ArgumentHelp("Write here, not to the screen.", valueName: "file"))
    var output: String?

    @Flag(name: .long, help: "Put several results together.")
    var merge = false

    @OptionGroup var corpusOptions: CorpusOptions

    func validate() throws {
        if results.count > 1, !merge { throw ValidationError("several results need --merge") }
    }

    func run() async throws {
        let shards = try results.map { try Results(text: try Input.read($0), file: $0) }
        let results = try Results.merged(shards)
        let text: String
        switch format {
        case .table: text = TableReport(results, colours: output == nil && Terminal.colours).text
        case .json: text = results.json.text(indent: 1) + "\n"
        case .junit: text = JUnitReport(results).text
        case .markdown: text = MarkdownReport(results).text
        // The texts of the requirements make the page readable, but results alone are enough.
        case .html: text = HTMLReport(results, catalogue: try? Catalogue(try corpusOptions.load())).text
        case .badge: text = Badge(results).text
        case .baseline: text = Baseline(results).json.text(indent: 1) + "\n"
        }
        try Terminal.write(text, to: output)
    }
}
