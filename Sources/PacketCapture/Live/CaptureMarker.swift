import SansIO

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A datagram of our own that is sent before and after a run: a capture that has both began early enough and ended late enough.
///
/// Payload: `hyperconform-marker/1 `, `begin` or `end`, a space, and a word that names the run. Sent to the discard port.
public enum CaptureMarker {
    public enum Position: String, Sendable { case begin, end }

    static let prefix = Array("hyperconform-marker/1 ".utf8)
    public static let port: UInt16 = 9

    public static func payload(_ position: Position, run: String) -> [UInt8] { prefix + Array("\(position.rawValue) \(run)".utf8) }

    /// Position and run name, if this payload is a marker.
    public static func parse(_ payload: [UInt8]) -> (position: Position, run: String)? {
        guard payload.starts(with: prefix), payload.count <= 256 else { return nil }
        let words = String(decoding: payload.dropFirst(prefix.count), as: UTF8.self).split(separator: " ", maxSplits: 1)
        guard words.count == 2, let position = Position(rawValue: String(words[0])) else { return nil }
        return (position, String(words[1]))
    }

    /// Sends one marker to an IPv4 host. False if the socket refused.
    @discardableResult
    public static func send(_ position: Position, run: String, to address: IPAddress = .loopback) -> Bool {
        guard case .v4(let host) = address else { return false }
        #if canImport(Darwin)
            let descriptor = socket(AF_INET, SOCK_DGRAM, 0)
        #else
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        #endif
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = port.bigEndian
        target.sin_addr.s_addr = host.bigEndian
        let bytes = payload(position, run: run)
        let sent = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return sent == bytes.count
    }

    /// What a capture says about one run's markers.
    public static func find(run: String, in packets: [CapturedPacket]) -> (begin: Bool, end: Bool) {
        var result = (begin: false, end: false)
        for packet in packets where packet.transport == .udp && packet.destination.port == port {
            guard let marker = parse(packet.payload), marker.run == run else { continue }
            switch marker.position {
            case .begin: result.begin = true
            case .end: result.end = true
            }
        }
        return result
    }
}
