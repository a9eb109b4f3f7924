/// Counts what the channels of one connection hold for their readers, so that its reading can stop in time.
final class HeldMessages: Sendable {
    private struct State: Awaitable {
        var bytes = 0
        var isOver = false
        var waiting = WaitList<Void>()
    }

    private let state = Locked(State())
    private let limit: Int
    /// A message costs this much beside its payload: empty ones must not be free.
    private static let overhead = 64

    init(limit: Int) { self.limit = limit }

    /// Returns when less than the limit is held, or the connection is over: then no more can come than has.
    func room() async throws {
        guard state.withLock({ $0.bytes > limit && !$0.isOver }) else { return }
        try await state.wait { [limit] state in state.bytes > limit && !state.isOver ? nil : .success(()) }
    }

    /// The connection is over.
    func end() {
        let waiters = state.withLock { state in
            state.isOver = true
            return state.waiting.takeAll()
        }
        for waiter in waiters { waiter.resume() }
    }

    private func change(_ difference: Int) {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            state.bytes += difference
            return state.bytes > limit ? [] : state.waiting.takeAll()
        }
        for waiter in waiters { waiter.resume() }
    }

    func share() -> Share { Share(self) }

    /// What one channel holds. A channel that is closed holds nothing any more, whether it is read or not.
    final class Share: Sendable {
        private let all: HeldMessages
        private let state = Locked<(bytes: Int, isClosed: Bool)>((0, false))

        init(_ all: HeldMessages) { self.all = all }

        func take(_ count: Int) { change(count + HeldMessages.overhead) }
        func give(_ count: Int) { change(-(count + HeldMessages.overhead)) }

        private func change(_ difference: Int) {
            let counts = state.withLock { state in
                if state.isClosed { return false }
                state.bytes += difference
                return true
            }
            if counts { all.change(difference) }
        }

        func close() {
            let rest = state.withLock { state in
                defer { state = (0, true) }
                return state.bytes
            }
            all.change(-rest)
        }
    }
}
