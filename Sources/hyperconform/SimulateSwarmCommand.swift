import ArgumentParser
import SwarmChecks

extension SimulateCommand {
    /// Many swarms on one topic.
    struct Swarms: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "swarm", abstract: "Many swarms on one topic, with churn: who is connected, nobody twice, nothing leaks.",
            discussion: """
                A third of the swarms crashes and comes back under the same key, a sixth is suspended for a while. Exit code 0 if at the end nobody is \
                left out, no pair is connected twice or on one side only, and no node holds more than its swarm knows of.
                """)

        @Option(help: "How many swarms.") var swarms = 200
        @Option(help: "How many DHT nodes they live on.") var nodes = 30
        @Option(help: "Connections at which a swarm stops dialling.") var maxPeers = 64
        @Option(help: "Virtual minutes.") var minutes = 60
        @Option(help: "Seed for everything that is drawn.") var seed: UInt64 = 1

        func run() async throws {
            var scale = SwarmScale()
            scale.swarms = swarms
            scale.nodes = nodes
            scale.maxPeers = maxPeers
            scale.minutes = minutes
            scale.seed = seed
            let started = ContinuousClock.now
            let report = try scale.run()
            let all = report.connections
            print("swarms \(report.swarms), datagrams \(report.datagrams)")
            print("connections of a swarm: fewest \(all.first ?? 0), median \(all.isEmpty ? 0 : all[all.count / 2]), most \(all.last ?? 0)")
            print(
                "connected twice \(report.doubled), on one side only \(report.oneSided), islands \(report.islands), dials in flight \(report.dialling)"
            )
            print("connections that nobody knows of \(report.leaked)")
            print("digest \(report.digest)")
            print("took \((ContinuousClock.now - started).components.seconds) s")
            if !report.isSound { throw ExitCode(1) }
        }
    }
}
