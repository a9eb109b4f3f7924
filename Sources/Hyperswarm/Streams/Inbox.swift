/// What has arrived for one consumer and not been taken yet. The loop fills it; one task at a time empties it.
final class Inbox: Sendable {
    private struct State {
        var pieces: [[UInt8]] = []
        var first = 0
        var bytes = 0
        /// What the machine was last told that we hold.
        var reported = 0
        var isFinished = false
        var isRemoteEnd = false
        var error: (any Error)?
        var waiter: (number: Int, continuation: CheckedContinuation<[UInt8]?, any Error>)?
        var counter = 0
    }

    private let state = Locked(State())
    /// Whether pieces that wait are handed out as one: true for byte streams, false where a piece is a message.
    private let joins: Bool
    /// Told when the number of held bytes changed so much that the window must follow. Called from any thread.
    private let heldChanged: @Sendable (Int) -> Void
    private static let step = 65_536

    init(joins: Bool, heldChanged: @escaping @Sendable (Int) -> Void) {
        self.joins = joins
        self.heldChanged = heldChanged
    }

    /// On the loop: bytes arrived.
    func push(_ bytes: [UInt8]) {
        var report: Int?
        let waiter = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
            if let waiter = state.waiter {
                state.waiter = nil
                return waiter.continuation
            }
            state.pieces.append(bytes)
            state.bytes += bytes.count
            if state.bytes - state.reported >= Inbox.step {
                state.reported = state.bytes
                report = state.bytes
            }
            return nil
        }
        if let report { heldChanged(report) }
        waiter?.resume(returning: bytes)
    }

    /// On the loop: nothing more will come. Without an error the consumer gets what waits, then nil.
    /// `isRemoteEnd`: because the other side said so.
    func finish(_ error: (any Error)? = nil, isRemoteEnd: Bool = false) {
        let waiter = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
            guard !state.isFinished else { return nil }
            state.isRemoteEnd = isRemoteEnd
            state.isFinished = true
            state.error = error
            defer { state.waiter = nil }
            return state.waiter?.continuation
        }
        if let error { waiter?.resume(throwing: error) } else { waiter?.resume(returning: nil) }
    }

    /// Whether nothing more comes because the other side has ended.
    var hasRemoteEnded: Bool { state.withLock(\.isRemoteEnd) }

    private enum Step {
        case take([UInt8], report: Int?)
        case end((any Error)?)
        case wait
    }

    private func step(_ state: inout State) -> Step {
        if state.first < state.pieces.count {
            var taken: [UInt8]
            if joins {
                taken = state.first + 1 == state.pieces.count ? state.pieces[state.first] : Array(state.pieces[state.first...].joined())
                state.first = state.pieces.count
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
            return .take(taken, report: report)
        }
        return state.isFinished ? .end(state.error) : .wait
    }

    /// The next piece, or nil at the end. Cancelling the task throws `CancellationError` and takes nothing.
    func next() async throws -> [UInt8]? {
        switch state.withLock({ step(&$0) }) {
        case .take(let bytes, let report):
            if let report { heldChanged(report) }
            return bytes
        case .end(let error):
            if let error { throw error }
            return nil
        case .wait: break
        }
        let number = state.withLock { state in
            state.counter += 1
            return state.counter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                let outcome = state.withLock { state -> Step? in
                    if state.waiter != nil { return .end(ConcurrentRead()) }
                    let step = step(&state)
                    if case .wait = step {
                        state.waiter = (number, continuation)
                        return nil
                    }
                    return step
                }
                switch outcome {
                case .take(let bytes, let report):
                    if let report { heldChanged(report) }
                    continuation.resume(returning: bytes)
                case .end(let error): if let error { continuation.resume(throwing: error) } else { continuation.resume(returning: nil) }
                case .wait, nil: break
                }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
                guard state.waiter?.number == number else { return nil }
                defer { state.waiter = nil }
                return state.waiter?.continuation
            }
            waiter?.resume(throwing: CancellationError())
        }
    }
}

/// Two tasks read one stream at the same time. Read in one task, and hand on from there.
public struct ConcurrentRead: Error, Hashable, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "two tasks read one stream at the same time: read in one, and hand on from there" }
}
