/// A value that comes once, and any number of tasks that wait for it.
final class Promise<Value: Sendable>: Sendable {
    private struct State: Awaitable {
        var value: Value?
        var waiting = WaitList<Value>()
    }

    private let state = Locked(State())

    /// Only the first call counts.
    func fulfil(_ value: Value) {
        let waiters = state.withLock { state -> [CheckedContinuation<Value, any Error>] in
            guard state.value == nil else { return [] }
            state.value = value
            return state.waiting.takeAll()
        }
        for waiter in waiters { waiter.resume(returning: value) }
    }

    var current: Value? { state.withLock { $0.value } }

    /// Cancelling the task throws `CancellationError`; others go on waiting.
    func value() async throws -> Value {
        try await state.wait { state in state.value.map { .success($0) } }
    }
}
