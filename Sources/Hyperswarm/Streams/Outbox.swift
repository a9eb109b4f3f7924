/// Keeps writers from running ahead of the network: a write returns when the machine is below its high-water mark again.
final class Outbox: Sendable {
    private struct State {
        /// Bytes handed to the loop that the machine has not taken yet.
        var pending = 0
        /// The machine said "wait for drained".
        var isFull = false
        var error: (any Error)?
        var isClosed = false
        var waiters: [(number: Int, continuation: CheckedContinuation<Void, any Error>)] = []
        var counter = 0

        var mustWait: Bool { isFull || pending > Outbox.limit }
    }

    private static let limit = 1 << 20
    private let state = Locked(State())

    /// Before a write is handed to the loop. Throws if the stream is closed.
    func admit(_ count: Int) throws {
        try state.withLock { state in
            if state.isClosed { throw state.error ?? StreamClosed() }
            state.pending += count
        }
    }

    var mustWait: Bool { state.withLock { $0.mustWait } }

    /// On the loop: the machine took `count` bytes, and is full or not.
    func taken(_ count: Int, isFull: Bool) {
        wake { state in
            state.pending -= count
            state.isFull = isFull
        }
    }

    /// On the loop: the machine is below its mark again.
    func drained() { wake { $0.isFull = false } }

    private func wake(_ change: (inout State) -> Void) {
        let waiters = state.withLock { state -> [(number: Int, continuation: CheckedContinuation<Void, any Error>)] in
            change(&state)
            guard !state.mustWait else { return [] }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    /// No more writes. Those that wait fail with the error, or with `StreamClosed`.
    func close(_ error: (any Error)? = nil) {
        let waiters = state.withLock { state -> [(number: Int, continuation: CheckedContinuation<Void, any Error>)] in
            guard !state.isClosed else { return [] }
            state.isClosed = true
            state.error = error
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(throwing: error ?? StreamClosed()) }
    }

    /// Returns when there is room. Cancelling throws `CancellationError`; what was written stays written.
    func room() async throws {
        guard mustWait else { return }
        let number = state.withLock { state in
            state.counter += 1
            return state.counter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                let outcome = state.withLock { state -> Result<Void, any Error>? in
                    if state.isClosed { return .failure(state.error ?? StreamClosed()) }
                    if !state.mustWait { return .success(()) }
                    state.waiters.append((number, continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
                guard let index = state.waiters.firstIndex(where: { $0.number == number }) else { return nil }
                return state.waiters.remove(at: index).continuation
            }
            waiter?.resume(throwing: CancellationError())
        }
    }
}

/// The stream is closed: nothing more can be written, sent or flushed.
public struct StreamClosed: Error, Hashable, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "the stream is closed: open a new one" }
}
