import ArgumentParser
import Conformance
import Foundation
import LivePeers
import PacketCapture
import StrictJSON

/// What `live` and `matrix` share.
struct PeerOptions: ParsableArguments {
    @OptionGroup var peers: PeerNames

    @Option(help: ArgumentHelp("Only these scenarios, separated by commas.", valueName: "a,b"))
    var scenario: String?

    @Option(help: ArgumentHelp("Where captures, key logs and events of each run are kept.", valueName: "dir"))
    var keep = "live-results"

    @Option(
        help: ArgumentHelp(
            "Who hosts the network's nodes, in a process of its own; by default the first peer. Only scenarios with a network are run.",
            valueName: "peer"))
    var network: String?

    @Option(help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func host() throws -> PeerCommand? { try network.map { try peers.command($0) } }

    func scenarios() throws -> [Scenario] {
        guard let scenario else { return Scenario.all.filter { network == nil || $0.layers.contains("dht") } }
        return try scenario.split(separator: ",").map { name in
            guard let found = Scenario.all.first(where: { $0.name == name }) else {
                throw ValidationError("no scenario \"\(name)\": \(Scenario.all.map(\.name).joined(separator: ", "))")
            }
            return found
        }
    }

    /// Runs this program again in a network namespace of its own, so that the capture holds the run and nothing else. Returns where that is not
    /// possible: then other programs' traffic on loopback stands in the capture.
    func isolate() { PeerOptions.isolate() }

    static func isolate() {
        let environment = ProcessInfo.processInfo.environment
        guard environment["HYPERCONFORM_ISOLATED"] == nil, geteuid() == 0 else { return }
        guard let program = Bundle.main.executablePath else { return }
        // Tried first: containers have root without the right, or without the tools.
        guard succeeds(["unshare", "--net", "ip", "link", "set", "lo", "up"]) else {
            let note =
                "no network namespace of its own (needs unshare, ip and CAP_SYS_ADMIN): whatever else talks on loopback is judged too\n"
            FileHandle.standardError.write(Data(note.utf8))
            return
        }
        setenv("HYPERCONFORM_ISOLATED", "1", 1)
        let script = "ip link set lo up; exec \"$0\" \"$@\""
        let words = ["unshare", "--net", "sh", "-c", script, program] + CommandLine.arguments.dropFirst()
        execvp("unshare", words.map { strdup($0) } + [nil])
        unsetenv("HYPERCONFORM_ISOLATED")
    }

    /// Runs a command without its output.
    private static func succeeds(_ words: [String]) -> Bool {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [1, 2] as [Int32] { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0) }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        var status: Int32 = 0
        return posix_spawnp(&process, words[0], &actions, nil, &arguments, environ) == 0 && waitpid(process, &status, 0) == process
            && status == 0
    }

    func finish(_ outcomes: [LiveCell.Outcome]) throws {
        if format == .json {
            let rows = outcomes.map { outcome -> JSON in
                [
                    "scenario": .string(outcome.scenario), "first": .string(outcome.first), "second": .string(outcome.second),
                    "verdict": .string(outcome.verdict.rawValue), "reasons": .array(outcome.reasons.map { .string($0) }),
                    "packets": .integer(outcome.packets), "comparisons": .integer(outcome.comparisons),
                    "differences": outcome.diff.map { .integer($0.findings.count) } ?? .null,
                    "notes": .array(outcome.notes.map { .string($0) }),
                    "variance": .array(outcome.diff.map { $0.allowed.map(PeerOptions.variance) } ?? []),
                ]
            }
            try Terminal.write(JSON.object(["schema": "hyperconform-live/1", "cells": .array(rows)]).text(indent: 1) + "\n", to: nil)
        }
        if outcomes.contains(where: { $0.verdict.isFailed }) { throw ExitCode(1) }
        if outcomes.contains(where: { $0.verdict == .harnessError }) { throw ExitCode(3) }
    }

    /// Where the bundle of a cell is kept.
    func place(_ scenario: Scenario, _ first: PeerCommand, _ second: PeerCommand) -> String {
        "\(keep)/\(scenario.name).\(first.name).\(second.name)\(network.map { ".on-\($0)" } ?? "")"
    }

    private static func variance(_ allowed: AllowedDifference) -> JSON {
        ["field": .string(allowed.field), "rule": .string("\(allowed.rule)"), "count": .integer(allowed.count)]
    }

    /// How much of the comparison with the recording was judged: what is free to vary is not.
    private static func judged(_ outcome: LiveCell.Outcome) -> String {
        guard let diff = outcome.diff else { return "" }
        let free = diff.allowed.filter { $0.rule.name == "free" }.reduce(0) { $0 + $1.count }
        let varied = diff.allowed.reduce(0) { $0 + $1.count } - free
        return "; against the recording: \(diff.comparedFields) fields, \(varied) vary by rule, \(free) free"
    }

    func show(_ outcome: LiveCell.Outcome) {
        guard format == .table else { return }
        let name = outcome.scenario.padding(toLength: 24, withPad: " ", startingAt: 0)
        let pair = ("\(outcome.first) > \(outcome.second)" + (network.map { " on \($0)" } ?? "")).padding(
            toLength: network == nil ? 16 : 24, withPad: " ", startingAt: 0)
        let verdict = outcome.verdict.rawValue.padding(toLength: 14, withPad: " ", startingAt: 0)
        let judged = "\(outcome.packets) packets, \(outcome.comparisons) comparisons\(PeerOptions.judged(outcome))"
        let lines = ["\(name) \(pair) \(verdict)  \(judged)"] + (outcome.reasons + outcome.notes).map { "    \($0)" }
        Terminal.show(lines.joined(separator: "\n") + "\n")
    }
}

struct LiveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live",
        abstract: "Scenarios between two peers over loopback, captured by libpcap and judged.",
        discussion: """
            The first peer hosts a small network (--network: another one does) and listens, the second dials, by the script of a recording and with its seeds, topics and \
            payloads. Each run is captured, decrypted with the peers' key logs, and held against the script's expectations, the rules that every \
            capture obeys, and the recording of the reference: what differs beyond declared variance fails the run (--format json names each \
            rule that was used). As root it runs in a network namespace of its own.
            """)

    @Option(help: "Who listens, and hosts the network: swift, node, or a defined one.") var first = "swift"
    @Option(help: "Who dials: swift, node, or a defined one.") var second = "swift"
    @OptionGroup var options: PeerOptions

    func run() throws {
        let (a, b) = (try options.peers.command(first), try options.peers.command(second))
        let host = try options.host()
        let scenarios = try options.scenarios()
        options.isolate()
        var outcomes: [LiveCell.Outcome] = []
        for scenario in scenarios {
            let outcome = LiveCell(
                scenario: scenario, first: a, second: b, host: host, place: options.place(scenario, a, b), corpus: Corpus.find()
            ).run()
            options.show(outcome)
            outcomes.append(outcome)
        }
        if options.format == .table, options.scenario == nil, options.network == nil {
            for (name, reason) in Scenario.notLive {
                Terminal.show("\(name.padding(toLength: 24, withPad: " ", startingAt: 0))  not-run: \(reason)\n")
            }
        }
        try options.finish(outcomes)
    }
}

struct MatrixCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "matrix", abstract: "Every scenario for every ordered pair of peers, as a table.")

    @Option(help: ArgumentHelp("The peers, separated by commas.", valueName: "a,b")) var peers = "swift,node"
    @OptionGroup var options: PeerOptions

    func run() throws {
        let commands = try peers.split(separator: ",").map { try options.peers.command(String($0)) }
        let host = try options.host()
        let scenarios = try options.scenarios()
        options.isolate()
        var outcomes: [LiveCell.Outcome] = []
        for scenario in scenarios {
            for first in commands {
                for second in commands {
                    let outcome = LiveCell(
                        scenario: scenario, first: first, second: second, host: host,
                        place: options.place(scenario, first, second), corpus: Corpus.find()
                    ).run()
                    options.show(outcome)
                    outcomes.append(outcome)
                }
            }
        }
        if options.format == .table {
            let pairs = commands.flatMap { a in commands.map { (a.name, $0.name) } }
            print("\n" + "scenario".padding(toLength: 24, withPad: " ", startingAt: 0) + pairs.map { " \($0.0)>\($0.1)" }.joined())
            for scenario in scenarios {
                let cells = pairs.map { pair -> String in
                    let outcome = outcomes.first { $0.scenario == scenario.name && $0.first == pair.0 && $0.second == pair.1 }
                    let mark = outcome.map { $0.verdict.isPassed ? "ok" : $0.verdict.rawValue } ?? "-"
                    return " " + mark.padding(toLength: max(mark.count, pair.0.count + pair.1.count + 1), withPad: " ", startingAt: 0)
                }
                print(scenario.name.padding(toLength: 24, withPad: " ", startingAt: 0) + cells.joined())
            }
        }
        try options.finish(outcomes)
    }
}

struct DriftCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drift",
        abstract: "Two recordings of the reference, folder by folder: what changed in the protocol, apart from noise.",
        discussion: "OLD and NEW are folders of trace bundles (as Fixtures is). Exit code 0 if nothing changed, 1 if something did.")

    @Argument(help: ArgumentHelp("Recorded with the old packages.", valueName: "old")) var old: String
    @Argument(help: ArgumentHelp("Recorded with the new packages.", valueName: "new")) var new: String

    func run() throws {
        func bundles(_ folder: String) throws -> [String] {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
                throw CorpusError("the folder can't be read", file: folder)
            }
            return names.filter { FileManager.default.fileExists(atPath: "\(folder)/\($0)/manifest.json") }.sorted()
        }
        let (before, after) = (try bundles(old), try bundles(new))
        guard !before.isEmpty else { throw CorpusError("no trace bundle in it", file: old) }
        var changed = 0
        for name in before where !after.contains(name) {
            print("\(name): not recorded again")
            changed += 1
        }
        for name in after where !before.contains(name) { print("\(name): new") }
        for name in before where after.contains(name) {
            let diff = try Diff.compare(DriftCommand.bundle("\(old)/\(name)"), DriftCommand.bundle("\(new)/\(name)"))
            if diff.findings.isEmpty {
                print("\(name): unchanged (\(diff.comparedFields) fields compared)")
            } else {
                changed += 1
                print("\(name): \(diff.findings.count) changes")
                for finding in diff.findings.prefix(12) {
                    Terminal.show(
                        "    \(finding.conversation): \(finding.field) \(finding.kind.rawValue), \(finding.a) became \(finding.b)\n")
                }
            }
        }
        if changed > 0 { throw ExitCode(1) }
    }

    private static func bundle(_ path: String) throws -> TraceBundle { try TraceBundle(path: path) }
}
