import ArgumentParser
import Conformance
import ConformanceReports
import Foundation
import LivePeers
import PeerProbes
import StrictJSON

struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "Asks any peer process the catalogue's questions, over real UDP and TCP on loopback.",
        discussion: """
            The peer is any program behind the contract of harness/PEERS.md; it is started with the command that --peer gives. Scripted testers \
            send it exact bytes and hold what comes back, and what its application sees, against the requirements. What needs a virtual clock, or \
            what the contract can't ask for, is not run, with the reason. Exit code 0 if nothing failed beyond what the catalogue says of the \
            reference itself, 1 if something did, 3 if a question could not be judged.
            """)

    @Option(
        help: ArgumentHelp(
            "swift, node, one that --define names, or the command that starts it: \"python3 my_peer.py\". The words are split at spaces.",
            valueName: "peer"
        ))
    var peer: String

    @OptionGroup var names: PeerNames

    @Option(help: ArgumentHelp("Only these layers, separated by commas: \(Layers.all.joined(separator: ", ")).", valueName: "a,b"))
    var layer: String?

    @Option(help: ArgumentHelp("Only this check, or all whose id begins with it. May be given more than once.", valueName: "id"))
    var check: [String] = []

    @Option(help: ArgumentHelp("The name that results give the peer; by default the one that it says itself.", valueName: "text"))
    var name: String?

    @Option(help: ArgumentHelp("How many processes of the peer are asked at once.", valueName: "n"))
    var processes = 8

    @Option(help: ArgumentHelp("Seed for whatever the testers draw at random.", valueName: "n"))
    var seed: UInt64 = 1

    @Option(help: "table for people, json for programs (results.json).")
    var format: OutputFormat = .table

    @Option(
        name: [.short, .long], help: ArgumentHelp("Write results.json here as well, whatever the format on the screen.", valueName: "file"))
    var output: String?

    @OptionGroup var corpusOptions: CorpusOptions

    func validate() throws {
        guard processes >= 1, processes <= 64 else { throw ValidationError("--processes must be 1 to 64") }
        guard !peer.split(separator: " ").isEmpty else { throw ValidationError("--peer wants a command") }
        for layer in layers where !Layers.all.contains(layer) {
            throw ValidationError("there is no layer \"\(layer)\"; the layers are \(Layers.all.joined(separator: ", "))")
        }
    }

    private var layers: [String] { layer.map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } } ?? [] }

    func run() async throws {
        let corpus = try corpusOptions.load()
        let catalogue = try Catalogue(corpus)
        let probes = try PeerProbes.all(in: corpus).filter { probe in
            (layers.isEmpty || layers.contains(probe.layer)) && (check.isEmpty || check.contains { probe.id.hasPrefix($0) })
        }
        guard !probes.isEmpty else { throw ValidationError("no such check; their ids begin with probe.LAYER.") }
        let digest = try corpus.digest()
        let run = try ProbeRun(
            command: names.commandOrWords(peer).words, name: name, corpus: corpus, catalogue: catalogue, seed: seed,
            processes: processes)
        let progress = ProbeProgress(total: probes.count)
        let checks = run.run(probes) { progress.update($0) }
        progress.end()
        let carried = Set(probes.flatMap(\.requirements))
        let requirements = catalogue.requirements.filter { requirement in
            guard layers.isEmpty || layers.contains(requirement.layer) else { return carried.contains(requirement.id) && !check.isEmpty }
            return carried.contains(requirement.id) || (check.isEmpty && requirement.tiers.contains(.probe))
        }
        let results = Judgement.results(
            requirements: requirements, checks: checks, vectorFiles: [], mutants: nil,
            implementation: .init(name: run.name, version: run.hello.version), referenceName: "node", corpusDigest: digest,
            toolVersion: Hyperconform.version, seed: seed)
        let text = results.json.text(indent: 1) + "\n"
        if let output { try Terminal.write(text, to: output) }
        switch format {
        case .json: if output != "-" { try Terminal.write(text, to: nil) }
        case .table: Terminal.show(ProbeReport(results, checks, catalogue).text + "\n")
        }
        if checks.contains(where: { $0.verdict == .harnessError }) { throw ExitCode(3) }
        if checks.contains(where: { $0.verdict.isFailed && $0.verdict != .deviates }) { throw ExitCode(1) }
    }
}

/// Counts from many threads on one line.
private final class ProbeProgress: @unchecked Sendable {
    private let lock = NSLock()
    private let progress: Progress

    init(total: Int) { progress = Progress("probe", total: total) }

    func update(_ done: Int) { lock.withLock { progress.update(done) } }
    func end() { lock.withLock { progress.end() } }
}

/// What a person sees of a probe: counts by layer, then every row that is not green.
struct ProbeReport {
    let text: String

    init(_ results: Results, _ checks: [CheckResult], _ catalogue: Catalogue) {
        func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }
        func right(_ number: Int) -> String { String(repeating: " ", count: max(0, 9 - "\(number)".count)) + "\(number)" }
        var lines = ["probe of \(results.implementation.name) (\(results.implementation.version))", ""]
        lines.append(padded("checks", 16) + ["passed", "deviates", "failed", "not run", "total"].map { right($0) }.joined())
        func right(_ text: String) -> String { String(repeating: " ", count: max(0, 9 - text.count)) + text }
        for layer in Layers.all {
            let rows = checks.filter { $0.id.hasPrefix("probe.\(layer).") }
            guard !rows.isEmpty else { continue }
            let deviating = rows.count { $0.verdict == .deviates }
            let failed = rows.count { $0.verdict.isFailed } - deviating
            let passed = rows.count { $0.verdict.isPassed }
            lines.append(
                padded(layer, 16)
                    + [passed, deviating, failed, rows.count - passed - failed - deviating, rows.count].map { right($0) }.joined())
        }
        lines.append("")
        lines.append(padded("requirements", 16) + ["passed", "failed", "not run", "total", "score"].map { right($0) }.joined())
        for layer in results.layers where layer.counts.total > 0 {
            let counts = [layer.counts.passed, layer.counts.failed, layer.counts.notRun, layer.counts.total].map { right($0) }.joined()
            lines.append(padded(layer.name, 16) + counts + right(layer.score.map { String(format: "%.1f", $0) } ?? "-"))
        }
        lines.append(padded("score", 16) + right(results.score.map { String(format: "%.1f", $0) } ?? "-"))
        for row in checks where row.verdict.isFailed || row.verdict == .harnessError {
            lines.append("")
            lines.append("\(row.verdict.rawValue)  \(row.id)  (\(row.requirements.joined(separator: ", ")))")
            if !row.reason.isEmpty { lines.append("    \(row.reason)") }
            for finding in row.findings.prefix(4) {
                lines.append("    \(finding.field): \(ProbeReport.short(finding.actual)), expected \(ProbeReport.short(finding.expected))")
            }
            for note in row.requirements.compactMap({ catalogue[$0] }) where note.reference == .deviates {
                lines.append("    \(note.id): \(note.note ?? "the reference deviates")")
            }
        }
        for row in checks where row.verdict.isPassed {
            for note in row.allowances where note.hasPrefix("failed beside others") {
                lines += ["", "passed  \(row.id)", "    \(ProbeReport.short(note))"]
            }
        }
        let silent = Dictionary(grouping: checks.filter { $0.verdict == .notRun || $0.verdict == .unsupported }, by: \.reason)
        if !silent.isEmpty { lines.append("") }
        for (reason, rows) in silent.sorted(by: { $0.key < $1.key }) { lines.append("not run (\(reason)): \(rows.count)") }
        text = lines.joined(separator: "\n")
    }

    private static func short(_ text: String) -> String { text.count > 160 ? "\(text.prefix(150))... (\(text.count) characters)" : text }
}
