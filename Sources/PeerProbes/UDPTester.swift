import Foundation
import SansIO

/// A raw UDP socket on loopback: what the tester sends is exactly what it is given, what arrives is kept exactly as it came.
public final class UDPTester {
    /// Something that arrived.
    public struct Arrival: Sendable {
        public let at: Instant
        public let source: Endpoint
        public let payload: [UInt8]
        /// Of the IP packet; nil where the system does not tell.
        let timeToLive: UInt8?
    }

    public let endpoint: Endpoint
    let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    /// Binds to a host and a port (0: any free one).
    public init(host: IPAddress = .loopback, port: UInt16 = 0) throws {
        guard case .v4(let address) = host else { throw ProbeError("a tester speaks IPv4 only") }
        let descriptor = socket(AF_INET, datagram, 0)
        guard descriptor >= 0 else { throw ProbeError("no socket: \(String(cString: strerror(errno)))") }
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var isWanted: Int32 = 1
        setsockopt(descriptor, ipLevel, IP_RECVTTL, &isWanted, socklen_t(MemoryLayout<Int32>.size))
        var local = sockaddr_in()
        local.sin_family = sa_family_t(AF_INET)
        local.sin_port = port.bigEndian
        local.sin_addr.s_addr = address.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &local) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else {
            let reason = String(cString: strerror(errno))
            Foundation.close(descriptor)
            throw ProbeError("\(host):\(port) can't be bound: \(reason)")
        }
        self.descriptor = descriptor
        endpoint = Endpoint(host, UInt16(bigEndian: local.sin_port))
    }

    deinit { Foundation.close(descriptor) }

    public func send(_ bytes: [UInt8], to destination: Endpoint) throws {
        guard case .v4(let address) = destination.address else { throw ProbeError("a tester speaks IPv4 only") }
        var remote = sockaddr_in()
        remote.sin_family = sa_family_t(AF_INET)
        remote.sin_port = destination.port.bigEndian
        remote.sin_addr.s_addr = address.bigEndian
        let sent = withUnsafePointer(to: &remote) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard sent == bytes.count else {
            throw ProbeError("\(bytes.count) bytes to \(destination) can't be sent: \(String(cString: strerror(errno)))")
        }
    }

    /// What is there already, or nil.
    func take() -> Arrival? {
        var remote = sockaddr_in()
        // Room for one control message: its length, level and type, and an int.
        var control = [UInt64](repeating: 0, count: 8)
        var controlLength = 0
        let count = control.withUnsafeMutableBytes { control in
            buffer.withUnsafeMutableBytes { buffer in
                withUnsafeMutablePointer(to: &remote) { remote in
                    var piece = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
                    return withUnsafeMutablePointer(to: &piece) { piece in
                        var message = msghdr()
                        message.msg_name = UnsafeMutableRawPointer(remote)
                        message.msg_namelen = socklen_t(MemoryLayout<sockaddr_in>.size)
                        message.msg_iov = piece
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = .init(control.count)
                        defer { controlLength = Int(message.msg_controllen) }
                        return recvmsg(descriptor, &message, noWaiting)
                    }
                }
            }
        }
        guard count >= 0 else { return nil }
        let timeToLive = control.withUnsafeBytes { bytes -> UInt8? in
            let header = MemoryLayout<cmsghdr>.size
            guard controlLength >= header + 4, bytes.load(as: cmsghdr.self).cmsg_level == ipLevel else { return nil }
            return UInt8(truncatingIfNeeded: bytes.load(fromByteOffset: header, as: Int32.self))
        }
        return Arrival(
            at: .now, source: Endpoint(.v4(UInt32(bigEndian: remote.sin_addr.s_addr)), UInt16(bigEndian: remote.sin_port)),
            payload: Array(buffer[..<count]), timeToLive: timeToLive)
    }

    /// The next datagram on any of the testers' sockets; nil when the time is over.
    static func next(of testers: [UDPTester], until deadline: Instant) -> (tester: UDPTester, arrival: Arrival)? {
        while true {
            for tester in testers { if let arrival = tester.take() { return (tester, arrival) } }
            let left = (deadline - .now).microseconds
            guard left > 0 else { return nil }
            var waits = testers.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            poll(&waits, nfds_t(waits.count), Int32(clamping: (left + 999) / 1000))
        }
    }

    /// The next datagram here.
    public func receive(within milliseconds: Int64) -> Arrival? {
        UDPTester.next(of: [self], until: .now + .milliseconds(milliseconds))?.arrival
    }

    /// Throws away what has arrived.
    public func discard() { while take() != nil {} }
}

#if canImport(Glibc)
    private let datagram = Int32(SOCK_DGRAM.rawValue)
    private let noWaiting = Int32(MSG_DONTWAIT)
    private let ipLevel = Int32(IPPROTO_IP)
#else
    private let datagram = SOCK_DGRAM
    private let noWaiting = MSG_DONTWAIT
    private let ipLevel = IPPROTO_IP
#endif

extension Instant {
    /// The monotonic clock of this process.
    static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }
}

/// The tester itself could not do its part: nobody is judged.
public struct ProbeError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// What a peer did that left the tester nothing to go on with: a finding against the peer, not a fault of the harness.
struct PeerDeviation: Error {
    let field: String
    let expected: String
    let actual: String

    init(_ field: String, expected: String, actual: String) {
        self.field = field
        self.expected = expected
        self.actual = actual
    }
}
