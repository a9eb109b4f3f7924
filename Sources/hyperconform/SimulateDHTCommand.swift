import ArgumentParser
import DHTChecks
import Foundation

extension SimulateCommand {
    /// Networks of HyperDHT nodes.
    struct DHT: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "dht", abstract: "A network of HyperDHT nodes: what announces and lookups find and cost, and what survives.",
            discussion: """
                The nodes join spread over ten virtual minutes, with round trips of 10 to 200 ms. At the end a fifth of them vanishes at once. \
                Exit code 0 if every lookup found its record, and 999 of 1000 knew at least 19 of the 20 true closest nodes.
                """)

        @Option(help: "How many nodes.") var nodes: Int = 10_000
        @Option(help: "How many topics are announced and looked up.") var announces: Int = 1_000
        @Option(help: "Seed for everything that is drawn.") var seed: UInt64 = 1
        @Flag(help: "Only the cost of a lookup, for networks of 10 nodes up to the number given.") var cost = false

        func run() async throws {
            if cost {
                print("nodes   requests a lookup   most   ms a lookup   found   accurate")
                var size = 10
                while size <= nodes {
                    let report = try HyperDHTScale.run(nodes: size, announces: min(announces, 100), seed: seed, loss: false)
                    print(
                        String(
                            format: "%-7d %-19.1f %-6d %-13.0f %-7d %d", size, report.packetsPerLookup, report.mostPackets,
                            report.millisecondsPerLookup, report.found, report.accurate))
                    size *= 10
                }
                return
            }
            let started = ContinuousClock.now
            let report = try HyperDHTScale.run(nodes: nodes, announces: announces, seed: seed)
            let took = ContinuousClock.now - started
            print("nodes \(report.nodes), persistent \(report.persistent), datagrams \(report.datagrams)")
            print("lookups \(report.lookups): found \(report.found), with 19 of the 20 true closest nodes \(report.accurate)")
            print(
                String(
                    format: "a lookup: %.1f requests (most %d), %.0f virtual ms", report.packetsPerLookup, report.mostPackets,
                    report.millisecondsPerLookup))
            print("after a fifth vanished: \(report.foundAfterLoss) of \(report.lookupsAfterLoss) lookups found their record")
            print("digest \(report.digest)")
            print("took \(took.components.seconds) s")
            let isAccurate = report.accurate * 1000 >= report.announces * 999
            if report.found < report.announces || !isAccurate { throw ExitCode(1) }
        }
    }
}
