import ArgumentParser
import Conformance
import Foundation
import LivePeers
import StrictJSON

struct SoakCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Joins, leaves, connections, transfers and faults over loopback for minutes or hours: does anything grow?",
        discussion: """
            A network of eight nodes and two peers, each in a process of its own that lives as long as the soak, go through rounds: connect and \
            transfer, find each other by a topic, destroy in the middle, dial nobody, store and fetch records, suspend and resume, lose datagrams, \
            be sent junk, be cut off. Once a minute memory, file descriptors and threads are measured and a piece of the traffic is judged.

            Exit code 0 by this rule: \(Soak.rule). Otherwise 1.

            As root it runs in a network namespace of its own; as another user without lost datagrams and on the machine's own loopback.
            """)

    @Option(help: "How long.") var minutes = 30
    @Option(help: "Which peer: swift, node, or a defined one.") var peer = "swift"
    @Option(help: "Seed of keys, topics and sizes.") var seed: UInt64 = 1
    @OptionGroup var peers: PeerNames
    @Option(help: "table for people, json for programs.") var format: OutputFormat = .table

    func validate() throws { guard minutes >= 1 else { throw ValidationError("--minutes: at least 1") } }

    func run() throws {
        let command = try peers.command(peer)
        PeerOptions.isolate()
        let soak = try Soak(command, seed: seed)
        if format == .table { print("minute  rounds failed sampled unexplained  process: resident, descriptors, threads") }
        var interruption: String?
        do {
            try soak.run(minutes: minutes) { figures in
                guard format == .table else { return }
                let processes = figures.processes.map { "\($0.name): \($0.residentKiB) KiB, \($0.descriptors), \($0.threads)" }
                print(
                    "\(column(figures.minute, 6)) \(column(figures.rounds.reduce(0, +), 7)) \(column(figures.failures, 6)) "
                        + "\(column(figures.sampled, 7)) \(column(figures.unexplained, 11))  \(processes.joined(separator: "; "))")
                fflush(nil)
            }
        } catch { interruption = "\(error)" }
        soak.stop()
        let reasons = Soak.verdict(soak.figures, failures: soak.failures + (interruption.map { [$0] } ?? []))
        switch format {
        case .json: try Terminal.write(json(soak, reasons).text(indent: 1) + "\n", to: nil)
        case .table:
            for (kind, count) in zip(Soak.kinds, soak.figures.last?.rounds ?? []) { print("\(kind): \(count) rounds") }
            for line in soak.unexplained { print("unexplained: \(line)") }
            for reason in reasons { Terminal.show(reason + "\n") }
            Terminal.show(reasons.isEmpty ? "passed: nothing grew\n" : "failed by the rule: \(Soak.rule)\n")
        }
        if !reasons.isEmpty { throw ExitCode(1) }
    }

    private func column(_ number: Int, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - "\(number)".count)) + "\(number)"
    }

    private func json(_ soak: Soak, _ reasons: [String]) -> JSON {
        let minutes = soak.figures.map { figures -> JSON in
            [
                "minute": .integer(figures.minute), "rounds": .array(figures.rounds.map { .integer($0) }),
                "failures": .integer(figures.failures), "sampled": .integer(figures.sampled), "unexplained": .integer(figures.unexplained),
                "processes": .array(
                    figures.processes.map {
                        [
                            "name": .string($0.name), "residentKiB": .integer($0.residentKiB), "descriptors": .integer($0.descriptors),
                            "threads": .integer($0.threads),
                        ]
                    }),
            ]
        }
        return [
            "schema": "hyperconform-soak/1", "peer": .string(peer), "kinds": .array(Soak.kinds.map { .string($0) }),
            "rule": .string(Soak.rule),
            "minutes": .array(minutes), "reasons": .array(reasons.map { .string($0) }),
        ]
    }
}
