import ArgumentParser
import CompactEncoding
import Foundation
import Fuzzing

/// The corpus of the fuzz targets, and seeded damage to it, without libFuzzer.
struct FuzzCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuzz", abstract: "Replays the fuzz corpus with seeded damage against every decoder and machine.",
        discussion: """
            Each target is a decoder or a script that drives a whole machine. First the kept inputs are tried, then damaged ones, the same ones for \
            the same seed. Exit code 1 if a promise is broken; the input is printed, and --input tries it again. \
            harness/fuzz runs libFuzzer on the same targets.
            """)

    @Option(
        name: .customLong("target"), help: ArgumentHelp("Only this one (repeatable); `decoders` or `scripts` for those.", valueName: "name")
    )
    var targets: [String] = []
    @Option(help: "Damaged inputs of each target.") var executions = 100_000
    @Option(help: "Seed of the damage.") var seed: UInt64 = 1
    @Option(help: ArgumentHelp("Folder of the corpus, a text file for each target.", valueName: "folder")) var corpus = "Fuzz/corpus"
    @Option(help: ArgumentHelp("Try only this input.", valueName: "hex")) var input: String?
    @Flag(help: "List the targets.") var list = false

    func validate() throws {
        if executions < 0 { throw ValidationError("--executions must not be negative.") }
        for name in targets where FuzzCommand.chosen([name]).isEmpty {
            throw ValidationError("There is no target \(name); --list shows them.")
        }
    }

    private static func chosen(_ names: [String]) -> [FuzzTarget] {
        if names.isEmpty { return FuzzTargets.all }
        var result = names.contains("scripts") ? FuzzTargets.scripts : []
        if names.contains("decoders") { result += FuzzTargets.decoders }
        return result + FuzzTargets.all.filter { names.contains($0.name) }
    }

    func run() throws {
        var isBroken = false
        if input == nil, !list, !FileManager.default.fileExists(atPath: corpus) {
            FileHandle.standardError.write(
                Data("no corpus at \(corpus): run this in a checkout, or name it with --corpus; going on without\n".utf8))
        }
        for target in FuzzCommand.chosen(targets) {
            if list {
                print(target.name)
                continue
            }
            var inputs = [[]] + target.seeds()
            var executions = executions
            if let input {
                guard let bytes = Hex.decode(input) else { throw ValidationError("--input must be bytes in hexadecimal.") }
                (inputs, executions) = ([bytes], 0)
            } else if let text = try? String(contentsOfFile: "\(corpus)/\(target.name).txt", encoding: .utf8) {
                inputs += try FuzzCorpus(text: text).inputs
            }
            let begin = ContinuousClock.now
            let finding = FuzzReplay(target, inputs: inputs, executions: executions, seed: seed).run()
            let seconds = Double((ContinuousClock.now - begin) / .milliseconds(1)) / 1000
            defer { fflush(nil) }
            if let finding {
                isBroken = true
                print("\(target.name): BROKEN: \(finding.promise)\n  --target \(target.name) --input \(Hex.encode(finding.input))")
            } else {
                print(
                    "\(target.name): \(inputs.count) kept and \(executions) damaged inputs in \(String(format: "%.1f", seconds)) s, nothing broken"
                )
            }
        }
        if isBroken { throw ExitCode(1) }
    }
}
