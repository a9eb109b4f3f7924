import CompactEncoding
import DHTRPC
import Hyperswarm
import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Asks one node as fast as it answers: 64 requests are under way all the time.
final class Flood {
    static let findNode = (isInternal: true, command: UInt64(2))
    static let lookup = (isInternal: false, command: UInt64(3))

    private let descriptor: Int32
    private let node: Endpoint

    init(to port: UInt16) throws {
        #if canImport(Glibc)
            descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        #else
            descriptor = socket(AF_INET, SOCK_DGRAM, 0)
        #endif
        node = .loopback(port)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw ChildProcess.Failure(description: "no socket: errno \(errno)") }
        // A lost datagram must not end the run.
        var patience = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Returns how many answers came.
    func run(seconds: Double, _ question: (isInternal: Bool, command: UInt64)) -> Int {
        var tid: UInt16 = 0
        var answered = 0
        var buffer = [UInt8](repeating: 0, count: 2048)
        func ask() {
            tid &+= 1
            let target = Bytes32(bigEndianWords: (UInt64(tid) &* 0x9e37_79b9_7f4a_7c15, 1, 2, UInt64(answered)))
            let request = Request(tid: tid, to: node, isInternal: question.isInternal, command: question.command, target: target).encoded
            _ = send(descriptor, request, request.count, 0)
        }
        let end = SystemClock.now + .microseconds(Int64(seconds * 1e6))
        for _ in 0..<64 { ask() }
        while SystemClock.now < end {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 1, buffer[0] == MessageType.response.rawValue { answered += 1 }
            ask()
        }
        return answered
    }
}

/// CPU time of another process, from /proc.
enum ProcessTimes {
    static func seconds(of pid: pid_t) -> Double {
        guard let file = fopen("/proc/\(pid)/stat", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 1024)
        guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        // After the name in parentheses: state is field 3, user and system time are 14 and 15, in ticks.
        guard let close = text.lastIndex(of: ")") else { return 0 }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
