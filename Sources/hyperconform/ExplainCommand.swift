import ArgumentParser
import Conformance
import ConformanceReports
import Foundation

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "A requirement or a check: text, source, checks, mutants, verdict.")

    @Argument(help: ArgumentHelp("A requirement (UDX-15) or a check (udx.header).", valueName: "id"))
    var id: String

    @OptionGroup var corpusOptions: CorpusOptions

    func run() async throws {
        let corpus = try corpusOptions.load()
        let catalogue = try Catalogue(corpus)
        let suites = SuiteRegistry.suites(in: corpus)
        let checks = suites.flatMap(\.checks)
        var ids = [id.uppercased(), id].filter { catalogue[$0] != nil }
        // Lettered ids end in a lower-case letter.
        if ids.isEmpty, let last = id.last { ids = [id.dropLast().uppercased() + last.lowercased()].filter { catalogue[$0] != nil } }
        if ids.isEmpty { ids = checks.first { $0.id == id }?.requirements ?? [] }
        guard !ids.isEmpty else {
            throw ValidationError("there is no requirement and no check \"\(id)\"; ids look like UDX-15 and udx.header")
        }
        let requirements = Array(Set(ids)).sorted { catalogue.position($0) < catalogue.position($1) }.compactMap { catalogue[$0] }
        let wanted = Set(requirements.map(\.id))
        let own = checks.filter { !wanted.isDisjoint(with: $0.requirements) }
        if isatty(2) == 1 {
            let names = requirements.map(\.id).joined(separator: ", ")
            FileHandle.standardError.write(Data("judging \(own.count) checks of \(names)...\n".utf8))
        }
        let results = CheckPool(corpus: corpus).run(own.map { CheckJob($0) })
        let text = requirements.map { requirement in
            Explanation(
                requirement: requirement, results: results.filter { $0.requirements.contains(requirement.id) },
                mutants: suites.flatMap(\.mutants).filter { $0.requirement == requirement.id },
                width: Terminal.width == nil ? 100 : nil
            ).text
        }
        Terminal.show(text.joined(separator: "\n"))
    }
}
