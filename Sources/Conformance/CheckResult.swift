import StrictJSON

/// What one run of one check gave.
public struct CheckResult: Sendable, Hashable {
    public let id: String
    public let requirements: [String]
    public let tier: Tier
    public let subject: Subject
    public var verdict: Verdict
    /// Why it did not run, or why the harness could not judge; empty otherwise.
    public var reason: String
    public var findings: [Finding]
    public var allowances: [String]
    public var comparisons: Int
    public var vectors: [VectorCaseResult]
    public var bundles: [BundleResult]
    /// Wall-clock duration; never part of a report that is compared.
    public var microseconds: Int64

    public init(
        _ check: Check, verdict: Verdict, reason: String = "", findings: [Finding] = [], allowances: [String] = [], comparisons: Int = 0,
        vectors: [VectorCaseResult] = [], bundles: [BundleResult] = [], microseconds: Int64 = 0
    ) {
        id = check.id
        requirements = check.requirements
        tier = check.tier
        subject = check.subject
        self.verdict = verdict
        self.reason = reason
        self.findings = findings
        self.allowances = allowances
        self.comparisons = comparisons
        self.vectors = vectors
        self.bundles = bundles
        self.microseconds = microseconds
    }
}

extension CheckResult {
    /// Another run of the same check: if it says something else, the check is flaky.
    public mutating func compare(with again: CheckResult) {
        guard verdict != again.verdict || findings != again.findings, verdict != .flaky else { return }
        reason = "first \(verdict.rawValue), then \(again.verdict.rawValue)"
        if findings.isEmpty { findings = again.findings }
        verdict = .flaky
    }
}

/// One case of one vector file, as one check saw it.
public struct VectorCaseResult: Sendable, Hashable {
    /// "vectors/noise.json".
    public let file: String
    public let id: String
    public var passed: Bool
    /// Paths of expected values that the implementation's own values were compared with.
    public var compared: Set<String>
    /// Paths that nothing looked at.
    public var unused: Set<String>

    public init(file: String, id: String, passed: Bool, compared: Set<String>, unused: Set<String>) {
        self.file = file
        self.id = id
        self.passed = passed
        self.compared = compared
        self.unused = unused
    }
}

extension VectorCaseResult {
    /// What several checks saw, by `key(file, id)`: a case passes if every check that went through it passed it.
    public static func merged(_ results: [CheckResult]) -> [String: VectorCaseResult] {
        var merged: [String: VectorCaseResult] = [:]
        for result in results.flatMap(\.vectors) {
            let key = key(result.file, result.id)
            guard var known = merged[key] else {
                merged[key] = result
                continue
            }
            known.passed = known.passed && result.passed
            known.compared.formUnion(result.compared)
            known.unused.formUnion(result.unused)
            merged[key] = known
        }
        return merged
    }

    public static func key(_ file: String, _ id: String) -> String { file + "#" + id }
    public var fieldsExpected: Int { compared.union(unused).count }
}

/// A trace bundle, as one check saw it.
public struct BundleResult: Sendable, Hashable {
    public let name: String
    public let packets: Int
    /// Packets that no rule of the dissector explains.
    public let unexplained: Int

    public init(name: String, packets: Int, unexplained: Int) {
        self.name = name
        self.packets = packets
        self.unexplained = unexplained
    }
}

extension Check {
    /// Runs the check on the current thread.
    ///
    /// What a thrown error means: data that can't be loaded (`CorpusError`, `JSONError`) is a harness error, for the implementation had no part in it;
    /// every other error came out of the implementation under test while it was fed what the check holds to be valid, so the check fails.
    public func examine(corpus: Corpus, seed: UInt64 = 1) -> CheckResult {
        let exam = Examination(corpus: corpus, seed: seed)
        let clock = ContinuousClock()
        let start = clock.now
        var verdict: Verdict?
        var reason = ""
        do {
            try run(exam)
        } catch let error as CorpusError {
            (verdict, reason) = (.harnessError, error.description)
        } catch let error as JSONError {
            (verdict, reason) = (.harnessError, error.description)
        } catch {
            exam.report("error", expected: "none", actual: "\(error)")
        }
        let elapsed = (clock.now - start).components
        if verdict == nil, exam.verdict == .harnessError { reason = "the check compared nothing" }
        return CheckResult(
            self, verdict: verdict ?? exam.verdict, reason: exam.notRunReason ?? reason, findings: exam.findings,
            allowances: exam.allowances, comparisons: exam.comparisons, vectors: exam.vectorCases, bundles: exam.bundles,
            microseconds: elapsed.seconds * 1_000_000 + elapsed.attoseconds / 1_000_000_000_000)
    }
}
