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
