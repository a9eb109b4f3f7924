import ArgumentParser
import Conformance
import Foundation

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json
}

struct CorpusOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The folder that holds requirements.json, vectors and Fixtures. By default it is looked for upwards from the working directory.",
            valueName: "dir"))
    var corpus: String?

    func load() throws -> Corpus {
        if let corpus {
            guard Corpus.find(from: corpus)?.root == URL(fileURLWithPath: corpus).standardizedFileURL.path else {
                throw CorpusError("not a corpus: requirements.json and vectors are expected in it", file: corpus)
            }
            return Corpus(root: corpus)
        }
        guard let found = Corpus.find() else {
            throw CorpusError(
                "no requirements.json and vectors here or in a folder above; run it inside a checkout, or give --corpus DIR",
                file: FileManager.default.currentDirectoryPath)
        }
        return found
    }
}

struct SelectionOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only these layers, separated by commas: \(Layers.all.joined(separator: ", ")).", valueName: "a,b"),
        completion: .list(Layers.all))
    var layer: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Only this check, or all whose id begins with it and a dot. May be given more than once.", valueName: "id"))
    var check: [String] = []

    @Option(name: .long, help: ArgumentHelp("Seed for everything that a check draws at random.", valueName: "n"))
    var seed: UInt64 = 1

    @Option(name: .long, help: ArgumentHelp("How many checks run at once.", valueName: "n"))
    var threads: Int = 2

    @Option(name: .long, help: ArgumentHelp("A check that gives no verdict in this time hangs.", valueName: "seconds"))
    var timeLimit: Double = 60

    @Flag(name: .long, help: "Run checks in this process, for a debugger: a check that traps then ends everything.")
    var inProcess = false

    var layers: [String] { layer.map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } } ?? [] }

    func validate() throws {
        guard threads >= 1, threads <= 256 else { throw ValidationError("--threads must be 1 to 256") }
        guard seed < 1 << 53 else { throw ValidationError("--seed must be below 2^53") }
        guard timeLimit > 0 else { throw ValidationError("--time-limit must be more than 0") }
    }

    func plan(_ catalogue: Catalogue, _ corpus: Corpus, tiers: [Tier] = []) throws -> Plan {
        do {
            return try Plan(catalogue: catalogue, suites: SuiteRegistry.suites(in: corpus), layers: layers, ids: check, tiers: tiers)
        } catch let error
            as SelectionError
        {
            throw ValidationError(error.description)
        }
    }

    func pool(_ corpus: Corpus) -> any CheckRunning {
        if inProcess { return CheckPool(corpus: corpus, seed: seed, threads: threads, timeLimitSeconds: timeLimit) }
        return WorkerPool(
            executable: Bundle.main.executablePath ?? CommandLine.arguments[0],
            arguments: ["worker", "--corpus", corpus.root, "--seed", "\(seed)"], threads: threads, timeLimitSeconds: timeLimit)
    }
}
