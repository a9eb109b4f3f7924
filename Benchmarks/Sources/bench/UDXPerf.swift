#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The reference's own `udxperf` (libudx, examples), two processes on this machine. The rate is what its client says: bytes of whole UDX
/// packets, repeated ones too.
struct UDXPerf {
    let megabytesPerSecond: Double
    let clientCPUPerGiB: Double
    let serverCPUPerGiB: Double

    init(_ path: String, seconds: Int) throws {
        // It takes no port "any": one that follows from this process's id is most likely free.
        let port = "\(20_000 + Int(getpid()) % 20_000)"
        let server = try ChildProcess(path, [path, "-s", "-p", port])
        usleep(300_000)
        let client = try ChildProcess(path, [path, "-c", "127.0.0.1", "-p", port, "-t", "\(seconds)"])
        var rate: Double?
        while let line = client.line() { rate = UDXPerf.rate(line) ?? rate }
        let clientUsage = client.finish()
        // It does not always learn that the client has ended, and would then wait for ever.
        server.terminate()
        let serverUsage = server.finish()
        guard let rate else { throw ChildProcess.Failure(description: "udxperf named no rate") }
        megabytesPerSecond = rate
        let gibibytes = rate * 1e6 * Double(seconds) / Double(1 << 30)
        clientCPUPerGiB = clientUsage.cpuSeconds / gibibytes
        serverCPUPerGiB = serverUsage.cpuSeconds / gibibytes
    }

    /// "... 1.41 Gbit/sec ..." in MB/s.
    private static func rate(_ line: String) -> Double? {
        let words = line.split(separator: " ")
        for (number, unit) in zip(words, words.dropFirst()) where unit.hasSuffix("bit/sec") {
            guard let value = Double(number) else { continue }
            switch unit.first {
            case "G": return value * 125
            case "M": return value / 8
            case "K": return value / 8000
            default: return nil
            }
        }
        return nil
    }
}
