import ArgumentParser
import Conformance
import ConformanceReports
import Foundation

struct VectorsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vectors", abstract: "Golden vectors only: every case, every expected field.",
        discussion: "Exit code 0 if every case that ran passed, 1 if one failed, 3 if a file could not be used.")

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var corpusOptions: CorpusOptions

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func run() async throws {
        let corpus = try corpusOptions.load()
        let files = try corpus.vectorFiles()
        let plan = try selection.plan(try Catalogue(corpus), corpus)
        // A check of another tier may go through vectors, too; those of tier vector always do, and exchanges are scripts for machines.
        let checks = plan.checks.filter { $0.tier == .vector || $0.tier == .machine }
        let progress = Progress("check", total: checks.count)
        let results = selection.pool(corpus).run(checks.map { CheckJob($0) }, progress: progress.update)
            .filter { $0.tier == .vector || !$0.vectors.isEmpty }
        progress.end()
        let report = VectorReport(files: files, results: results)
        switch format {
        case .json: try Terminal.write(report.json.text(indent: 1) + "\n", to: nil)
        case .table: Terminal.show(report.text(colours: Terminal.colours))
        }
        if results.contains(where: { $0.verdict.isFailed }) { throw ExitCode(1) }
        if results.contains(where: { $0.verdict == .harnessError }) { throw ExitCode(3) }
    }
}
