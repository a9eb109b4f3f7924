import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// This host's addresses.
enum LocalAddresses {
    /// IPv4 addresses of interfaces that are up, without loopback ones.
    static func ipv4() -> [IPAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var result: [IPAddress] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            let flags = Int32(bitPattern: UInt32(entry.pointee.ifa_flags))
            guard let address = entry.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET, flags & Int32(IFF_UP_FLAG) != 0,
                flags & Int32(IFF_LOOPBACK_FLAG) == 0
            else { continue }
            let value = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt32(bigEndian: $0.pointee.sin_addr.s_addr) }
            if !result.contains(.v4(value)) { result.append(.v4(value)) }
        }
        return result
    }

    // The header names them as an enumeration on one platform and as macros on the other.
    private static let IFF_UP_FLAG = 0x1
    private static let IFF_LOOPBACK_FLAG = 0x8
}
