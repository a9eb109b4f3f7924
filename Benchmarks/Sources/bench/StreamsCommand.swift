import ArgumentParser
import Hyperswarm
import SansIO
import UDX

/// Many streams at once between two sockets.
struct StreamsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "streams", abstract: "A thousand UDX streams at once on one pair of sockets: memory, rate, every byte.")

    @Option(help: "How many streams.") var streams = 1000
    @Option(help: "What each one sends, in KiB.") var kibibytes = 256
    @Option(help: .hidden) var role: String?
    @Option(help: .hidden) var port: UInt16 = 0

    func run() async throws {
        if role != nil { return try await receive() }
        let (host, socket) = try await open()
        let child = try ChildProcess.again([
            "streams", "--role", "receive", "--port", "\(socket.local.port)", "--streams", "\(streams)", "--kibibytes", "\(kibibytes)",
        ])
        guard let word = child.line(), let port = UInt16(word) else { throw ValidationError("the receiver did not start") }
        let empty = Usage.residentKiB
        let all = try await connect(host, socket, port, own: 1, other: 1_000_001)
        let idle = Usage.residentKiB
        guard child.line() == "ready" else { throw ValidationError("the receiver did not get ready") }
        let before = Usage.now
        let start = SystemClock.now
        let kibibytes = self.kibibytes
        try await withThrowingTaskGroup(of: Void.self) { group in
            for stream in all {
                group.addTask {
                    for _ in 0..<max(1, kibibytes / 64) {
                        try await stream.write(Array(UDXCommand.piece.prefix(min(kibibytes << 10, 65_536))))
                    }
                    try await stream.finish()
                    for try await _ in stream {}
                }
            }
            try await group.waitForAll()
        }
        let seconds = Double((SystemClock.now - start).microseconds) / 1e6
        let usage = Usage.now
        guard let report = child.line() else { throw ValidationError("the receiver did not report") }
        child.finish()
        let counters = try await host.counters()
        await host.close()
        let words = report.split(separator: " ")
        guard words.count == 6, let bytes = Int(words[0]), let wrong = Int(words[1]), let otherIdle = Int(words[2]),
            let otherPeak = Int(words[3]), let otherCPU = Double(words[4]), let drops = Int(words[5])
        else { throw ValidationError("the receiver said \(report)") }
        let expected = streams * max(1, kibibytes / 64) * min(kibibytes << 10, 65_536)
        print("\(streams) streams at once, \(kibibytes) KiB each, two processes, one socket each")
        print("bytes      \(bytes) of \(expected) arrived, \(wrong) streams with a wrong byte")
        print("rate       \(text(Double(bytes) / 1e6 / seconds)) MB/s in all, \(text(seconds, 2)) s")
        print(
            "CPU        \(text(usage.cpu(since: before) + otherCPU, 2)) s (sender \(text(usage.cpu(since: before), 2)), receiver \(text(otherCPU, 2)))"
        )
        let count = Double(max(1, streams))
        print(
            "memory     idle \(text(Double(idle - empty) / count, 1)) KiB a stream at the sender, \(text(Double(otherIdle) / count, 1)) at the receiver; "
                + "at the peak \(text(Double(usage.peakKiB - empty) / count, 1)) and \(text(Double(otherPeak) / count, 1))")
        print("datagrams  \(counters.datagramsSent) sent in \(counters.systemCalls) calls, \(drops) dropped by the receiver's kernel")
        guard bytes == expected, wrong == 0 else { throw ExitCode(1) }
    }

    private func open() async throws -> (UDXSocketHost, UDXSocket) {
        let host = try UDXSocketHost()
        return (host, try await host.bind())
    }

    private func connect(
        _ host: UDXSocketHost, _ socket: UDXSocket, _ port: UInt16, own: UInt32, other: UInt32
    ) async throws -> [UDXStream] {
        var all: [UDXStream] = []
        for number in 0..<UInt32(streams) {
            let stream = try await host.createStream(id: StreamID(own + number))
            try await stream.connect(socket, to: StreamID(other + number), at: .loopback(port))
            all.append(stream)
        }
        return all
    }

    private func receive() async throws {
        let (host, socket) = try await open()
        say("\(socket.local.port)")
        let empty = Usage.residentKiB
        let all = try await connect(host, socket, port, own: 1_000_001, other: 1)
        let idle = Usage.residentKiB
        let before = Usage.now
        say("ready")
        let results = try await withThrowingTaskGroup(of: (count: Int, isRight: Bool).self) { group in
            for stream in all {
                group.addTask {
                    var check = PieceCheck(UDXCommand.piece)
                    for try await chunk in stream { check.add(chunk) }
                    try await stream.finish()
                    return (check.count, check.isRight)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        for stream in all { _ = try await stream.closed() }
        let drops = try await host.counters().kernelDrops
        let usage = Usage.now
        say(
            "\(results.reduce(0) { $0 + $1.count }) \(results.filter { !$0.isRight }.count) \(idle - empty) \(usage.peakKiB - empty) \(usage.cpu(since: before)) \(drops)"
        )
        await host.close()
    }
}
