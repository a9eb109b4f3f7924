#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A thread of its own that runs one closure and is not waited for.
enum DetachedThread {
    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    static func start(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let context = Unmanaged.passRetained(Box(body)).toOpaque()
        #if canImport(Glibc)
            var thread = pthread_t()
        #else
            var thread: pthread_t?
        #endif
        let failed = pthread_create(
            &thread, nil,
            { context in
                // `context` is never null: it is what is passed below.
                guard let context = context as UnsafeMutableRawPointer? else { return nil }
                Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, context)
        if failed != 0 {
            Unmanaged<Box>.fromOpaque(context).release()
            throw SystemError(failed, "start a thread")
        }
        #if canImport(Glibc)
            pthread_detach(thread)
        #else
            if let thread { pthread_detach(thread) }
        #endif
    }
}
