import ArgumentParser
import Conformance
import Foundation
import LivePeers
import TraceChecks

struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Makes trace bundles from any peer: capture, key log, calls, events and manifest of each scenario.",
        discussion: """
            The scripts are those of "live"; the bundles are what "replay", "drift", "pcap" and the corpus read. Keys, topics and payloads are those \
            of the corpus's recordings, or derived from --seed. A bundle is only kept if the script went through and every rule of every layer holds \
            for its packets.

              hyperconform record --first node --second node --node-modules DIR --out new
              hyperconform drift Fixtures new
            """)

    @Option(help: "Who hosts and listens: swift, node, or a defined one.") var first = "swift"
    @Option(help: "Who dials; by default the same.") var second: String?
    @Option(help: ArgumentHelp("Where the bundles go: one folder a scenario.", valueName: "dir")) var out: String
    @Option(help: ArgumentHelp("Derive keys, topics and payloads from this text.", valueName: "text")) var seed: String?
    @OptionGroup var peers: PeerNames
    @Argument(help: ArgumentHelp("Only these scenarios; by default all.", valueName: "scenario")) var names: [String] = []

    func run() throws {
        var options = try PeerOptions.parse([])
        options.scenario = names.isEmpty ? nil : names.joined(separator: ",")
        let (a, b) = (try peers.command(first), try peers.command(second ?? first))
        let scenarios = try options.scenarios()
        PeerOptions.isolate()
        var status: Int32 = 0
        for scenario in scenarios {
            let place = "\(out)/\(scenario.name)"
            let outcome = LiveCell(
                scenario: scenario, first: a, second: b, place: place, corpus: Corpus.find(),
                source: seed.map { .text($0) } ?? .recordedInputs
            ).run()
            let words = outcome.verdict.isPassed ? "recorded, \(outcome.packets) packets" : "\(outcome.verdict.rawValue), not kept"
            print("\(scenario.name): \(words)")
            for reason in outcome.reasons { Terminal.show("    \(reason)\n") }
            fflush(nil)
            guard !outcome.verdict.isPassed else { continue }
            try? FileManager.default.removeItem(atPath: place)
            if outcome.verdict.isFailed { status = 1 } else if outcome.verdict == .harnessError, status == 0 { status = 3 }
        }
        if status != 0 { throw ExitCode(status) }
    }
}
