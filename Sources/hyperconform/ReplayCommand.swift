import ArgumentParser
import Conformance
import ConformanceReports
import DHTChecks
import Dissection
import Foundation
import PacketCapture
import TraceChecks
import UDXChecks

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract:
            "One recording, with reasons: every rule of every layer over its packets, and our machines in the recorded parties' places.",
        discussion: "Exit code 0 if nothing is wrong, 1 if a packet breaks a rule or a replay differs, 3 if a file can't be used.")

    @OptionGroup var input: CaptureInput
    @OptionGroup var corpusOptions: CorpusOptions

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func run() throws {
        let bundle = try input.load()
        let audit = TraceAudit(bundle)
        var broken: [String: Int] = [:]
        for finding in audit.findings { broken[finding.rule, default: 0] += 1 }
        let counted = audit.report.comparisons
        let rules = Set(counted.keys).union(broken.keys).sorted().map {
            ReplayReport.Rule(id: $0, comparisons: counted[$0] ?? 0, findings: broken[$0] ?? 0)
        }
        var notes: [String] = []
        let foreign = audit.dissection.packets.compactMap { packet -> String? in
            if case .kadepy(let message) = packet.kind { "\(message.family.rawValue)" } else { nil }
        }
        if !foreign.isEmpty {
            let families = Set(foreign).sorted().joined(separator: ", ")
            notes.append("\(foreign.count) of its packets are KadePy's (\(families)): KadePy is not Hyperswarm")
        }
        let report = ReplayReport(
            name: bundle.name, implementation: bundle.manifest?.implementation ?? "an unknown implementation",
            packets: audit.dissection.packets.count, rules: rules,
            findings: audit.findings.map { ($0.packet, $0.field, $0.offset, $0.message, $0.rule) },
            replays: replays(of: bundle), notes: notes)
        switch format {
        case .json: try Terminal.write(report.json.text(indent: 1) + "\n", to: nil)
        case .table: Terminal.show(report.text(colours: Terminal.colours))
        }
        if !report.isPassed { throw ExitCode(1) }
    }

    /// Our machines in the recorded parties' places, for every scenario that a replay exists for.
    private func replays(of bundle: TraceBundle) -> [CheckResult] {
        let checks = UDXChecks.replays(of: bundle) + [NodeReplayChecks.check(bundle)].compactMap { $0 }
        let corpus = (try? corpusOptions.load()) ?? Corpus(root: bundle.path)
        return CheckPool(corpus: corpus).run(checks.map { CheckJob($0) })
    }
}
