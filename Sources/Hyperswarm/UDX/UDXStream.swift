import SansIO
import UDX

/// One plain UDX stream: an ordered, reliable sequence of bytes both ways, and unordered messages.
///
///     for try await chunk in stream { ... }
///     try await stream.write(bytes)
///     try await stream.finish()
///
/// Iterating takes whatever has arrived; the window closes while nobody takes.
public final class UDXStream: DuplexStream {
    public typealias Element = [UInt8]

    /// Ours: what the peer puts into its packets.
    public let id: StreamID
    private let host: UDXSocketHost
    let inbox: Inbox
    let outbox = Outbox()
    public var messages: Arrivals<[UInt8]> { unordered.arrivals }
    let unordered = Mailbox<[UInt8]>(newest: 1024)
    private let closing = Promise<CloseReason>()

    init(id: StreamID, host: UDXSocketHost) {
        self.id = id
        self.host = host
        inbox = Inbox(joins: true) { [weak host] held in host?.setHeld(id, held) }
    }

    /// Tells the stream where its peer is. Sends nothing by itself.
    public func connect(_ socket: UDXSocket, to remoteID: StreamID, at remote: Endpoint) async throws {
        try await host.command { instance, now in try instance.connect(self.id, socket.id, to: remoteID, at: remote, now: now) }
    }

    /// Moves the stream to another remote; returns when the peer has acknowledged all that went to the old one.
    public func changeRemote(_ socket: UDXSocket, to remoteID: StreamID, at remote: Endpoint) async throws {
        try await host.changeRemote(self, socket.id, remoteID, remote)
    }

    /// Sets both sides' first sequence numbers, before anything was sent or received.
    public func setSequences(initial: SequenceNumber, remote: SequenceNumber) async throws {
        try await host.command { instance, _ in try instance.setSequences(self.id, initial: initial, remote: remote) }
    }

    public func write(_ bytes: [UInt8]) async throws {
        try await outbox.room()
        _ = try writeNow(bytes)
    }

    public func writeNow(_ bytes: [UInt8]) throws -> Bool {
        try outbox.admit(bytes.count)
        host.write(self, bytes)
        return !outbox.mustWait
    }

    public func waitForRoom() async throws { try await outbox.room() }

    public func finish() async throws {
        try await host.command { instance, now in _ = try instance.end(self.id, now: now) }
    }

    /// Returns when the peer has acknowledged all bytes written before; throws if the stream closes first.
    public func flush() async throws { try await host.flush(self) }

    /// Sends one unordered message, at once. It may be lost.
    public func send(_ message: [UInt8]) async throws {
        try await host.command { instance, now in try instance.send(self.id, message: message, now: now) }
    }

    /// What arrives for this stream goes out by `target`.
    public func relay(to target: UDXStream) async throws {
        try await host.command { instance, _ in try instance.relay(self.id, to: target.id) }
    }

    public var hasRemoteEnded: Bool { inbox.hasRemoteEnded }

    /// Tears the stream down at once; a connected peer is told.
    public func destroy() { host.destroy(self) }

    /// How the stream came to its end; waits for it.
    public func closeReason() async throws -> CloseReason { try await closing.value() }

    public func closed() async throws -> StreamFailure? { StreamFailure(try await closing.value()) }

    /// Counters and estimates; nil when the stream is closed.
    public func statistics() async throws -> StreamStatistics? {
        try await host.command { instance, _ in instance.statistics(of: self.id) }
    }

    func didClose(_ reason: CloseReason) {
        let error = StreamFailure(reason)
        inbox.finish(error)
        outbox.close(error)
        unordered.finish()
        closing.fulfil(reason)
    }

    /// Takes what arrives. One task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let inbox: Inbox
        public mutating func next() async throws -> [UInt8]? { try await inbox.next() }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(inbox: inbox) }
}

extension StreamFailure {
    /// nil for an end in good order, and for our own `destroy`.
    init?(_ reason: CloseReason) {
        switch reason {
        case .reset: self.init(code: "ECONNRESET", message: "the peer destroyed the stream")
        case .timedOut: self.init(code: "ETIMEDOUT", message: "the peer acknowledges nothing any more")
        case .finished, .destroyed, .relayClosed: return nil
        }
    }
}
