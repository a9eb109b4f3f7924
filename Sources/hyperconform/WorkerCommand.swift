import ArgumentParser
import Conformance
import Foundation

/// What a worker process of `run` and `mutants` executes; not for people.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Runs single checks for another process.", shouldDisplay: false)

    @Option var corpus: String
    @Option var seed: UInt64

    func run() async throws {
        let corpus = Corpus(root: corpus)
        let seed = seed
        // The main thread of a task has a small stack; checks get a large one.
        let thread = Thread {
            WorkerPool.serve(checks: SuiteRegistry.suites(in: corpus).flatMap(\.checks), corpus: corpus, seed: seed)
            Foundation.exit(0)
        }
        thread.stackSize = 16 << 20
        thread.start()
        while true { try await Task.sleep(for: .seconds(3600)) }
    }
}
