import CompactEncoding
import Conformance
import Foundation
import HyperCrypto
import LivePeers
import SansIO
import SecretStream
import StrictJSON

/// The tester's end of a stand-alone secret-stream: TCP, our own machine for the right bytes, and whatever wrong ones a probe writes beside it.
final class SecretTester {
    let machine: SecretStream
    /// Where the peer's events say what this stream is.
    private(set) var stream = JSON.null
    private let context: ProbeContext
    private let server: JSON
    private let descriptor: Int32
    /// Whole frames, length prefix included, that the machine wants sent and nobody has sent yet.
    private(set) var frames: [[UInt8]] = []
    private(set) var events: [SecretStream.Event] = []
    /// Everything that the peer sent, raw.
    private(set) var received: [UInt8] = []
    private(set) var hasPeerEnded = false

    /// Connects to a listener of the peer and does the handshake; afterwards our id header stands in `frames` unless `sendsHeader`.
    init(_ context: ProbeContext, receive: String = "events", channels: JSON? = nil, keepAlive: Int = 0, sendsHeader: Bool = true) throws {
        self.context = context
        var arguments: JSONObject = ["receive": .string(receive)]
        if keepAlive > 0 { arguments.set("keepAliveMilliseconds", .integer(keepAlive)) }
        if let channels { arguments.set("channels", channels) }
        let listener = try context.peer.request("secretStream.listen", arguments)
        guard let address = listener["address"]?.endpoint, let key = KeyPair(seed: [UInt8](repeating: 3, count: 32)) else {
            throw ProbeError("secretStream.listen told no address")
        }
        let server = try listener.handle("server")
        self.server = server
        context.afterwards { [context] in context.quietly("close", ["server": server]) }
        descriptor = try SecretTester.connect(address)
        machine = SecretStream(isInitiator: true, entropy: SeededEntropy(seed: UInt64(address.port)))
        machine.start(keyPair: key, at: .now)
        let deadline = Instant.now + .milliseconds(8000)
        while !machine.isOpen, .now < deadline {
            take()
            // The last handshake message and the id header leave together.
            if !machine.isOpen { try flush() }
            try read(20)
        }
        guard machine.isOpen else {
            throw PeerDeviation("handshake", expected: "complete", actual: events.isEmpty ? "nothing for 8 seconds" : "\(events)")
        }
        take()
        if sendsHeader { try flush() } else if frames.count > 1 { try send(frames.removeFirst()) }
        if sendsHeader { try adopt() }
    }

    /// Waits for the peer to tell of the connection.
    func adopt() throws {
        stream = try context.event("connection", seconds: 10, where: { $0["server"] == self.server }).handle("stream")
    }

    deinit { Foundation.close(descriptor) }

    private static func connect(_ address: Endpoint) throws -> Int32 {
        guard case .v4(let host) = address.address else { throw ProbeError("a tester speaks IPv4 only") }
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        var remote = sockaddr_in()
        remote.sin_family = sa_family_t(AF_INET)
        remote.sin_port = address.port.bigEndian
        remote.sin_addr.s_addr = host.bigEndian
        let result = withUnsafePointer(to: &remote) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw ProbeError("no TCP connection to \(address)") }
        return descriptor
    }

    /// Takes the machine's effects into `frames`, its events into `events`.
    private func take() {
        for effect in machine.takeEffects() { if case .write(let bytes) = effect { frames += SecretTester.split(bytes) } }
        events += machine.takeEvents()
    }

    private static func split(_ bytes: [UInt8]) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var rest = bytes[...]
        while rest.count >= 3 {
            let length = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8 | Int(rest[rest.startIndex + 2]) << 16
            frames.append(Array(rest.prefix(3 + length)))
            rest = rest.dropFirst(3 + length)
        }
        return frames
    }

    /// Sends raw bytes. False if the peer has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) throws -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress?.advanced(by: offset), bytes.count - offset) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            offset += count
        }
        return true
    }

    /// Sends all that the machine wants sent.
    func flush() throws {
        take()
        let all = frames.flatMap { $0 }
        frames = []
        if !all.isEmpty { try send(all) }
    }

    /// Frames of a message that is to be sent by hand.
    func seal(_ message: [UInt8]) throws -> [UInt8] {
        take()
        let before = frames.count
        try machine.write(message, at: .now)
        take()
        return frames.count > before ? frames.removeLast() : []
    }

    func takeFrames() -> [[UInt8]] {
        take()
        defer { frames = [] }
        return frames
    }

    func write(_ message: [UInt8]) throws { try send(seal(message)) }

    /// Ends our direction of TCP.
    func end() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Reads for a time.
    func read(_ milliseconds: Int64, until isDone: () -> Bool = { false }) throws {
        let deadline = Instant.now + .milliseconds(milliseconds)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !hasPeerEnded, !isDone() {
            let left = (deadline - .now).microseconds
            guard left > 0 else { return }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, Int32(clamping: (left + 999) / 1000)) > 0 else { continue }
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                hasPeerEnded = true
                break
            }
            received += buffer[..<count]
            machine.receive(Array(buffer[..<count]), at: .now)
            take()
        }
    }

    /// Plaintexts that arrived.
    var messages: [[UInt8]] { events.compactMap { if case .message(let bytes) = $0 { bytes } else { nil } } }

    // MARK: The peer's application

    /// What the peer's application read, once so many messages have arrived or the time is over.
    func delivered(_ count: Int, within seconds: Double = 3) -> [[UInt8]] {
        var result: [[UInt8]] = []
        while result.count < count, let event = try? context.peer.event("data", seconds: seconds, where: { $0["stream"] == self.stream }) {
            result.append(event["data"]?.string.flatMap { Hex.decode($0) } ?? [])
        }
        return result
    }

    /// The close event of the peer's stream, or nil.
    func closed(within seconds: Double = 3) -> JSON? {
        try? context.peer.event("close", seconds: seconds, where: { $0["stream"] == self.stream })
    }

    /// As `expectDestroyed`, for bytes so early that the peer may never have told of the connection.
    func expectRefused(_ field: String) throws {
        try read(3000)
        context.exam.require("\(field) destroyed", hasPeerEnded, "the connection is still open")
        let data = context.newEvents().filter { $0["event"]?.string == "data" }
        context.exam.equal("\(field) data", data.map { $0.text() }, [])
    }

    /// The peer's stream must fall; nothing of the tampered bytes may be delivered.
    func expectDestroyed(_ field: String) throws {
        let close = closed()
        context.exam.require("\(field) destroyed", close != nil, "the stream is still open")
        context.exam.require("\(field) with an error", close == nil || close?["error"]?.isNull == false, "a close in good order")
        context.exam.equal("\(field) data", delivered(1, within: 0.1), [])
    }
}
