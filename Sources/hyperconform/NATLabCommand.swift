import ArgumentParser
import Conformance
import Foundation
import LivePeers
import StrictJSON

struct NATLabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "natlab",
        abstract: "Two hosts behind two routers, in network namespaces: who gets through to whom.",
        discussion: """
            Public nodes, two routers and two hosts are made for each cell and removed after it. A cell is named after the dialling host's router \
            and then the listening host's. Needs root, iproute2 and nftables; otherwise every cell is not-run. All traffic stays in the namespaces.
            """)

    @Option(help: ArgumentHelp("Only these cells, separated by commas.", valueName: "a,b")) var cell: String?
    @Option(help: "Who listens: swift, node, or a defined one.") var first = "swift"
    @Option(help: "Who dials: swift, node, or a defined one.") var second = "swift"
    @Option(help: "Who runs the public nodes: swift, node, or a defined one.") var network = "swift"
    @Option(help: "How many public nodes there are: below three no side can tell what its own NAT does.") var nodes = NATLab.usualNodes
    @OptionGroup var peers: PeerNames
    @Option(help: ArgumentHelp("Where captures, key logs and events of each cell are kept.", valueName: "dir")) var keep = "natlab-results"
    @Option(help: "table for people, json for programs.") var format: OutputFormat = .table

    private func cells() throws -> [NATLabCell] {
        guard let cell else { return NATLabCell.all }
        return try cell.split(separator: ",").map { name in
            guard let found = NATLabCell.all.first(where: { $0.name == name }) else {
                throw ValidationError("no cell \"\(name)\": \(NATLabCell.all.map(\.name).joined(separator: ", "))")
            }
            return found
        }
    }

    func validate() throws {
        guard (1...200).contains(nodes) else { throw ValidationError("--nodes is 1 to 200") }
    }

    func run() throws {
        let (a, b, dht) = (try peers.command(first), try peers.command(second), try peers.command(network))
        let cells = try cells()
        let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path
        // A signal must not leave namespaces behind.
        let sources = [SIGINT, SIGTERM, SIGHUP].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                NATLabCleaner.shared.removeAll()
                Foundation.exit(128 + number)
            }
            source.resume()
            return source
        }
        defer { for source in sources { source.cancel() } }

        var outcomes: [NATLabRun.Outcome] = []
        for cell in cells {
            let outcome = NATLabRun(cell: cell, first: a, second: b, network: dht, nodes: nodes, folder: keep, program: program).run()
            outcomes.append(outcome)
            let again = again(cell)
            if !outcome.folder.isEmpty {
                let report: JSON = ["schema": "hyperconform-natlab/1", "command": .string(again), "cells": [outcome.json]]
                try Data((report.text(indent: 1) + "\n").utf8).write(to: URL(fileURLWithPath: "\(outcome.folder)/verdict.json"))
            }
            if format == .table { show(outcome, again) }
        }
        if format == .json {
            try Terminal.write(
                JSON.object(["schema": "hyperconform-natlab/1", "cells": .array(outcomes.map(\.json))]).text(indent: 1) + "\n", to: nil)
        }
        if outcomes.contains(where: { $0.verdict.isFailed }) { throw ExitCode(1) }
        if outcomes.contains(where: { $0.verdict == .harnessError }) { throw ExitCode(3) }
    }

    /// The command that runs this cell alone.
    private func again(_ cell: NATLabCell) -> String {
        var words = ["hyperconform", "natlab", "--cell", cell.name, "--first", first, "--second", second, "--network", network]
        if nodes != NATLab.usualNodes { words += ["--nodes", "\(nodes)"] }
        if let modules = peers.nodeModules { words += ["--node-modules", modules] }
        for definition in peers.definitions { words += ["--define", "'\(definition)'"] }
        return words.joined(separator: " ")
    }

    private func show(_ outcome: NATLabRun.Outcome, _ again: String) {
        let cell = outcome.cell.padding(toLength: 24, withPad: " ", startingAt: 0)
        let pair = "\(outcome.second) > \(outcome.first)".padding(toLength: 14, withPad: " ", startingAt: 0)
        let word = outcome.verdict == .notRun ? "not-run(\(outcome.reasons.joined(separator: "; ")))" : outcome.verdict.rawValue
        let verdict = word.padding(toLength: max(12, word.count), withPad: " ", startingAt: 0)
        let counts = outcome.packets > 0 ? ", \(outcome.packets) packets, \(outcome.comparisons) comparisons" : ""
        Terminal.show("\(cell) \(pair) \(verdict) \(outcome.story)\(counts)\n")
        if outcome.verdict != .notRun, !outcome.verdict.isPassed {
            for reason in outcome.reasons { Terminal.show("    \(reason)\n") }
            Terminal.show("    kept in \(outcome.folder); again: \(again)\n")
        }
        for note in outcome.notes { Terminal.show("    \(note)\n") }
        fflush(nil)
    }
}
