import ArgumentParser
import Conformance
import ConformanceReports
import Foundation
import SansIO

struct MutantsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutants",
        abstract: "Is the harness awake? Plants one wire bug at a time in the stack and looks whether a check notices.",
        discussion: """
            A mutant is killed if a check of its requirement that passes without the bug fails with it. Exit code 0 if all are killed \
            (with --uncovered: if every requirement has one), 1 otherwise.
            """)

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var corpusOptions: CorpusOptions

    @Flag(name: .long, help: "List the requirements that no mutant covers, with the reason.")
    var uncovered = false

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func run() async throws {
        guard SansIO.Mutation.pointsExist else {
            throw RegistryError("this build has no mutation points; build with the package trait MutationPoints")
        }
        let corpus = try corpusOptions.load()
        let catalogue = try Catalogue(corpus)
        let plan = try selection.plan(catalogue, corpus)
        let broken = Set(plan.mutants.map(\.requirement))
        let checks = plan.checks.filter { !broken.isDisjoint(with: $0.requirements) }
        let progress = Progress("check", total: checks.count)
        let baseline = selection.pool(corpus).run(checks.map { CheckJob($0) }, progress: progress.update)
        progress.end()
        let mutantProgress = Progress("mutant", total: plan.mutants.count)
        let fates = MutantRun.results(
            mutants: plan.mutants, checks: checks, baseline: baseline, pool: selection.pool(corpus), progress: mutantProgress.update)
        mutantProgress.end()
        let report = MutantReport(requirements: plan.requirements, checks: plan.checks, fates: fates)
        switch format {
        case .json: try Terminal.write(report.json.text(indent: 1) + "\n", to: nil)
        case .table: Terminal.show(uncovered ? report.uncoveredText : report.text(colours: Terminal.colours))
        }
        if uncovered ? !report.uncovered.isEmpty : fates.contains(where: { !$0.isKilled }) { throw ExitCode(1) }
    }
}
