import CompactEncoding
import Fuzzing
import Testing

@Suite struct FuzzingTests {
    @Test(arguments: FuzzTargets.codecs.map(\.name))
    func damagedMessagesKeepTheCodecsPromises(_ name: String) throws {
        let target = try #require(FuzzTargets.codecs.first { $0.name == name })
        var mutator = ByteMutator(seeds: target.seeds(), seed: 1)
        for seed in target.seeds() { #expect(target.run(seed) == nil) }
        for _ in 0..<2_000 {
            let input = mutator.next()
            if let broken = target.run(input) {
                Issue.record("\(name): \(broken) for \(Hex.encode(input))")
                break
            }
        }
    }

    @Test func seedsDecode() throws {
        for target in FuzzTargets.codecs {
            #expect(!target.seeds().isEmpty)
            #expect(target.seeds().allSatisfy { !$0.isEmpty }, "\(target.name): a seed is not hexadecimal")
        }
    }

    @Test func aBrokenPromiseIsSeen() {
        let target = FuzzTarget("test.broken", seeds: { [[1]] }) { $0.contains(0xff) ? "0xff" : nil }
        var mutator = ByteMutator(seeds: target.seeds(), seed: 7)
        #expect((0..<1_000).contains { _ in target.run(mutator.next()) != nil })
    }
}
