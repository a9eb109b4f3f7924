import ArgumentParser
import Conformance
import ConformanceReports
import Foundation
import StrictJSON

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Everything that needs no other program: vectors, recordings, machines, replays, simulation.",
        discussion: """
            Runs every check on the Swift stack, plants every mutant to see that the checks are awake, and prints score and coverage by layer. \
            Exit code 0 if nothing failed, 1 if something did, 3 if a check could not be judged.
            """)

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var corpusOptions: CorpusOptions

    @Option(name: .long, help: "table for people, json for programs (results.json).")
    var format: OutputFormat = .table

    @Option(
        name: [.short, .long], help: ArgumentHelp("Write results.json here as well, whatever the format on the screen.", valueName: "file"))
    var output: String?

    @Flag(name: .long, help: "Leave the mutants out: quicker, and the coverage is unknown.")
    var skipMutants = false

    func run() async throws {
        let corpus = try corpusOptions.load()
        let catalogue = try Catalogue(corpus)
        let plan = try selection.plan(catalogue)
        let vectorFiles = try corpus.vectorFiles()
        let digest = try corpus.digest()

        let progress = Progress("check", total: plan.checks.count)
        let checks = selection.pool(corpus).run(plan.checks.map { CheckJob($0) }, progress: progress.update)
        progress.end()
        var covered: Set<String>?
        if !skipMutants {
            let progress = Progress("mutant", total: plan.mutants.count)
            let fates = MutantRun.results(
                mutants: plan.mutants, checks: plan.checks, baseline: checks, pool: selection.pool(corpus), progress: progress.update)
            progress.end()
            covered = Set(fates.filter(\.isKilled).map(\.requirement))
        }
        let results = Judgement.results(
            requirements: plan.requirements, checks: checks, vectorFiles: vectorFiles, covered: covered,
            implementation: .init(name: "swift", version: Hyperconform.version), referenceName: "node", corpusDigest: digest,
            toolVersion: Hyperconform.version, seed: selection.seed)
        let text = results.json.text(indent: 1) + "\n"
        if let output { try Terminal.write(text, to: output) }
        switch format {
        case .json: if output != "-" { try Terminal.write(text, to: nil) }
        case .table: try Terminal.write(TableReport(results, colours: Terminal.colours).text, to: nil)
        }
        let own = checks.filter { $0.verdict.isFailed || $0.verdict == .harnessError }
        if own.contains(where: { $0.verdict.isFailed }) { throw ExitCode(1) }
        if !own.isEmpty { throw ExitCode(3) }
    }
}
