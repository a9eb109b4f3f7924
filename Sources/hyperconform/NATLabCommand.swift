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
            Eight public nodes, two routers and two hosts are made for each cell and removed after it. A cell is named after the dialling host's router \
            and then the listening host's. Needs root, iproute2 and nftables; otherwise every cell is not-run. All traffic stays in the namespaces.
            """)

    @Option(help: ArgumentHelp("Only these cells, separated by commas.", valueName: "a,b")) var cell: String?
    @Option(help: "Who listens: swift, node, or a defined one.") var first = "swift"
    @Option(help: "Who dials: swift, node, or a defined one.") var second = "swift"
    @Option(help: "Who runs the public nodes: swift, node, or a defined one.") var network = "swift"
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
            let outcome = NATLabRun(cell: cell, first: a, second: b, network: dht, folder: keep, program: program).run()
            outcomes.append(outcome)
            guard format == .table else { continue }
            let verdict = outcome.verdict == .notRun ? "not-run(\(outcome.reasons.joined(separator: "; ")))" : outcome.verdict.rawValue
            Terminal.show(
                "\(cell.name.padding(toLength: 24, withPad: " ", startingAt: 0)) \("\(b.name) > \(a.name)".padding(toLength: 14, withPad: " ", startingAt: 0))"
                    + " \(verdict.padding(toLength: max(12, verdict.count), withPad: " ", startingAt: 0)) \(outcome.story)"
                    + (outcome.packets > 0 ? ", \(outcome.packets) packets, \(outcome.comparisons) comparisons" : "") + "\n")
            if outcome.verdict != .notRun { for reason in outcome.reasons { Terminal.show("    \(reason)\n") } }
        }
        if format == .json {
            let rows = outcomes.map { outcome -> JSON in
                [
                    "cell": .string(outcome.cell), "first": .string(outcome.first), "second": .string(outcome.second),
                    "verdict": .string(outcome.verdict.rawValue), "story": .string(outcome.story),
                    "reasons": .array(outcome.reasons.map { .string($0) }), "packets": .integer(outcome.packets),
                    "comparisons": .integer(outcome.comparisons),
                ]
            }
            try Terminal.write(JSON.object(["schema": "hyperconform-natlab/1", "cells": .array(rows)]).text(indent: 1) + "\n", to: nil)
        }
        if outcomes.contains(where: { $0.verdict.isFailed }) { throw ExitCode(1) }
        if outcomes.contains(where: { $0.verdict == .harnessError }) { throw ExitCode(3) }
    }
}
