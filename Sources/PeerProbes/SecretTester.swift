import CompactEncoding
import Conformance
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
    private let tcp: TCPTester
    /// Whole frames, length prefix included, that the machine wants sent and nobody has sent yet.
    private(set) var frames: [[UInt8]] = []
    private(set) var events: [SecretStream.Event] = []
    /// Everything that the peer sent, raw.
    private(set) var received: [UInt8] = []
    var hasPeerEnded: Bool { tcp.hasPeerEnded }

    /// Connects to a listener of the peer and does the handshake; afterwards our id header stands in `frames` unless `sendsHeader`.
    init(_ context: ProbeContext, receive: String = "events", channels: JSON? = nil, keepAlive: Int = 0, sendsHeader: Bool = true) throws {
        self.context = context
        var arguments: JSONObject = ["receive": .string(receive)]
        if keepAlive > 0 { arguments.set("keepAliveMilliseconds", .integer(keepAlive)) }
        if let channels { arguments.set("channels", channels) }
        let (server, address) = try context.listen(arguments)
        self.server = server
        guard let key = KeyPair(seed: [UInt8](repeating: 3, count: 32)) else { throw ProbeError("no key") }
        tcp = try TCPTester(address)
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

    /// Sends raw bytes.
    func send(_ bytes: [UInt8]) throws { tcp.send(bytes) }

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
    func end() { tcp.end() }

    /// Reads for a time.
    func read(_ milliseconds: Int64, until isDone: () -> Bool = { false }) throws {
        let deadline = Instant.now + .milliseconds(milliseconds)
        while !hasPeerEnded, !isDone(), .now < deadline {
            let bytes = tcp.receive(until: deadline)
            guard !bytes.isEmpty else { continue }
            received += bytes
            machine.receive(bytes, at: .now)
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
