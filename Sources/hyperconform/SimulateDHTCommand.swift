import ArgumentParser
import Foundation
import Simulations

extension SimulateCommand {
    /// Networks of HyperDHT nodes.
    struct DHT: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "dht", abstract: "A network of HyperDHT nodes: what announces and lookups find and cost, and what survives.",
            discussion: """
                The nodes join spread over ten virtual minutes, with round trips of 10 to 200 ms. At the end a fifth of them vanishes at once, and \
                everything is looked up again. Exit code 0 if every lookup found its record, before and after, and 999 of 1000 knew at least 19 of \
                the 20 true closest nodes before.
                """)

        @Option(help: "How many nodes.") var nodes: Int = 10_000
        @Option(help: "How many topics are announced and looked up.") var announces: Int = 1_000
        @Option(help: "Seed for everything that is drawn.") var seed: UInt64 = 1
        @Flag(help: "Only the cost of a lookup, for networks of 10 nodes up to the number given.") var cost = false

        func run() async throws {
            if cost { return try printCost() }
            let started = ContinuousClock.now
            let report = try DHTScenario(nodes: nodes, announces: announces, seed: seed).run()
            let took = ContinuousClock.now - started
            print(
                String(
                    format: "nodes %d, persistent %d; datagrams %d (%d until all had joined), %.0f virtual s", report.nodes,
                    report.persistent,
                    report.datagrams, report.datagramsOfJoining, report.virtualSeconds))
            print("announces \(report.announced) of \(report.announces)")
            print("lookups", describe(report.lookups))
            print("after a fifth of the nodes vanished", describe(report.lookupsAfterLoss))
            print("digest \(report.digest)")
            print(
                "took \(String(format: "%.1f", seconds(took))) s, \(String(format: "%.1f", ResourceUse.cpuSeconds)) s of CPU, \(ResourceUse.peakMemory / 1_048_576) MiB at most"
            )
            let lookups = report.lookups
            let isAccurate = lookups.accurate * 1000 >= lookups.lookups * 999
            if lookups.found < announces || report.lookupsAfterLoss.found < announces || !isAccurate { throw ExitCode(1) }
        }

        private func seconds(_ duration: Duration) -> Double {
            Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
        }

        private func describe(_ round: DHTScenario.Round) -> String {
            "\(round.lookups): found \(round.found), with 19 of the 20 true closest nodes \(round.accurate)\n"
                + String(
                    format:
                        "  each %.1f requests (most %d), %.1f datagrams (most %d), %.1f hops to the record (most %d), %.0f ms (most %d)",
                    round.requests.mean, round.requests.most, round.datagrams.mean, round.datagrams.most, round.hops.mean, round.hops.most,
                    round.milliseconds.mean, round.milliseconds.most)
        }

        private func printCost() throws {
            print("nodes   requests  most   datagrams  most   hops  most   ms    most    found  accurate")
            var size = 10
            while size <= nodes {
                var scenario = DHTScenario(nodes: size, announces: min(announces, 100), seed: seed)
                scenario.loses = false
                let round = try scenario.run().lookups
                print(
                    String(
                        format: "%-7d %-9.1f %-6d %-10.1f %-6d %-5.1f %-6d %-5.0f %-7d %-6d %d", size, round.requests.mean,
                        round.requests.most, round.datagrams.mean, round.datagrams.most, round.hops.mean, round.hops.most,
                        round.milliseconds.mean, round.milliseconds.most, round.found, round.accurate))
                size *= 10
            }
        }
    }
}
