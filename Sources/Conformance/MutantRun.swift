import SansIO

/// What became of one planted bug.
public struct MutantResult: Sendable, Hashable {
    public enum Fate: Hashable, Sendable {
        /// Red check.
        case killed(by: String)
        case survived
        /// No check of the requirement passes without the bug, so nothing can be learned.
        case baselineRed(String)
        /// No check carries the requirement.
        case noCheck
    }

    public let id: String
    public let requirement: String
    public let bug: String
    public let fate: Fate

    public init(id: String, requirement: String, bug: String, fate: Fate) {
        self.id = id
        self.requirement = requirement
        self.bug = bug
        self.fate = fate
    }

    public var isKilled: Bool { if case .killed = fate { true } else { false } }
}

/// Plants every mutant, one at a time, and looks whether a check of its requirement turns red.
public enum MutantRun {
    /// `baseline` holds the results without any bug. Only checks that passed there, of subject codec or stack, can kill:
    /// a check that is red already proves nothing. A harness error is no kill.
    public static func results(
        mutants: [Mutant], checks: [Check], baseline: [CheckResult], pool: some CheckRunning, progress: (Int) -> Void = { _ in }
    ) -> [MutantResult] {
        var green: [String: CheckResult] = [:]
        for result in baseline where result.verdict.isPassed { green[result.id] = result }
        var killers: [String: [Check]] = [:]
        var carriers: [String: [Check]] = [:]
        for check in checks where check.subject == .codec || check.subject == .stack {
            for requirement in check.requirements {
                carriers[requirement, default: []].append(check)
                if green[check.id] != nil { killers[requirement, default: []].append(check) }
            }
        }
        // Few comparisons first: that is quick, and, unlike a measured time, the same in every run, so that the same check gets the kill.
        for key in killers.keys { killers[key]?.sort { (green[$0.id]?.comparisons ?? 0, $0.id) < (green[$1.id]?.comparisons ?? 0, $1.id) } }

        // Round by round, one check a mutant: so each check has its own time limit.
        var fates: [MutantResult.Fate?] = mutants.map { mutant in
            if let carriers = carriers[mutant.requirement] {
                return killers[mutant.requirement] == nil ? .baselineRed(carriers[0].id) : nil
            }
            return .noCheck
        }
        var round = 0
        while true {
            let open = mutants.indices.filter { fates[$0] == nil && round < (killers[mutants[$0].requirement]?.count ?? 0) }
            if open.isEmpty { break }
            let before = mutants.indices.filter { fates[$0] != nil }.count
            let jobs = open.map { CheckJob(killers[mutants[$0].requirement]![round], mutation: mutants[$0].mutation) }
            let results = pool.run(jobs) { progress(before + $0) }
            for (index, result) in zip(open, results) where result.verdict.isFailed { fates[index] = .killed(by: result.id) }
            round += 1
        }
        return zip(mutants, fates).map {
            MutantResult(id: $0.id, requirement: $0.requirement, bug: $0.bug, fate: $1 ?? .survived)
        }
    }
}
