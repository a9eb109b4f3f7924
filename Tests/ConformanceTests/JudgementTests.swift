import Conformance
import SansIO
import Testing

@Suite struct JudgementTests {
    private func entry(_ verdict: Verdict, _ subject: Subject = .stack) -> Results.CheckEntry {
        Results.CheckEntry(CheckResult(Check("udx.\(verdict.rawValue)", ["UDX-1"], .machine, subject) { _ in }, verdict: verdict))
    }

    @Test(
        arguments: [
            ([], Verdict.notRun), ([.exact], .exact), ([.exact, .equivalent], .equivalent), ([.exact, .notRun], .exact),
            ([.exact, .fails], .fails), ([.fails, .crash], .crash), ([.exact, .harnessError], .harnessError),
            ([.harnessError, .fails], .fails),
            ([.notRun], .notRun), ([.unsupported, .notRun], .unsupported), ([.exact, .unsupported], .exact), ([.exact, .flaky], .flaky),
        ] as [([Verdict], Verdict)])
    func aRequirementPassesOnlyIfEveryCheckThatRanPassed(verdicts: [Verdict], expected: Verdict) {
        #expect(Judgement.verdict(verdicts.map { entry($0) }).0 == expected)
    }

    @Test func whatNodeRecordedSaysNothingAboutUs() {
        #expect(Judgement.verdict([entry(.exact, .recording)]).0 == .notRun)
        #expect(Judgement.verdict([entry(.fails, .recording), entry(.exact)]).0 == .exact)
    }

    @Test func aCheckThatComparesNothingIsAHarnessError() throws {
        let result = Check("udx.idle", ["UDX-1"], .machine) { _ in }.examine(corpus: try Support.corpus())
        #expect(result.verdict == .harnessError)
    }

    @Test func missingDataIsTheHarnessErrorButAnyOtherErrorFails() throws {
        struct Anything: Error {}
        let corpus = try Support.corpus()
        let lost = Check("udx.lost", ["UDX-1"], .vector) { _ = try VectorFile("no-such-file", in: $0.corpus) }
        #expect(lost.examine(corpus: corpus).verdict == .harnessError)
        let broken = Check("udx.broken", ["UDX-1"], .vector) { _ in throw Anything() }
        #expect(broken.examine(corpus: corpus).verdict == .fails)
    }

    @Test func theScoreWeighsMustThreeAndShouldOne() throws {
        #expect(try Support.results().score == 100)
        #expect(try Support.results(Support.wrongAck).score == 25)
        #expect(try Support.results(nil, Support.wrongAck).score == 75)
    }

    @Test func aMutantIsKilledOnlyByACheckOfItsRequirementThatPassesWithoutIt() throws {
        let corpus = try Support.corpus()
        let bug = Mutation.udx(60_000)
        let sees = Check("udx.sees", ["UDX-1"], .machine) { $0.require("bug", !bug.isActive) }
        let blind = Check("udx.blind", ["UDX-2"], .machine) { $0.require("nothing", true) }
        let red = Check("udx.red", ["UDX-3"], .machine) { $0.require("nothing", false) }
        let checks = [sees, blind, red]
        let pool = CheckPool(corpus: corpus)
        let mutants = [
            Mutant("UDX-1", bug, "b"), Mutant("UDX-2", Mutation.udx(60_001), "b"), Mutant("UDX-3", Mutation.udx(60_002), "b"),
            Mutant("UDX-4", Mutation.udx(60_003), "b"),
        ]
        let baseline = pool.run(checks.map { CheckJob($0) })
        let fates = MutantRun.results(mutants: mutants, checks: checks, baseline: baseline, pool: pool).map(\.fate)
        #expect(fates == [.killed(by: "udx.sees"), .survived, .baselineRed("udx.red"), .noCheck])
    }

    @Test func shardsGiveWhatTheWholeGives() throws {
        let whole = try Support.results(Support.wrongAck)
        #expect(try Results.merged([whole]) == whole)
        #expect(throws: MergeError.self) { try Results.merged([whole, whole]) }
    }

    /// A check that speaks for two layers runs in both shards, and each plants its own layer's mutants.
    @Test func shardsShareTheKillsOfACheck() throws {
        func entry(_ id: String, _ layer: String) -> String {
            """
            {"id":"\(id)","layer":"\(layer)","source":"s","text":"t","kind":"wire","level":"MUST","reference":"conforms","subject":"stack","tiers":["machine"]}
            """
        }
        let catalogue = try Catalogue(
            text: Array(
                "{\"schema\":\"hyperswarm-requirements/2\",\"requirements\":[\(entry("RELAY-6", "blind-relay")),\(entry("HDHT-68", "hyperdht"))]}"
                    .utf8))
        func results(_ layers: [String]) -> Results {
            let requirements = catalogue.requirements.filter { layers.contains($0.layer) }
            return Judgement.results(
                requirements: requirements,
                checks: [
                    CheckResult(Check("hyperdht.relayed", ["HDHT-68", "RELAY-6"], .machine) { _ in }, verdict: .exact, comparisons: 1)
                ],
                vectorFiles: [],
                mutants: requirements.map { MutantResult(id: $0.id, requirement: $0.id, bug: "b", fate: .killed(by: "hyperdht.relayed")) },
                implementation: .init(name: "swift", version: "1"), referenceName: "node", corpusDigest: "00", toolVersion: "1", seed: 1)
        }
        #expect(try Results.merged([results(["hyperdht"]), results(["blind-relay"])]) == results(["blind-relay", "hyperdht"]))
    }
}
