import Foundation

/// Tries suites as a test does: every check must pass, every mutant must die.
public enum SuiteTrial {
    /// Seconds for one check. Under a sanitizer everything takes many times as long: `HYPERCONFORM_PATIENCE` says how many.
    static let timeLimit = 60 * (ProcessInfo.processInfo.environment["HYPERCONFORM_PATIENCE"].flatMap { Double($0) } ?? 1)

    /// Checks that did not pass, each with its first finding or reason. Empty is good.
    public static func failures(_ suites: [CheckSuite], corpus: Corpus, threads: Int = 2) -> [String] {
        describe(
            CheckPool(corpus: corpus, threads: threads, timeLimitSeconds: timeLimit).run(suites.flatMap(\.checks).map { CheckJob($0) }))
    }

    /// Failures, then mutants that no check noticed. Empty is good.
    public static func weaknesses(_ suites: [CheckSuite], corpus: Corpus, threads: Int = 2) -> [String] {
        let pool = CheckPool(corpus: corpus, threads: threads, timeLimitSeconds: timeLimit)
        let checks = suites.flatMap(\.checks)
        let baseline = pool.run(checks.map { CheckJob($0) })
        let fates = MutantRun.results(mutants: suites.flatMap(\.mutants), checks: checks, baseline: baseline, pool: pool)
        return describe(baseline) + fates.filter { !$0.isKilled }.map { "mutant \($0.id) (\($0.bug)): \($0.fate)" }
    }

    private static func describe(_ results: [CheckResult]) -> [String] {
        results.filter { !$0.verdict.isPassed && $0.verdict != .notRun }.map { result in
            let finding = result.findings.first
            let detail = finding.map { "\($0.location): \($0.field) is \($0.actual), expected \($0.expected)" } ?? result.reason
            return "\(result.id) \(result.verdict.rawValue): \(detail)"
        }
    }
}
