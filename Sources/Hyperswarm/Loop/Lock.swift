#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A value behind a pthread mutex. `Synchronization.Mutex` is reported as a race by the thread sanitizer; this is not.
///
/// Unchecked: the value is reached only inside `withLock`, and the mutex has a fixed address.
final class Locked<Value>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }

    /// Orders what follows after all that was done before under this lock.
    ///
    /// A task that has waited calls it, and who resumes a task has held the lock before. The order is there anyway; but where a continuation is resumed
    /// before its task has come to wait, the Swift runtime does not tell the thread sanitizer of it, which then reports a race.
    func pass() {
        pthread_mutex_lock(mutex)
        pthread_mutex_unlock(mutex)
    }
}
