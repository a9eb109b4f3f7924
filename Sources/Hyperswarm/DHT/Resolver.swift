import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The system's name resolution.
enum Resolver {
    /// The first IPv4 address of a name, or nil. Blocks.
    static func address(of name: String) -> IPAddress? {
        if let literal = IPAddress(name) { return literal }
        var hints = addrinfo()
        hints.ai_family = AF_INET
        var result: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &result) == 0, let first = result else { return nil }
        defer { freeaddrinfo(result) }
        guard let address = first.pointee.ai_addr else { return nil }
        return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { .v4(UInt32(bigEndian: $0.pointee.sin_addr.s_addr)) }
    }
}

/// A detached thread that runs one closure.
struct DetachedThread {
    private let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    func start() {
        let context = Unmanaged.passRetained(Box(body)).toOpaque()
        #if canImport(Glibc)
            var thread = pthread_t()
        #else
            var thread: pthread_t?
        #endif
        let failed = pthread_create(
            &thread, nil,
            { context in
                guard let context = context as UnsafeMutableRawPointer? else { return nil }
                Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, context)
        if failed != 0 {
            Unmanaged<Box>.fromOpaque(context).release()
            return
        }
        #if canImport(Glibc)
            pthread_detach(thread)
        #else
            if let thread { pthread_detach(thread) }
        #endif
    }
}
