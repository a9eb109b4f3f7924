import SansIO

/// A check to run, perhaps with a bug planted in the stack.
public struct CheckJob: Sendable {
    public let check: Check
    public let mutation: MutationCode?

    public init(_ check: Check, mutation: MutationCode? = nil) {
        self.check = check
        self.mutation = mutation
    }

    /// Runs it on the current thread.
    public func examine(corpus: Corpus, seed: UInt64) -> CheckResult {
        guard let mutation else { return check.examine(corpus: corpus, seed: seed) }
        return mutation.plant { check.examine(corpus: corpus, seed: seed) }
    }
}

/// Something that runs checks: threads of this process (`CheckPool`), or processes of their own (`WorkerPool`).
public protocol CheckRunning {
    /// Results in the order of the jobs. `progress` is told how many are done, on the calling thread.
    func run(_ jobs: [CheckJob], progress: (Int) -> Void) -> [CheckResult]
}

extension CheckRunning {
    public func run(_ jobs: [CheckJob]) -> [CheckResult] { run(jobs, progress: { _ in }) }
}
