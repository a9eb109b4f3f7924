import ArgumentParser
import Conformance
import ConformanceReports
import DHTChecks
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

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Run every check so often; one that does not give the same verdict each time is flaky, which is a failure.", valueName: "n"))
    var `repeat`: Int = 1

    @Flag(name: .long, help: "Tell on standard error which checks took longest; times never stand in results.")
    var timings = false

    @Option(name: .long, help: ArgumentHelp("The file of known failures: they lower the score, but not the exit code.", valueName: "file"))
    var expectations: String?

    @Flag(name: .long, help: "Only the NAT matrix of HyperDHT: who connects to whom through which NATs, by which path, at what cost.")
    var natMatrix = false

    func validate() throws {
        guard self.repeat >= 1, self.repeat <= 100 else { throw ValidationError("--repeat must be 1 to 100") }
    }

    func run() async throws {
        if natMatrix { return try printNATMatrix() }
        let expected = try expectations.map { try Expectations(text: try Input.read($0), file: $0) } ?? Expectations()
        let corpus = try corpusOptions.load()
        let catalogue = try Catalogue(corpus)
        let plan = try selection.plan(catalogue, corpus)
        let vectorFiles = try corpus.vectorFiles()
        let digest = try corpus.digest()

        let progress = Progress("check", total: plan.checks.count)
        var checks = selection.pool(corpus).run(plan.checks.map { CheckJob($0) }, progress: progress.update)
        for _ in 1..<self.repeat {
            let again = selection.pool(corpus).run(plan.checks.map { CheckJob($0) }, progress: progress.update)
            for (index, result) in again.enumerated() { checks[index].compare(with: result) }
        }
        progress.end()
        if timings {
            let slowest = checks.sorted { $0.microseconds > $1.microseconds }.prefix(25)
            for check in slowest { Terminal.warn("\(check.microseconds / 1000) ms  \(check.id)") }
        }
        var fates: [MutantResult]?
        if !skipMutants {
            let progress = Progress("mutant", total: plan.mutants.count)
            fates = MutantRun.results(
                mutants: plan.mutants, checks: plan.checks, baseline: checks, pool: selection.pool(corpus), progress: progress.update)
            progress.end()
        }
        let results = Judgement.results(
            requirements: plan.requirements, checks: checks, vectorFiles: vectorFiles, mutants: fates,
            implementation: .init(name: "swift", version: Hyperconform.version), referenceName: "node", corpusDigest: digest,
            toolVersion: Hyperconform.version, seed: selection.seed)
        let text = results.json.text(indent: 1) + "\n"
        if let output { try Terminal.write(text, to: output) }
        switch format {
        case .json: if output != "-" { try Terminal.write(text, to: nil) }
        case .table: Terminal.show(TableReport(results, colours: Terminal.colours).text)
        }
        let gate = Gate(results, expectations: expected, today: Input.today)
        if gate.exitCode != 0 {
            if !expected.entries.isEmpty { Terminal.warn(GateReport(gate, results: results, baseline: nil).text(colours: false)) }
            throw ExitCode(gate.exitCode)
        }
        // Checks that carry no requirement stand in no requirement's row.
        if checks.contains(where: { $0.requirements.isEmpty && $0.verdict.isFailed }) { throw ExitCode(1) }
    }

    private func printNATMatrix() throws {
        let direct = try HyperDHTNATMatrix.run(seed: selection.seed)
        let relayed = try HyperDHTNATMatrix.run(seed: selection.seed, relayed: true)
        Terminal.show("Without a relay:\n\(HyperDHTNATMatrix.table(direct))\n\nWith a relay:\n\(HyperDHTNATMatrix.table(relayed))\n")
        if (direct + relayed).contains(where: { !$0.isAsExpected }) { throw ExitCode(1) }
    }
}
