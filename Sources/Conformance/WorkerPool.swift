import Foundation
import SansIO

/// Runs jobs in processes of their own, a few at once. A check that traps costs its worker and gets the verdict `crash`; one that exceeds
/// its time limit is killed and gets `hang`. Neither touches the others.
public final class WorkerPool: CheckRunning {
    private let pool: CheckPool
    private let workers: IdleWorkers
    private let timeLimit: Double

    /// - Parameters:
    ///   - executable: a program that calls `WorkerPool.serve` when started with `arguments`.
    ///   - timeLimitSeconds: for one check.
    public init(executable: String, arguments: [String], threads: Int, timeLimitSeconds: Double) {
        // The pool's own limit is a second net, for a worker that can't be killed.
        pool = CheckPool(corpus: Corpus(root: ""), threads: threads, timeLimitSeconds: timeLimitSeconds + 30)
        workers = IdleWorkers(executable: executable, arguments: arguments)
        timeLimit = timeLimitSeconds
    }

    deinit { workers.end() }

    public func run(_ jobs: [CheckJob], progress: (Int) -> Void) -> [CheckResult] {
        // A worker that died must not take us along when we write to it.
        signal(SIGPIPE, SIG_IGN)
        let results = pool.map(jobs, progress: progress) { [workers, timeLimit] job in workers.run(job, timeLimitSeconds: timeLimit) }
        return zip(jobs, results).map { job, result in
            result ?? CheckResult(job.check, verdict: .hang, reason: "the worker could not be stopped")
        }
    }

    /// The worker's side: reads jobs from standard input until it ends, writes results to standard output.
    public static func serve(checks: [Check], corpus: Corpus, seed: UInt64) {
        // Nothing that a check prints may reach the results.
        let output = dup(STDOUT_FILENO)
        dup2(STDERR_FILENO, STDOUT_FILENO)
        var byID: [String: Check] = [:]
        for check in checks { byID[check.id] = check }
        while let line = readLine() {
            let parts = line.split(separator: " ")
            guard parts.count == 2, let check = byID[String(parts[0])], let code = UInt32(parts[1]) else { exit(3) }
            let job = CheckJob(check, mutation: code == 0 ? nil : MutationCode(code: code))
            let reply = Array(WorkerProtocol.reply(job.examine(corpus: corpus, seed: seed), brief: code != 0).utf8)
            var sent = 0
            while sent < reply.count {
                let count = reply[sent...].withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
                if count <= 0 { exit(3) }
                sent += count
            }
        }
    }
}

/// Workers that wait for a job. `@unchecked Sendable`: guarded by its lock; a worker is used by one thread at a time.
private final class IdleWorkers: @unchecked Sendable {
    private let executable: String
    private let arguments: [String]
    private let lock = NSLock()
    private var idle: [Worker] = []

    init(executable: String, arguments: [String]) {
        self.executable = executable
        self.arguments = arguments
    }

    func run(_ job: CheckJob, timeLimitSeconds: Double) -> CheckResult {
        let waiting = lock.withLock { idle.popLast() }
        guard let worker = waiting ?? Worker(executable, arguments) else {
            return CheckResult(job.check, verdict: .harnessError, reason: "a worker could not be started from \(executable)")
        }
        switch worker.ask(WorkerProtocol.request(job), timeLimitSeconds: timeLimitSeconds) {
        case .line(let line):
            lock.withLock { idle.append(worker) }
            return WorkerProtocol.result(line, of: job.check)
                ?? CheckResult(job.check, verdict: .harnessError, reason: "the worker's answer can't be read")
        case .silence:
            worker.kill()
            return CheckResult(job.check, verdict: .hang, reason: "no verdict within \(Int(timeLimitSeconds)) s")
        case .end:
            return CheckResult(job.check, verdict: .crash, reason: worker.lastWords())
        }
    }

    func end() { lock.withLock { idle.forEach { $0.kill() } } }
}

/// One process.
private final class Worker {
    enum Answer {
        case line([UInt8])
        case silence
        case end
    }

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    /// What it wrote to standard error, kept for the case that it dies.
    private let errors: FileHandle?
    private let errorFile: URL
    private var rest: [UInt8] = []

    init?(_ executable: String, _ arguments: [String]) {
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        var environment = ProcessInfo.processInfo.environment
        // A backtrace takes seconds, and the message that stays is enough.
        environment["SWIFT_BACKTRACE"] = "enable=no"
        process.environment = environment
        errorFile = FileManager.default.temporaryDirectory.appendingPathComponent("hyperconform-\(UUID().uuidString)")
        guard FileManager.default.createFile(atPath: errorFile.path, contents: nil) else { return nil }
        errors = FileHandle(forUpdatingAtPath: errorFile.path)
        process.standardError = errors ?? FileHandle.nullDevice
        do { try process.run() } catch { return nil }
        // The open handle is enough; nobody else needs the name.
        try? FileManager.default.removeItem(at: errorFile)
    }

    func ask(_ request: String, timeLimitSeconds: Double) -> Answer {
        let bytes = Array(request.utf8)
        let file = input.fileHandleForWriting.fileDescriptor
        guard bytes.withUnsafeBytes({ write(file, $0.baseAddress, $0.count) }) == bytes.count else { return .end }
        let deadline = Date().addingTimeInterval(timeLimitSeconds)
        let source = output.fileHandleForReading.fileDescriptor
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = rest.firstIndex(of: 10) {
                let line = Array(rest[..<end])
                rest = Array(rest[(end + 1)...])
                return .line(line)
            }
            let left = deadline.timeIntervalSinceNow
            if left <= 0 { return .silence }
            var poll = pollfd(fd: source, events: Int16(POLLIN), revents: 0)
            let ready = Foundation.poll(&poll, 1, Int32(min(left * 1000 + 1, 60_000)))
            if ready == 0 || (ready < 0 && errno == EINTR) { continue }
            let count = chunk.withUnsafeMutableBytes { read(source, $0.baseAddress, $0.count) }
            if count <= 0 { return .end }
            rest += chunk[..<count]
        }
    }

    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// How it died, and the last line that it wrote.
    func lastWords() -> String {
        process.waitUntilExit()
        let how = process.terminationReason == .uncaughtSignal ? "signal" : "exit code"
        var words = ""
        if let errors, (try? errors.seek(toOffset: 0)) != nil, let data = try? errors.readToEnd() {
            words = String(decoding: data, as: UTF8.self).split(separator: "\n").last { $0.contains("rror") }.map(String.init) ?? ""
        }
        return "the process ended with \(how) \(process.terminationStatus)\(words.isEmpty ? "" : ": \(words)")"
    }
}
