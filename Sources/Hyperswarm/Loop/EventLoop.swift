import CDatagram
import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What an `EventLoop` calls, on its own thread, when a socket is ready.
protocol ReadinessHandler: AnyObject {
    func ready(readable: Bool, writable: Bool)
}

/// A set of machines that a loop drives: called once after every batch of packets and commands.
protocol LoopDriver: AnyObject {
    /// Whether something happened to it since its last turn; else it is called only when its time has come.
    var isDirty: Bool { get }
    /// Lets timers fire, sends and hands out what the machines want. Returns when it must be called again at the latest.
    func turn(now: Instant) -> Instant
    /// The loop ends: close sockets, fail what waits.
    func loopEnded()
}

extension LoopDriver {
    var isDirty: Bool { true }
}

/// One thread, one poller, one timer. Everything of a node happens on it; other threads hand it whole commands and never a packet.
///
/// Unchecked: `drivers`, `handlers` and `arena` belong to the loop's thread; everything shared stands behind the lock.
public final class EventLoop: @unchecked Sendable {
    private struct Shared {
        var commands: [@Sendable () -> Void] = []
        var isStopping = false
        var hasEnded = false
        var waiters: [@Sendable () -> Void] = []
        var thread: pthread_t?
    }

    private let shared = Locked(Shared())
    private let poller: UnsafeMutablePointer<hyperconform_poller>
    private var handlers: [Int32: (handler: any ReadinessHandler, interest: Int32)] = [:]
    private var drivers: [(driver: any LoopDriver, deadline: Instant)] = []
    let arena = DatagramArena()
    /// The time of this turn.
    private(set) var now = SystemClock.now

    /// Starts the thread.
    public init() throws(SystemError) {
        poller = .allocate(capacity: 1)
        poller.initialize(to: hyperconform_poller(poller: -1, timer: -1, waker: -1, deadline: .max))
        try SystemError.check(hyperconform_poller_open(poller), "open an event poller")
        try DetachedThread.start { self.run() }
    }

    deinit {
        hyperconform_poller_close(poller)
        poller.deallocate()
    }

    // MARK: From any thread

    /// Runs a command on the loop's thread, in order. False, and nothing happens, if the loop has ended.
    @discardableResult
    func submit(_ command: @escaping @Sendable () -> Void) -> Bool {
        let (accepted, wasEmpty) = shared.withLock { shared -> (Bool, Bool) in
            if shared.hasEnded { return (false, false) }
            shared.commands.append(command)
            return (true, shared.commands.count == 1)
        }
        if wasEmpty { hyperconform_poller_wake(poller) }
        return accepted
    }

    /// Runs `body` on the loop's thread and returns what it returns; throws `EventLoopEnded` if the loop has ended.
    func perform<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        defer { shared.pass() }
        return try await withCheckedThrowingContinuation { continuation in
            let accepted = submit {
                let outcome = Swift.Result { try body() }
                self.shared.pass()
                continuation.resume(with: outcome)
            }
            if !accepted { continuation.resume(throwing: EventLoopEnded()) }
        }
    }

    /// Ends the loop after the commands that were given; returns when its thread is done. Safe to call often.
    public func stop() async {
        defer { shared.pass() }
        await withCheckedContinuation { continuation in
            let ended = shared.withLock { shared -> Bool in
                if shared.hasEnded { return true }
                shared.isStopping = true
                shared.waiters.append { continuation.resume() }
                return false
            }
            if ended { continuation.resume() } else { hyperconform_poller_wake(poller) }
        }
    }

    /// Whether the caller is on the loop's thread.
    var isCurrent: Bool {
        guard let thread = shared.withLock(\.thread) else { return false }
        return pthread_equal(thread, pthread_self()) != 0
    }

    // MARK: On the loop's thread

    func add(_ driver: any LoopDriver) { drivers.append((driver, .zero)) }
    func remove(_ driver: any LoopDriver) { drivers.removeAll { $0.driver === driver } }

    /// Changes what is waited for on a socket; neither means that it is forgotten.
    func watch(_ fd: Int32, _ handler: any ReadinessHandler, readable: Bool, writable: Bool) {
        let interest = (readable ? HYPERCONFORM_READABLE : 0) | (writable ? HYPERCONFORM_WRITABLE : 0)
        let before = handlers[fd]?.interest ?? 0
        guard interest != before else { return }
        _ = hyperconform_poller_watch(poller, fd, before, interest)
        handlers[fd] = interest == 0 ? nil : (handler, interest)
    }

    func forget(_ fd: Int32) {
        guard let entry = handlers.removeValue(forKey: fd) else { return }
        _ = hyperconform_poller_watch(poller, fd, entry.interest, 0)
    }

    private func run() {
        shared.withLock { $0.thread = pthread_self() }
        let capacity = 64
        let ready = UnsafeMutablePointer<hyperconform_readiness>.allocate(capacity: capacity)
        defer { ready.deallocate() }
        var deadline = Instant.zero
        while true {
            let count = hyperconform_poller_wait(poller, ready, Int32(capacity), deadline.microseconds)
            now = SystemClock.now
            for index in 0..<max(0, Int(count)) {
                let entry = ready[index]
                handlers[entry.fd]?.handler.ready(
                    readable: entry.ready & HYPERCONFORM_READABLE != 0, writable: entry.ready & HYPERCONFORM_WRITABLE != 0)
            }
            let (commands, isStopping) = shared.withLock { shared -> ([@Sendable () -> Void], Bool) in
                let commands = shared.commands
                shared.commands = []
                return (commands, shared.isStopping)
            }
            for command in commands { command() }
            deadline = .distantFuture
            // A driver may leave during its own turn.
            for (driver, due) in drivers where due <= now || driver.isDirty {
                let next = driver.turn(now: now)
                if let index = drivers.firstIndex(where: { $0.driver === driver }) { drivers[index].deadline = next }
            }
            for entry in drivers { deadline = min(deadline, entry.deadline) }
            if isStopping { break }
        }
        end()
    }

    private func end() {
        for entry in drivers { entry.driver.loopEnded() }
        drivers = []
        handlers = [:]
        let (commands, waiters) = shared.withLock { shared -> ([@Sendable () -> Void], [@Sendable () -> Void]) in
            shared.hasEnded = true
            // The system gives the name of this thread to another one.
            shared.thread = nil
            return (shared.commands, shared.waiters)
        }
        for command in commands { command() }
        for waiter in waiters { waiter() }
    }
}

/// The node whose loop this was has been destroyed.
public struct EventLoopEnded: Error, Hashable, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "the node has been destroyed; make a new one" }
}
