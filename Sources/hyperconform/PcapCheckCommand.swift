import ArgumentParser
import Dissection
import PacketCapture
import StrictJSON
import TraceChecks

struct PcapCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Holds a capture against every rule of the protocols, and names packet and field of what breaks one.",
        discussion: """
            Ids, tokens, signatures, hashes, handshakes and tags are verified as far as keys are known; sequence numbers, acknowledgements, addresses,
            relayed copies and reply shapes must fit together. Exit code 0 if all holds, 1 if not.
            """)

    @OptionGroup var input: CaptureInput

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func run() throws {
        let bundle = try input.load()
        var findings: [(capture: String, finding: TraceFinding)] = []
        var comparisons = 0
        var families: [String] = []
        for (name, capture, vantage) in TraceVantage.captures(of: bundle) {
            let audit = TraceAudit(bundle, capture: capture, vantage: vantage)
            findings += audit.findings.map { (name, $0) }
            comparisons += audit.report.comparisons.values.reduce(0, +)
            families += audit.dissection.kadepyFamilies
        }
        let sentence =
            families.isEmpty ? nil : "This is not Hyperswarm: it holds packets of KadePy \(Set(families).sorted().joined(separator: ", "))."
        switch format {
        case .json:
            let list = findings.map {
                JSON.object(
                    JSONObject([
                        "capture": .string($0.capture), "rule": .string($0.finding.rule), "packet": .integer($0.finding.packet),
                        "field": .string($0.finding.field), "offset": $0.finding.offset.map { .integer($0) } ?? .null,
                        "message": .string($0.finding.message),
                    ]))
            }
            let object = JSONObject([
                "schema": "hyperswarm-pcap-check/1", "name": .string(bundle.name), "comparisons": .integer(comparisons),
                "kadepy": sentence.map { .string($0) } ?? .null, "findings": .array(list),
            ])
            try Terminal.write(JSON.object(object).text(indent: 1) + "\n", to: nil)
        case .table:
            var lines = sentence.map { [$0] } ?? []
            for (capture, finding) in findings.prefix(200) { lines.append(capture == "capture" ? "\(finding)" : "\(capture): \(finding)") }
            if findings.count > 200 { lines.append("... and \(findings.count - 200) findings more") }
            lines.append("\(bundle.name): \(comparisons) comparisons, \(findings.count) findings")
            Terminal.show(lines.joined(separator: "\n") + "\n")
        }
        if !findings.isEmpty { throw ExitCode(1) }
    }
}
