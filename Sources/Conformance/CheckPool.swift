import Foundation

/// Runs jobs on a few threads. A job that exceeds its time limit gets the verdict `hang`; its thread is given up and replaced.
///
/// `@unchecked Sendable`: every stored variable is read and written only while `condition` is locked.
public final class CheckPool: CheckRunning, @unchecked Sendable {
    private let corpus: Corpus
    private let seed: UInt64
    private let timeLimit: TimeInterval
    private let threads: Int
    private let condition = NSCondition()
    private var queue: [(ticket: Int, body: @Sendable () -> Void)] = []
    private var next = 0
    /// Tickets that run now, with their deadlines.
    private var running: [Int: Date] = [:]
    private var finished: Set<Int> = []
    private var abandoned: Set<Int> = []

    public init(corpus: Corpus, seed: UInt64 = 1, threads: Int = 2, timeLimitSeconds: Double = 60) {
        self.corpus = corpus
        self.seed = seed
        self.threads = max(1, threads)
        timeLimit = timeLimitSeconds
    }

    public func run(_ jobs: [CheckJob], progress: (Int) -> Void) -> [CheckResult] {
        let results = map(jobs, progress: progress) { [corpus, seed] job in
            job.examine(corpus: corpus, seed: seed)
        }
        return zip(jobs, results).map { job, result in
            result ?? CheckResult(job.check, verdict: .hang, reason: "no verdict within \(Int(self.timeLimit)) s")
        }
    }

    /// Runs `body` once for each input; nil where the time limit was exceeded.
    public func map<Input: Sendable, Output: Sendable>(
        _ inputs: [Input], progress: (Int) -> Void = { _ in }, _ body: @escaping @Sendable (Input) -> Output
    ) -> [Output?] {
        let store = ResultStore<Output>(count: inputs.count)
        condition.lock()
        queue = inputs.enumerated().map { index, input in (index, { store.set(index, body(input)) }) }
        next = 0
        running = [:]
        finished = []
        abandoned = []
        condition.unlock()
        for _ in 0..<min(threads, inputs.count) { spawn() }

        condition.lock()
        while finished.count + abandoned.count < inputs.count {
            let deadline = running.values.min() ?? Date().addingTimeInterval(timeLimit)
            if !condition.wait(until: min(deadline, Date().addingTimeInterval(0.2))) {
                let now = Date()
                for (ticket, deadline) in running where deadline <= now {
                    running[ticket] = nil
                    abandoned.insert(ticket)
                    store.close(ticket)
                    spawn()
                }
            }
            let done = finished.count + abandoned.count
            condition.unlock()
            progress(done)
            condition.lock()
        }
        condition.unlock()
        return store.values
    }

    private func spawn() {
        let thread = Thread { [self] in
            while let (ticket, body) = take() {
                body()
                guard finish(ticket) else { return }
            }
        }
        thread.stackSize = 16 << 20
        thread.start()
    }

    private func take() -> (Int, @Sendable () -> Void)? {
        condition.lock()
        defer { condition.unlock() }
        guard next < queue.count else { return nil }
        let entry = queue[next]
        next += 1
        running[entry.ticket] = Date().addingTimeInterval(timeLimit)
        return (entry.ticket, entry.body)
    }

    /// False if this thread was given up meanwhile.
    private func finish(_ ticket: Int) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        guard !abandoned.contains(ticket) else { return false }
        running[ticket] = nil
        finished.insert(ticket)
        condition.broadcast()
        return true
    }
}

/// Results by position. `@unchecked Sendable`: guarded by its lock.
private final class ResultStore<Output: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var slots: [Output?]
    private var closed: Set<Int> = []

    init(count: Int) { slots = Array(repeating: nil, count: count) }

    func set(_ index: Int, _ value: Output) { lock.withLock { if !closed.contains(index) { slots[index] = value } } }
    /// Later results for this position are dropped.
    func close(_ index: Int) {
        lock.withLock {
            closed.insert(index)
            slots[index] = nil
        }
    }
    var values: [Output?] { lock.withLock { slots } }
}
