/// Tasks that wait for something, first come first served.
struct WaitList<Waited: Sendable> {
    private var entries: [(number: Int, continuation: CheckedContinuation<Waited, any Error>)] = []
    private var counter = 0

    var isEmpty: Bool { entries.isEmpty }

    fileprivate mutating func ticket() -> Int {
        counter += 1
        return counter
    }

    fileprivate mutating func add(_ number: Int, _ continuation: CheckedContinuation<Waited, any Error>) {
        entries.append((number, continuation))
    }

    fileprivate mutating func remove(_ number: Int) -> CheckedContinuation<Waited, any Error>? {
        guard let index = entries.firstIndex(where: { $0.number == number }) else { return nil }
        return entries.remove(at: index).continuation
    }

    /// The one that has waited longest. Resume it outside the lock.
    mutating func takeFirst() -> CheckedContinuation<Waited, any Error>? {
        entries.isEmpty ? nil : entries.removeFirst().continuation
    }

    /// All of them. Resume them outside the lock.
    mutating func takeAll() -> [CheckedContinuation<Waited, any Error>] {
        defer { entries = [] }
        return entries.map(\.continuation)
    }
}

/// Shared state in which tasks wait.
protocol Awaitable: SendableMetatype {
    associatedtype Waited: Sendable
    var waiting: WaitList<Waited> { get set }
}

extension Locked where Value: Awaitable {
    /// Waits until somebody resumes this task out of `waiting`, unless `now` has an answer at once. Cancelling the task ends the wait, and only the wait,
    /// with `CancellationError`.
    func wait(orTake now: (inout Value) -> Result<Value.Waited, any Error>?) async throws -> Value.Waited {
        let number = withLock { $0.waiting.ticket() }
        defer { pass() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome = withLock { state -> Result<Value.Waited, any Error>? in
                    // The handler below may have run already: then nobody would ever resume this.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if let answer = now(&state) { return answer }
                    state.waiting.add(number, continuation)
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            withLock { $0.waiting.remove(number) }?.resume(throwing: CancellationError())
        }
    }
}
