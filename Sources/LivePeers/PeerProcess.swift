import Conformance
import Foundation
import StrictJSON

/// Why a peer process could not do what it was told.
public struct PeerFailure: Error, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable {
        /// It answered with an error of its own.
        case refused
        /// It answered `unsupported`.
        case unsupported
        /// No answer, or no awaited event, in time.
        case hang
        /// It ended by itself.
        case crash
        /// It broke the contract: a line that is no JSON object, an answer to nothing.
        case contract
    }

    public let kind: Kind
    public let peer: String
    public let message: String
    /// The error code of a refusal.
    public let code: String?

    public var description: String { "\(peer): \(message)" }

    /// What it says of the run in which it happened.
    var verdict: Verdict {
        switch kind {
        case .refused, .contract: .fails
        case .unsupported: .unsupported
        case .hang: .hang
        case .crash: .crash
        }
    }
}

/// A peer behind the contract of `harness/PEERS.md`: a process that takes one JSON object a line and answers with one.
///
/// `@unchecked Sendable`: every mutable member is read and written under `condition`.
public final class PeerProcess: @unchecked Sendable {
    public let name: String
    /// The process' id, for measurements of it.
    public let process: pid_t
    /// False: what was said and asked is not kept.
    private let keepsTranscript: Bool
    private let limits: Limits
    /// Write end of its input, read ends of its output and errors.
    private let input: Int32
    private let condition = NSCondition()
    private var nextID = 1
    private var replies: [Int: JSON] = [:]
    private var events: [JSON] = []
    private var log: [(time: Int64, json: JSON)] = []
    private var logBytes = 0
    private var requests: [(time: Int64, command: String, arguments: JSONObject)] = []
    private var lastErrors: [String] = []
    private var ended = false
    private var broken: String?
    /// Something that it said is not kept.
    private var isCut = false

    /// How much of what it says is kept. A peer that says more breaks the run: what is cut would be no evidence.
    public struct Limits: Sendable {
        /// Events, and likewise replies, that nobody has taken.
        public var waiting = 100_000
        /// Bytes of all its lines together, where the transcript is kept.
        public var transcriptBytes = 256 << 20

        public init() {}
    }

    /// Starts the program that the first word names, looked for as a shell does.
    ///
    /// Not through Foundation's `Process`: that one wakes itself over a UDP socket on loopback, and those datagrams would stand in the capture.
    public init(
        name: String, command: [String], environment: [String: String] = [:], keepsTranscript: Bool = true, limits: Limits = Limits()
    ) throws {
        self.name = name
        self.keepsTranscript = keepsTranscript
        self.limits = limits
        func fail(_ message: String) -> PeerFailure { PeerFailure(kind: .crash, peer: name, message: message, code: nil) }
        guard let program = command.first else { throw fail("an empty command") }
        // A peer that is gone must not end this process by SIGPIPE.
        signal(SIGPIPE, SIG_IGN)
        var pipes = [[Int32]](repeating: [-1, -1], count: 3)
        for index in pipes.indices {
            guard pipe(&pipes[index]) == 0 else { throw fail("no pipe: \(String(cString: strerror(errno)))") }
            for end in pipes[index] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipes[0][0], 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 1)
        posix_spawn_file_actions_adddup2(&actions, pipes[2][1], 2)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.sorted { $0.key < $1.key }
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var surroundings: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in arguments + surroundings { free(pointer) } }
        var process: pid_t = 0
        let status = posix_spawnp(&process, program, &actions, nil, &arguments, &surroundings)
        close(pipes[0][0])
        close(pipes[1][1])
        close(pipes[2][1])
        guard status == 0 else {
            for descriptor in [pipes[0][1], pipes[1][0], pipes[2][0]] { close(descriptor) }
            throw fail("\(program) can't be started: \(String(cString: strerror(status)))")
        }
        self.process = process
        input = pipes[0][1]
        read(pipes[1][0]) { [weak self] in
            self?.take(line: $0)
        } ended: { [weak self] in
            self?.finish()
        }
        read(pipes[2][0]) { [weak self] in
            self?.note(error: $0)
        } ended: {
        }
    }

    private func read(_ descriptor: Int32, line: @escaping @Sendable ([UInt8]) -> Void, ended: @escaping @Sendable () -> Void) {
        let thread = Thread {
            var pending: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = Foundation.read(descriptor, &buffer, buffer.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { break }
                pending += buffer[..<count]
                var start = 0
                while let end = pending[start...].firstIndex(of: 10) {
                    line(Array(pending[start..<end]))
                    start = end + 1
                }
                pending.removeSubrange(..<start)
                // The contract's longest line.
                if pending.count > 16 << 20 { break }
            }
            close(descriptor)
            ended()
        }
        thread.stackSize = 1 << 20
        thread.start()
    }

    private func take(line: [UInt8]) {
        guard !line.isEmpty else { return }
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        guard let json = try? JSON.parse(line), let object = json.object else {
            broken = broken ?? "a line is no JSON object: \(String(decoding: line.prefix(120), as: UTF8.self))"
            return
        }
        // What is broken stays so: nothing more is kept of it.
        guard broken == nil else { return }
        if keepsTranscript {
            logBytes += line.count
            guard logBytes <= limits.transcriptBytes else { return exceeded("\(limits.transcriptBytes) bytes in all") }
            log.append((PeerProcess.now, json))
        }
        if object["event"] != nil {
            guard events.count < limits.waiting else { return exceeded("\(limits.waiting) events that nobody has asked for") }
            events.append(json)
        } else if let id = object["id"]?.integer {
            guard replies.count < limits.waiting else { return exceeded("\(limits.waiting) replies that nobody has asked for") }
            replies[Int(id)] = json
        } else {
            broken = "a line is neither a reply nor an event: \(json.text().prefix(120))"
        }
    }

    private func exceeded(_ what: String) {
        broken = "it has said more than is kept: \(what)"
        isCut = true
    }

    /// What is lost may be what is waited for, or what must not have come: nothing that is left counts.
    private func checkWhole() throws { if isCut, let broken { throw failure(.contract, broken) } }

    /// How it broke the contract, whether anybody waited for something since or not.
    public var breach: String? { condition.withLock { broken } }

    /// Whether its output has ended, although nobody told it to leave.
    var hasEnded: Bool { condition.withLock { ended } }

    private func note(error line: [UInt8]) {
        condition.lock()
        lastErrors.append(String(decoding: line, as: UTF8.self))
        if lastErrors.count > 20 { lastErrors.removeFirst() }
        condition.unlock()
    }

    private func finish() {
        condition.lock()
        ended = true
        condition.broadcast()
        condition.unlock()
    }

    private func failure(_ kind: PeerFailure.Kind, _ message: String, code: String? = nil) -> PeerFailure {
        PeerFailure(kind: kind, peer: name, message: message, code: code)
    }

    /// The last lines of standard error, for evidence.
    public var standardErrorTail: [String] { condition.withLock { lastErrors } }

    /// Everything that it said, with the time at which it was read (microseconds since 1970).
    public var transcript: [(time: Int64, json: JSON)] { condition.withLock { log } }

    /// Everything that it was asked, likewise.
    public var calls: [(time: Int64, command: String, arguments: JSONObject)] { condition.withLock { requests } }

    private static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1e6) }

    // MARK: Requests

    /// Sends a request and does not wait.
    public func send(_ command: String, _ arguments: JSONObject = JSONObject()) throws -> Int {
        condition.lock()
        let id = nextID
        nextID += 1
        let isOver = ended
        let lastWords = tail
        if keepsTranscript { requests.append((PeerProcess.now, command, arguments)) }
        condition.unlock()
        if isOver { throw failure(.crash, "it has ended; \(command) can't be sent\(lastWords)") }
        var object = JSONObject()
        object.set("id", .integer(id))
        object.set("command", .string(command))
        for member in arguments.members { object.set(member.key, member.value) }
        let line = Array((JSON.object(object).text() + "\n").utf8)
        var offset = 0
        while offset < line.count {
            let count = line.withUnsafeBytes { Foundation.write(input, $0.baseAddress?.advanced(by: offset), line.count - offset) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure(.crash, "it no longer reads its input (\(command))\(lastWords)") }
            offset += count
        }
        return id
    }

    /// Waits for the reply to a request.
    public func reply(to id: Int, _ command: String, seconds: Double = 60) throws -> JSON {
        let deadline = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while true {
            try checkWhole()
            if let reply = replies.removeValue(forKey: id) { return try check(reply, command) }
            if let broken { throw failure(.contract, broken) }
            if ended { throw failure(.crash, "it ended before it answered \(command)\(tail)") }
            guard condition.wait(until: deadline) else { throw failure(.hang, "no answer to \(command) in \(Int(seconds)) s\(tail)") }
        }
    }

    /// The reply to a request, if it is there already.
    public func pendingReply(to id: Int, _ command: String) throws -> JSON? {
        condition.lock()
        defer { condition.unlock() }
        try checkWhole()
        if let reply = replies.removeValue(forKey: id) { return try check(reply, command) }
        if let broken { throw failure(.contract, broken) }
        if ended { throw failure(.crash, "it ended before it answered \(command)\(tail)") }
        return nil
    }

    private var tail: String { lastErrors.isEmpty ? "" : "; its last words: \(lastErrors.suffix(3).joined(separator: " | "))" }

    private func check(_ reply: JSON, _ command: String) throws -> JSON {
        if reply["unsupported"]?.bool == true {
            let argument = reply["argument"]?.string.map { " (argument \($0))" } ?? ""
            throw failure(.unsupported, "\(command) is unsupported\(argument)")
        }
        if let error = reply["error"] {
            let code = error["code"]?.string ?? "?"
            throw failure(.refused, "\(command): \(code), \(error["message"]?.string ?? "")", code: code)
        }
        guard reply["ok"]?.bool == true else { throw failure(.contract, "the reply to \(command) is neither ok, error nor unsupported") }
        return reply
    }

    /// Sends a request and waits for its reply.
    @discardableResult
    public func request(_ command: String, _ arguments: JSONObject = JSONObject(), seconds: Double = 60) throws -> JSON {
        try reply(to: send(command, arguments), command, seconds: seconds)
    }

    /// Waits for an event, and takes it out of the queue; events before it stay.
    ///
    /// `other` is an event that tells as well that `name` will not come.
    public func event(
        _ name: String, or other: String? = nil, seconds: Double = 30, where matches: (JSON) -> Bool = { _ in true }
    ) throws -> JSON {
        func isAwaited(_ event: JSON) -> Bool {
            guard let word = event["event"]?.string, word == name || word == other else { return false }
            return matches(event)
        }
        let deadline = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while true {
            try checkWhole()
            if let index = events.firstIndex(where: isAwaited) { return events.remove(at: index) }
            if let broken { throw failure(.contract, broken) }
            if ended { throw failure(.crash, "it ended before the event \(name)\(tail)") }
            guard condition.wait(until: deadline) else {
                // A connection that ended with an error is an answer, though not the one that was hoped for.
                if let closed = events.last(where: { $0["event"]?.string == "close" && $0["error"]?.isNull == false }) {
                    throw failure(
                        .refused, "no event \(name): a connection ended with \(closed["error"]?.text().prefix(160) ?? "an error")",
                        code: closed["error"]?["code"]?.string)
                }
                let seen = events.suffix(4).map { $0.text().prefix(160) }.joined(separator: " ")
                throw failure(.hang, "no event \(name) in \(Int(seconds)) s (waiting: \(seen))\(tail)")
            }
        }
    }

    /// Takes an event that is there already.
    public func pendingEvent(_ name: String, where matches: (JSON) -> Bool = { _ in true }) -> JSON? {
        condition.withLock {
            guard let index = events.firstIndex(where: { $0["event"]?.string == name && matches($0) }) else { return nil }
            return events.remove(at: index)
        }
    }

    /// Forgets the events that nobody has asked for.
    public func dropEvents() { condition.withLock { events.removeAll() } }

    // MARK: The end

    /// Ends it at once, as a power cut does.
    public func kill() {
        Foundation.kill(process, SIGKILL)
        var status: Int32 = 0
        waitpid(process, &status, 0)
        close(input)
    }

    /// Closes its input, gives it five seconds, then ends it. False if it had to be ended, or left with another status than 0.
    @discardableResult
    public func stop() -> Bool {
        close(input)
        var status: Int32 = 0
        for _ in 0..<500 {
            let ended = waitpid(process, &status, WNOHANG)
            if ended != 0 { return ended == process && status == 0 }
            usleep(10_000)
        }
        Foundation.kill(process, SIGKILL)
        waitpid(process, &status, 0)
        return false
    }
}
