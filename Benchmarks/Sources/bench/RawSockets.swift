import Hyperswarm
import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The socket driver alone between two processes: what is left when no protocol asks for anything. Datagrams may be lost.
struct RawSockets {
    enum Mode: String, CaseIterable {
        case single, batched, offload

        var name: String {
            switch self {
            case .single: "raw datagrams, one a call"
            case .batched: "raw datagrams, 64 a call"
            case .offload: "raw datagrams, with offload"
            }
        }

        var options: DatagramOptions {
            var options = DatagramOptions()
            options.batch = self == .single ? 1 : 64
            options.offload = self == .offload
            return options
        }
    }

    static let size = 1172

    /// What the receiver got, the share of it that was lost, and the CPU seconds of both.
    struct Outcome {
        var megabytesPerSecond: Double
        var lost: Double
        var senderCPU: Double
        var receiverCPU: Double
        var gibibytes: Double
    }

    static func measure(_ mode: Mode, mebibytes: Int) throws -> Outcome {
        let child = try ChildProcess.again(["udx", "--role", "raw-" + mode.rawValue])
        guard let word = child.line(), let port = UInt16(word) else {
            throw ChildProcess.Failure(description: "the receiver did not start")
        }
        let socket = try DatagramSocket(.v4, local: .loopback(0), options: mode.options, arena: DatagramArena())
        let transmit = Transmit(socket: SocketID(1), destination: .loopback(port), payload: [UInt8](repeating: 7, count: size))
        let total = (mebibytes << 20) / size
        let before = Usage.now
        var sent = 0
        while sent < total {
            for _ in 0..<min(1024, total - sent) { socket.enqueue(transmit) }
            sent += min(1024, total - sent)
            while !socket.flush() { wait(socket.fd, POLLOUT, 1000) }
        }
        let own = Usage.now.cpu(since: before)
        guard let report = child.line() else { throw ChildProcess.Failure(description: "the receiver did not report") }
        child.finish()
        let words = report.split(separator: " ").compactMap { Double($0) }
        guard words.count == 3 else { throw ChildProcess.Failure(description: "the receiver said \(report)") }
        return Outcome(
            megabytesPerSecond: words[0] / words[1], lost: 1 - words[0] * 1e6 / Double(total * size), senderCPU: own, receiverCPU: words[2],
            gibibytes: words[0] * 1e6 / Double(1 << 30))
    }

    /// Counts what arrives until nothing has for a while. Says: megabytes, seconds, CPU seconds.
    static func receive(_ mode: Mode) throws {
        let socket = try DatagramSocket(.v4, local: .loopback(0), options: mode.options, arena: DatagramArena())
        say("\(socket.local.port)")
        wait(socket.fd, POLLIN, 10_000)
        let before = Usage.now
        let start = SystemClock.now
        var last = start
        while wait(socket.fd, POLLIN, 300) {
            while socket.receive({ _, _, _ in }) > 0 {}
            last = SystemClock.now
        }
        let seconds = Double((last - start).microseconds) / 1e6
        say("\(Double(socket.counters.bytesReceived) / 1e6) \(seconds) \(Usage.now.cpu(since: before))")
    }

    @discardableResult
    private static func wait(_ fd: Int32, _ events: Int32, _ milliseconds: Int32) -> Bool {
        var poller = pollfd(fd: fd, events: Int16(events), revents: 0)
        return poll(&poller, 1, milliseconds) > 0
    }
}
