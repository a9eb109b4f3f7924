import ArgumentParser
import Hyperswarm
import SansIO
import UDX

/// One plain UDX stream between two processes.
struct UDXCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "udx", abstract: "One UDX stream between two processes, with and without segmentation offload.")

    @Option(help: "How much is sent, in MiB.") var mebibytes = 1024
    @Option(help: "Run this `udxperf` of the reference beside it.") var udxperf: String?
    @Option(help: "How long udxperf runs.") var udxperfSeconds = 5
    @Option(help: .hidden) var role: String?
    @Option(help: .hidden) var port: UInt16 = 0
    @Flag(inversion: .prefixedNo, help: .hidden) var offload = true

    static let piece = [UInt8]((0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })

    func run() async throws {
        if let role, let mode = RawSockets.Mode.allCases.first(where: { "raw-" + $0.rawValue == role }) {
            return try RawSockets.receive(mode)
        }
        if role != nil { return try await receive() }
        var table = Table("two processes, loopback", "MB/s", "CPU s/GiB", "sender", "receiver", "lost")
        for mode in RawSockets.Mode.allCases {
            let raw = try RawSockets.measure(mode, mebibytes: mebibytes)
            table.add(
                mode.name, text(raw.megabytesPerSecond), text((raw.senderCPU + raw.receiverCPU) / raw.gibibytes, 2),
                text(raw.senderCPU / raw.gibibytes, 2), text(raw.receiverCPU / raw.gibibytes, 2), text(raw.lost * 100) + " %")
        }
        for offload in [true, false] { try await measure(offload, &table) }
        if let udxperf {
            let perf = try UDXPerf(udxperf, seconds: udxperfSeconds)
            table.add(
                "udxperf of the reference", text(perf.megabytesPerSecond), text(perf.clientCPUPerGiB + perf.serverCPUPerGiB, 2),
                text(perf.clientCPUPerGiB, 2), text(perf.serverCPUPerGiB, 2))
        }
        table.show()
    }

    private func measure(_ offload: Bool, _ table: inout Table) async throws {
        var options = DatagramOptions()
        options.offload = offload
        let host = try UDXSocketHost(options: options)
        let socket = try await host.bind()
        let stream = try await host.createStream(id: StreamID(1))
        let child = try ChildProcess.again([
            "udx", "--role", "receive", "--port", "\(socket.local.port)", offload ? "--offload" : "--no-offload",
            "--mebibytes", "\(mebibytes)",
        ])
        guard let word = child.line(), let port = UInt16(word) else { throw ValidationError("the receiver did not start") }
        try await stream.connect(socket, to: StreamID(2), at: .loopback(port))
        let before = Usage.now
        let start = SystemClock.now
        for _ in 0..<mebibytes * 16 { try await stream.write(UDXCommand.piece) }
        try await stream.finish()
        // The receiver ends after the last byte.
        for try await _ in stream {}
        let seconds = Double((SystemClock.now - start).microseconds) / 1e6
        let own = Usage.now.cpu(since: before)
        guard let report = child.line(), let other = Double(report) else { throw ValidationError("the receiver missed bytes") }
        child.finish()
        await host.close()
        let gibibytes = Double(mebibytes) / 1024
        table.add(
            offload ? "UDX stream, with offload" : "UDX stream, without offload", text(Double(mebibytes) * 1.048576 / seconds),
            text((own + other) / gibibytes, 2),
            text(own / gibibytes, 2), text(other / gibibytes, 2))
    }

    private func receive() async throws {
        var options = DatagramOptions()
        options.offload = offload
        let host = try UDXSocketHost(options: options)
        let socket = try await host.bind()
        let stream = try await host.createStream(id: StreamID(2))
        try await stream.connect(socket, to: StreamID(1), at: .loopback(port))
        say("\(socket.local.port)")
        let before = Usage.now
        var check = PieceCheck(UDXCommand.piece)
        for try await chunk in stream { check.add(chunk) }
        try await stream.finish()
        _ = try await stream.closed()
        await host.close()
        say(check.isRight && check.count == mebibytes << 20 ? "\(Usage.now.cpu(since: before))" : "wrong after \(check.count) bytes")
    }
}
