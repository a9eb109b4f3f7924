import CompactEncoding
import Foundation
import Fuzzing
import Testing

/// The corpus, and seeded damage to it: what libFuzzer does for minutes, in seconds. HYPERCONFORM_FUZZ_EXECUTIONS sets the number of damaged
/// inputs of each codec (2000 without it; scripts get a hundredth).
@Suite struct FuzzingTests {
    static let executions = ProcessInfo.processInfo.environment["HYPERCONFORM_FUZZ_EXECUTIONS"].flatMap { Int($0) } ?? 2_000
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fuzz/corpus")

    static func corpus(_ target: FuzzTarget) throws -> FuzzCorpus {
        let file = folder.appendingPathComponent("\(target.name).txt")
        guard FileManager.default.fileExists(atPath: file.path) else { return FuzzCorpus() }
        return try FuzzCorpus(text: String(contentsOf: file, encoding: .utf8))
    }

    @Test(arguments: FuzzTargets.all.map(\.name))
    func corpusAndDamagedInputsKeepThePromises(_ name: String) throws {
        let target = try #require(FuzzTargets.all.first { $0.name == name })
        let isScript = FuzzTargets.scripts.contains { $0.name == name }
        let corpus = try FuzzingTests.corpus(target)
        // Found cases always; of the rest, for scripts, a sample: a fuzzer's corpus is made to be slow.
        let others =
            isScript
            ? corpus.others.enumerated().filter { $0.offset % max(1, corpus.others.count / 25) == 0 }.map(\.element) : corpus.others
        let inputs = [[]] + target.seeds() + corpus.cases.map(\.input) + others
        let replay = FuzzReplay(target, inputs: inputs, executions: FuzzingTests.executions / (isScript ? 100 : 1), seed: 1)
        if let finding = replay.run() { Issue.record("\(name): \(finding.promise) for \(Hex.encode(finding.input))") }
    }

    /// A target that can't see the bug that is planted in it proves nothing.
    @Test(arguments: FuzzTargets.all.map(\.name))
    func plantedBugsAreSeen(_ name: String) throws {
        let target = try #require(FuzzTargets.all.first { $0.name == name })
        let inputs = target.seeds() + (try FuzzingTests.corpus(target).inputs.prefix(200))
        #expect(FuzzReplay(target, inputs: inputs, executions: 5_000, seed: 7, isPlanted: true).run() != nil)
    }

    @Test func seedsAreHexadecimal() throws {
        for target in FuzzTargets.all {
            #expect(!target.seeds().isEmpty)
            #expect(target.seeds().allSatisfy { !$0.isEmpty }, "\(target.name): a seed is not hexadecimal")
        }
    }

    @Test func corpusFilesKeepTheirCases() throws {
        var corpus = try FuzzCorpus(text: "# a remark\n0102\n03\n")
        corpus.replaceInputs([[4], [1, 2], [3, 3], []])
        #expect(corpus.text == "# a remark\n0102\n04\n0303\n")
        #expect(throws: FuzzCorpus.Failure.self) { try FuzzCorpus(text: "zz") }
    }
}
