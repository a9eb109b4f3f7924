import ArgumentParser
import Conformance
import ConformanceReports
import Dissection
import Foundation
import PacketCapture
import TraceChecks

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
        case .table: try Terminal.write(report.text(colours: Terminal.colours), to: nil)
        }
        if !report.isPassed { throw ExitCode(1) }
    }

    /// Replays exist for the corpus's own recordings: those whose check is named after this one.
    private func replays(of bundle: TraceBundle) -> [CheckResult] {
        guard let corpus = try? corpusOptions.load(),
            URL(fileURLWithPath: bundle.path).standardizedFileURL.path
                == URL(fileURLWithPath: corpus.root + "/Fixtures/" + bundle.name).standardizedFileURL.path
        else { return [] }
        let names = ReplayCommand.names(bundle.name)
        let checks = SuiteRegistry.suites(in: corpus).flatMap(\.checks).filter { check in
            check.tier == .replay && names.contains { check.id.hasSuffix(".replay.\($0)") || check.id.contains(".replay.\($0).") }
        }
        return CheckPool(corpus: corpus).run(checks.map { CheckJob($0) })
    }

    /// What checks call a recording: "again/udx-lossy" is "again-udx-lossy", or "commands-again" where the layer is part of the id.
    private static func names(_ bundle: String) -> Set<String> {
        var names: Set<String> = [bundle.replacingOccurrences(of: "/", with: "-")]
        let isAgain = bundle.hasPrefix("again/")
        let scenario = isAgain ? String(bundle.dropFirst("again/".count)) : bundle
        for layer in ["dht-rpc-", "dht-"] where scenario.hasPrefix(layer) {
            names.insert(scenario.dropFirst(layer.count) + (isAgain ? "-again" : ""))
        }
        return names
    }
}
