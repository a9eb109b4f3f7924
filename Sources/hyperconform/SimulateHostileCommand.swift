import ArgumentParser
import Foundation
import Simulations

extension SimulateCommand {
    /// Floods and lies against one node.
    struct Hostile: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "hostile", abstract: "Floods and lies from one source and from many: what they make a node send and hold.",
            discussion: """
                Each attack meets a fresh persistent node with its default limits and lasts about one virtual second. Exit code 0 if every bound holds (on what \
                is sent, stored and kept in tables, and on memory) and \
                another peer's ten questions, during the attack and right after it, are all answered.
                """)

        @Option(help: "How many times over each attack is sent: with 10, from 1000 to 120 000 datagrams.") var factor: Int = 10
        @Option(help: "Seed for everything that is drawn.") var seed: UInt64 = 1

        func validate() throws { if !(1...1000).contains(factor) { throw ValidationError("--factor must be from 1 to 1000.") } }

        func run() async throws {
            print("attack                                  sources  datagrams  answers  to others  out/in  table  records  MiB   served")
            var broken = 0
            for outcome in HostileScenario(seed: seed, factor: factor, resident: { ResourceUse.residentMemory }).run() {
                let name = outcome.name.padding(toLength: 38, withPad: " ", startingAt: 0)
                print(
                    name
                        + String(
                            format: "  %-7d  %-9d  %-7d  %-9d  %-6.2f  %-5d  %-7d  %-4.1f  %d of 10", outcome.sources, outcome.datagrams,
                            outcome.answers, outcome.toOthers, Double(outcome.bytesOut) / Double(max(1, outcome.bytesIn)),
                            outcome.tableNodes, outcome.records, Double(outcome.memory) / 1_048_576, outcome.othersServed))
                let notes =
                    (outcome.handshakes > 0 ? ["handshakes answered \(outcome.handshakes)"] : [])
                    + outcome.drops.map { "dropped as \($0.reason) \($0.count)" }
                if !notes.isEmpty { print("    " + notes.joined(separator: ", ")) }
                for reason in outcome.broken { print("    BROKEN: \(reason)") }
                broken += outcome.broken.count
            }
            if broken > 0 { throw ExitCode(1) }
        }
    }
}
