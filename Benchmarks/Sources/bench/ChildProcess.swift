#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The same program once more, in a process of its own, spoken with by lines.
final class ChildProcess {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let pid: pid_t
    private let input: Int32
    private let output: UnsafeMutablePointer<FILE>

    /// Starts this program with other arguments. Its standard error is ours.
    static func again(_ arguments: [String]) throws -> ChildProcess {
        try ChildProcess("/proc/self/exe", [CommandLine.arguments[0]] + arguments)
    }

    /// A script of the repository's harness/node, wherever this program is started.
    static func nodeScript(_ name: String) -> String {
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4).joined(separator: "/") + "/harness/node/" + name
    }

    init(_ path: String, _ arguments: [String]) throws {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw Failure(description: "no pipe: errno \(errno)") }
        // A child that is started later must not hold this one's input open.
        for descriptor in toChild + fromChild { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        #if canImport(Glibc)
            var actions = posix_spawn_file_actions_t()
        #else
            var actions: posix_spawn_file_actions_t?
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        for descriptor in toChild + fromChild where descriptor > 2 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        var strings: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for string in strings { free(string) } }
        var started: pid_t = 0
        let failed = posix_spawnp(&started, path, &actions, nil, &strings, environ)
        close(toChild[0])
        close(fromChild[1])
        guard failed == 0, let stream = fdopen(fromChild[0], "r") else {
            throw Failure(description: "\(path) does not start: \(String(cString: strerror(failed)))")
        }
        (pid, input, output) = (started, toChild[1], stream)
    }

    /// The next line of its output without the line's end; nil when it has ended.
    func line() -> String? {
        var buffer: UnsafeMutablePointer<CChar>?
        var size = 0
        let count = getline(&buffer, &size, output)
        defer { free(buffer) }
        guard count > 0, let buffer else { return nil }
        let bytes = UnsafeBufferPointer(start: buffer, count: count).map(UInt8.init(bitPattern:))
        return String(decoding: bytes.last == 10 ? bytes.dropLast() : bytes[...], as: UTF8.self)
    }

    func send(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = write(input, bytes, bytes.count)
    }

    /// Closes its input, waits for its end, and returns what it used.
    @discardableResult
    func finish() -> Usage {
        close(input)
        while line() != nil {}
        fclose(output)
        var status: Int32 = 0
        var usage = rusage()
        while wait4(pid, &status, 0, &usage) < 0 && errno == EINTR {}
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return Usage(cpuSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime), peakKiB: Int(usage.ru_maxrss))
    }

    func terminate() { kill(pid, SIGKILL) }
}
