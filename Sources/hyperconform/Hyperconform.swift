import ArgumentParser
import Conformance
import Foundation

@main
struct Hyperconform: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "hyperconform",
        abstract: "Judges whether an implementation speaks Hyperswarm as Node.js does, byte by byte.",
        discussion: """
            With no argument, "hyperconform run" holds the Swift stack against golden vectors and recordings that Node.js made, and prints a table by layer.

            Exit codes: 0 as expected, 1 unexpected verdicts, 2 wrong usage, 3 the harness itself could not do its work, 4 stale expectations.
            """,
        version: version,
        subcommands: [
            RunCommand.self, VectorsCommand.self, ReplayCommand.self, MutantsCommand.self, ExplainCommand.self, GateCommand.self,
            ReportCommand.self,
            PcapCommand.self, CaptureCommand.self, FlipsCommand.self, DamageCommand.self, FuzzCommand.self, SimulateCommand.self,
            ProbeCommand.self,
            LiveCommand.self, MatrixCommand.self, NATLabCommand.self, DriftCommand.self, NodeCommand.self, WorkerCommand.self,
            RecordCommand.self, SoakCommand.self,
        ],
        defaultSubcommand: nil)

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? AsyncParsableCommand { try await command.run() } else { try command.run() }
        } catch let error as CorpusError {
            Terminal.fail("\(error)", 3)
        } catch let failure as ExitCode {
            Foundation.exit(failure.rawValue)
        } catch {
            let code = exitCode(for: error)
            if code == .success {
                print(fullMessage(for: error))
                Foundation.exit(0)
            }
            // ArgumentParser's own code for wrong usage is 64; ours is 2.
            if code == .validationFailure { Terminal.fail(fullMessage(for: error), 2, prefix: "") }
            Terminal.fail("\(error)", 3)
        }
    }
}
