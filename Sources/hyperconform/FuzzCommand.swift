import ArgumentParser
import CompactEncoding
import Foundation
import Fuzzing

/// The corpus of the fuzz targets, and seeded damage to it, without libFuzzer.
struct FuzzCommand: AsyncParsableCommand {
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

    func run() async throws {
        let chosen = FuzzCommand.chosen(targets)
        if list { return print(chosen.map(\.name).joined(separator: "\n")) }
        let works = try chosen.map(work)
        let seed = seed
        // As many targets at a time as there are processors; each is told when it is done.
        let broken = await withTaskGroup(of: (line: String, isBroken: Bool).self) { group in
            for work in works { group.addTask { work.replay(seed: seed) } }
            var broken = 0
            for await result in group {
                print(result.line)
                fflush(nil)
                if result.isBroken { broken += 1 }
            }
            return broken
        }
        if broken > 0 { throw ExitCode(1) }
    }

    /// What one target is to be tried with.
    private struct Work: Sendable {
        let target: FuzzTarget
        var inputs: [[UInt8]]
        var executions: Int

        func replay(seed: UInt64) -> (line: String, isBroken: Bool) {
            let begin = FuzzCommand.threadSeconds
            let finding = FuzzReplay(target, inputs: inputs, executions: executions, seed: seed).run()
            if let finding {
                return ("\(target.name): BROKEN: \(finding.promise)\n  --target \(target.name) --input \(Hex.encode(finding.input))", true)
            }
            let seconds = String(format: "%.1f", FuzzCommand.threadSeconds - begin)
            return ("\(target.name): \(inputs.count) kept and \(executions) damaged inputs, nothing broken (\(seconds) s of CPU)", false)
        }
    }

    private func work(_ target: FuzzTarget) throws -> Work {
        if let input {
            guard let bytes = Hex.decode(input) else { throw ValidationError("--input must be bytes in hexadecimal.") }
            return Work(target: target, inputs: [bytes], executions: 0)
        }
        var work = Work(target: target, inputs: [[]] + target.seeds(), executions: executions)
        if let text = try? String(contentsOfFile: "\(corpus)/\(target.name).txt", encoding: .utf8) {
            work.inputs += try FuzzCorpus(text: text).inputs
        }
        return work
    }

    /// CPU time of this thread.
    private static var threadSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
