/// What has arrived for one consumer and not been taken yet. The loop fills it; one task at a time empties it.
final class Inbox: Sendable {
    /// What a reader gets: a piece or the end, and what the machine is to be told of it.
    private struct Taken: Sendable {
        var bytes: [UInt8]?
        var report: Int?
    }

    private struct State: Awaitable {
        var pieces: [[UInt8]] = []
        var first = 0
        var bytes = 0
        /// What the machine was last told that we hold.
        var reported = 0
        var isFinished = false
        var isRemoteEnd = false
        var error: (any Error)?
        var waiting = WaitList<Taken>()
    }

    private let state = Locked(State())
    /// Whether pieces that wait are handed out as one: true for byte streams, false where a piece is a message.
    private let joins: Bool
    /// Told when the number of held bytes changed so much that the window must follow. Called from any thread.
    private let heldChanged: @Sendable (Int) -> Void
    private static let step = 262_144
    /// Bytes of small pieces that are handed out as one.
    private static let joinedSize = 32_768

    init(joins: Bool, heldChanged: @escaping @Sendable (Int) -> Void) {
        self.joins = joins
        self.heldChanged = heldChanged
    }

    /// On the loop: bytes arrived.
    func push(_ bytes: [UInt8]) {
        var report: Int?
        let waiter = state.withLock { state -> CheckedContinuation<Taken, any Error>? in
            if let waiter = state.waiting.takeFirst() { return waiter }
            state.pieces.append(bytes)
            state.bytes += bytes.count
            if state.bytes - state.reported >= Inbox.step {
                state.reported = state.bytes
                report = state.bytes
            }
            return nil
        }
        if let report { heldChanged(report) }
        waiter?.resume(returning: Taken(bytes: bytes))
    }

    /// On the loop: nothing more will come. Without an error the consumer gets what waits, then nil.
    /// `isRemoteEnd`: because the other side said so.
    func finish(_ error: (any Error)? = nil, isRemoteEnd: Bool = false) {
        let waiter = state.withLock { state -> CheckedContinuation<Taken, any Error>? in
            guard !state.isFinished else { return nil }
            state.isRemoteEnd = isRemoteEnd
            state.isFinished = true
            state.error = error
            return state.waiting.takeFirst()
        }
        if let error { waiter?.resume(throwing: error) } else { waiter?.resume(returning: Taken()) }
    }

    /// Whether nothing more comes because the other side has ended.
    var hasRemoteEnded: Bool { state.withLock(\.isRemoteEnd) }

    /// nil: there is nothing yet.
    private func take(_ state: inout State) -> Result<Taken, any Error>? {
        if state.first < state.pieces.count {
            var taken: [UInt8]
            if joins {
                taken = []
                swap(&taken, &state.pieces[state.first])
                state.first += 1
                // Large pieces go on as they are; small ones are put together.
                while state.first < state.pieces.count, taken.count + state.pieces[state.first].count <= Inbox.joinedSize {
                    taken += state.pieces[state.first]
                    state.first += 1
                }
            } else {
                taken = []
                swap(&taken, &state.pieces[state.first])
                state.first += 1
            }
            if state.first == state.pieces.count {
                state.pieces.removeAll(keepingCapacity: true)
                state.first = 0
            } else if state.first >= 1024 {
                state.pieces.removeFirst(state.first)
                state.first = 0
            }
            state.bytes -= taken.count
            var report: Int?
            if state.reported - state.bytes >= Inbox.step || (state.bytes == 0 && state.reported > 0) {
                state.reported = state.bytes
                report = state.bytes
            }
            return .success(Taken(bytes: taken, report: report))
        }
        guard state.isFinished else { return nil }
        return state.error.map { .failure($0) } ?? .success(Taken())
    }

    /// The next piece, or nil at the end. Cancelling the task throws `CancellationError` and takes nothing.
    func next() async throws -> [UInt8]? {
        let taken: Taken
        if let outcome = state.withLock({ take(&$0) }) {
            taken = try outcome.get()
        } else {
            taken = try await state.wait { state in
                if !state.waiting.isEmpty { return .failure(ConcurrentRead()) }
                return take(&state)
            }
        }
        if let report = taken.report { heldChanged(report) }
        return taken.bytes
    }
}

/// Two tasks read one stream at the same time. Read in one task, and hand on from there.
public struct ConcurrentRead: Error, Hashable, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "two tasks read one stream at the same time: read in one, and hand on from there" }
}
