/// A value that comes once, and any number of tasks that wait for it.
final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [(number: Int, continuation: CheckedContinuation<Value, any Error>)] = []
        var counter = 0
    }

    private let state = Locked(State())

    /// Only the first call counts.
    func fulfil(_ value: Value) {
        let waiters = state.withLock { state -> [(number: Int, continuation: CheckedContinuation<Value, any Error>)] in
            guard state.value == nil else { return [] }
            state.value = value
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: value) }
    }

    var current: Value? { state.withLock { $0.value } }

    func value() async throws -> Value {
        let number = state.withLock { state in
            state.counter += 1
            return state.counter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                let value = state.withLock { state -> Value? in
                    if let value = state.value { return value }
                    state.waiters.append((number, continuation))
                    return nil
                }
                if let value { continuation.resume(returning: value) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Value, any Error>? in
                guard let index = state.waiters.firstIndex(where: { $0.number == number }) else { return nil }
                return state.waiters.remove(at: index).continuation
            }
            waiter?.resume(throwing: CancellationError())
        }
    }
}
