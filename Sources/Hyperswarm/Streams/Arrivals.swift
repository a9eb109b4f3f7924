/// Things that come by themselves, as an asynchronous sequence: connections, events, unordered messages.
///
///     for await connection in swarm.connections { ... }
///
/// Each element goes to one reader. Cancelling a task that iterates ends its iteration only: nothing is lost, and iterating again goes on with the next element.
/// (An `AsyncStream` would be over for everybody.)
public struct Arrivals<Element: Sendable>: AsyncSequence, Sendable {
    let mailbox: Mailbox<Element>

    /// Takes the next element; nil when nothing more will come, or when the task is cancelled.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let mailbox: Mailbox<Element>
        public mutating func next() async -> Element? { await mailbox.next() }
        public mutating func next(isolation actor: isolated (any Actor)?) async -> Element? { await mailbox.next() }
    }

    /// Over before it begins: of streams that carry no such thing.
    public static var none: Arrivals {
        let mailbox = Mailbox<Element>()
        mailbox.finish()
        return mailbox.arrivals
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(mailbox: mailbox) }
}

/// The inner side of `Arrivals`.
final class Mailbox<Element: Sendable>: Sendable {
    private struct State: Awaitable {
        var elements: [Element] = []
        /// How many of `elements` are taken already.
        var taken = 0
        var isFinished = false
        var waiting = WaitList<Element?>()

        mutating func takeFirst() -> Element? {
            guard taken < elements.count else { return nil }
            let element = elements[taken]
            taken += 1
            // What is taken makes room in batches: moving the rest each time would cost its square.
            if taken == elements.count {
                elements.removeAll(keepingCapacity: taken <= 64)
                taken = 0
            } else if taken >= 64, taken * 2 >= elements.count {
                elements.removeFirst(taken)
                taken = 0
            }
            return element
        }
    }

    private let state = Locked(State())
    private let limit: Int
    private let taken: (@Sendable (Element) -> Void)?

    /// `newest`: how many are kept for a reader; beyond, the oldest are dropped. `taken` is told of every element that leaves.
    init(newest limit: Int = .max, taken: (@Sendable (Element) -> Void)? = nil) {
        self.limit = limit
        self.taken = taken
    }

    var arrivals: Arrivals<Element> { Arrivals(mailbox: self) }

    func yield(_ element: Element) {
        let (waiter, dropped) = state.withLock { state -> (CheckedContinuation<Element?, any Error>?, Element?) in
            guard !state.isFinished else { return (nil, element) }
            if let waiter = state.waiting.takeFirst() { return (waiter, nil) }
            state.elements.append(element)
            return (nil, state.elements.count - state.taken > limit ? state.takeFirst() : nil)
        }
        if let waiter { waiter.resume(returning: element) }
        if let dropped { taken?(dropped) }
    }

    /// Nothing more will come; what waits may still be taken.
    func finish() {
        let waiters = state.withLock { state -> [CheckedContinuation<Element?, any Error>] in
            state.isFinished = true
            return state.waiting.takeAll()
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }

    /// nil when nothing more will come, or when the task is cancelled.
    func next() async -> Element? {
        let waited = try? await state.wait { state in
            if let element = state.takeFirst() { return .success(.some(element)) }
            return state.isFinished ? .success(nil) : nil
        }
        guard let element = waited ?? nil else { return nil }
        taken?(element)
        return element
    }
}
