import ArgumentParser
import Conformance
import Dispatch
import Foundation
import NetworkSimulator
import SansIO
import Simulations
import UDX

/// Runs the stack's machines in bad weather, under a virtual clock.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Seeded network weather for the stack's machines: streams, goodput, networks of nodes.",
        subcommands: [UDXWeather.self, UDXGoodput.self, DHT.self, Swarms.self, Hostile.self])

    struct UDXWeather: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "udx",
            abstract: "Streams under loss, bursts, reordering, duplication, delay, small MTUs, closing windows, destroying, moving.",
            discussion: """
                Loss follows from the seed: 0, 10, 20 and 30 % in turn. Failed streams are allowed only by timeout, and only at 20 % loss (1 in 100) \
                and 30 % (1 in 20). Replay one: hyperconform simulate udx --seed N --pcapng FILE
                """)

        @Option(help: "How many seeds, from 1.") var seeds: Int = 2_000
        @Option(help: "Run only this seed.") var seed: UInt64?
        @Option(help: ArgumentHelp("With --seed: write what was sent as pcapng.", valueName: "file")) var pcapng: String?

        func run() async throws {
            if let seed {
                let capture = SimulationCapture()
                let outcome = MixedScenario(seed: seed).run { capture.record($0) }
                print("seed \(outcome.seed): \(outcome.summary); \(outcome.packets) packets, \(outcome.virtualSeconds) virtual s")
                print(outcome.failure.map { "failed: \($0)" } ?? "passed")
                if let pcapng { try Data(capture.pcapng()).write(to: URL(fileURLWithPath: pcapng)) }
                if outcome.failure != nil { throw ExitCode(1) }
                return
            }
            let started = ContinuousClock.now
            let count = seeds
            let outcomes = await withTaskGroup(of: [MixedScenario.Outcome].self) { group in
                let workers = max(1, ProcessInfo.processInfo.activeProcessorCount)
                for worker in 0..<workers {
                    group.addTask { stride(from: 1 + worker, through: count, by: workers).map { MixedScenario(seed: UInt64($0)).run() } }
                }
                return await group.reduce(into: []) { $0 += $1 }.sorted { $0.seed < $1.seed }
            }
            var unexpected = 0
            for loss in [0, 10, 20, 30] {
                let group = outcomes.filter { $0.lossPercent == loss }
                let failed = group.filter { $0.failure != nil }
                let timeouts = failed.filter(\.isTimeout)
                let allowed = loss == 20 ? group.count / 100 : loss == 30 ? group.count / 20 : 0
                print("loss \(loss) %: \(group.count) runs, \(failed.count) failed (\(timeouts.count) by timeout; allowed \(allowed))")
                for outcome in failed.prefix(10) { print("  seed \(outcome.seed): \(outcome.failure ?? "") [\(outcome.summary)]") }
                if failed.count - timeouts.count > 0 || timeouts.count > allowed { unexpected += 1 }
            }
            let packets = outcomes.reduce(0) { $0 + $1.packets }
            let hours = outcomes.reduce(0) { $0 + $1.virtualSeconds } / 3600
            print(
                "\(packets) packets, \(String(format: "%.1f", hours)) virtual hours, largest reordering buffer \(outcomes.map(\.largestOutOfOrder).max() ?? 0) bytes, \(ContinuousClock.now - started)"
            )
            if unexpected > 0 { throw ExitCode(1) }
        }
    }

    struct UDXGoodput: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "goodput", abstract: "The share of a bottleneck that one stream fills: median over seeds, BBR beside CUBIC.")

        @Option(help: "Seeds a cell.") var seeds: Int = 20

        func run() async throws {
            print("Mbit/s  round trip    loss     BBR   CUBIC")
            var worst = 1.0
            for rate in [10, 100] {
                for trip in [20, 100] {
                    for loss in [0.0, 0.001, 0.01] {
                        let bbr = GoodputScenario(megabitsPerSecond: rate, roundTripMilliseconds: trip, loss: loss).median(seeds: seeds)
                        let cubic = GoodputScenario(
                            megabitsPerSecond: rate, roundTripMilliseconds: trip, loss: loss, congestionControl: .cubic
                        )
                        .median(seeds: seeds)
                        worst = min(worst, bbr)
                        print(String(format: "%6d %8d ms %6.1f %% %7.3f %7.3f", rate, trip, loss * 100, bbr, cubic))
                    }
                }
            }
            print(String(format: "lowest BBR share %.3f; at least 0.85 is asked", worst))
            if worst < 0.85 { throw ExitCode(1) }
        }
    }
}
