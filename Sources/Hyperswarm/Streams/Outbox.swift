/// Keeps writers from running ahead of the network: a write is taken when the machine is below its high-water mark.
final class Outbox: Sendable {
    private struct State: Awaitable {
        /// Bytes handed to the loop that the machine has not taken yet.
        var pending = 0
        /// The machine said "wait for drained".
        var isFull = false
        var error: (any Error)?
        var isClosed = false
        var waiting = WaitList<Void>()

        var mustWait: Bool { isFull || pending > Outbox.limit }

        mutating func admit(_ count: Int) throws {
            if isClosed { throw error ?? StreamClosed() }
            pending += count
        }
    }

    private static let limit = 1 << 20
    private let state = Locked(State())

    /// Before a write is handed to the loop. Throws if the stream is closed.
    func admit(_ count: Int) throws { try state.withLock { try $0.admit(count) } }

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
        let waiters = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            change(&state)
            return state.mustWait ? [] : state.waiting.takeAll()
        }
        for waiter in waiters { waiter.resume() }
    }

    /// No more writes. Those that wait fail with the error, or with `StreamClosed`.
    func close(_ error: (any Error)? = nil) {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            guard !state.isClosed else { return [] }
            state.isClosed = true
            state.error = error
            return state.waiting.takeAll()
        }
        for waiter in waiters { waiter.resume(throwing: error ?? StreamClosed()) }
    }

    /// Returns when there is room. Cancelling throws `CancellationError`.
    func room() async throws {
        guard mustWait else { return }
        try await state.wait { state in
            if state.isClosed { return .failure(state.error ?? StreamClosed()) }
            return state.mustWait ? nil : .success(())
        }
    }
}

/// The stream is closed: nothing more can be written, sent or flushed.
public struct StreamClosed: Error, Hashable, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "the stream is closed: open a new one" }
}
