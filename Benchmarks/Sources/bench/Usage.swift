#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a process has used so far, as the kernel counts it.
struct Usage: Sendable {
    /// User and system time.
    var cpuSeconds: Double
    /// Resident set at its largest, in KiB.
    var peakKiB: Int

    static var now: Usage {
        var usage = rusage()
        #if canImport(Glibc)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        #else
            getrusage(RUSAGE_SELF, &usage)
        #endif
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return Usage(cpuSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime), peakKiB: Int(usage.ru_maxrss))
    }

    /// Resident set now, in KiB; 0 where the kernel doesn't say.
    static var residentKiB: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
        let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split(separator: " ")
        guard words.count > 1, let pages = Int(words[1]) else { return 0 }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE))) / 1024
    }

    /// Seconds of CPU since `earlier`.
    func cpu(since earlier: Usage) -> Double { cpuSeconds - earlier.cpuSeconds }
}
