import Logging
import SansIO
import UDX

/// A UDP socket that UDX streams use.
public struct UDXSocket: Hashable, Sendable {
    public let id: SocketID
    /// The bound address.
    public let local: Endpoint
}

/// A datagram that is no UDX packet of a live stream.
public struct ForeignDatagram: Hashable, Sendable {
    public let socket: SocketID
    public let source: Endpoint
    public let payload: [UInt8]
}

/// UDX over real sockets: one `UDXInstance`, one loop, any number of sockets and streams.
///
/// Unchecked: everything mutable belongs to the loop's thread, reached through `loop.submit` and `loop.perform` only.
public final class UDXSocketHost: LoopDriver, DatagramReceiver, @unchecked Sendable {
    private let loop: EventLoop
    private let instance: UDXInstance
    /// nil before the loop turns, and when it has ended.
    private var sockets: SocketSet?
    private var streams: [StreamID: UDXStream] = [:]
    private var nextSocket: UInt32 = 1
    private var flushes: [UInt64: Promise<Bool>] = [:]
    private var changes: [StreamID: Promise<Bool>] = [:]
    private var flushToken: UInt64 = 0
    private let options: DatagramOptions
    private var transmits: [Transmit] = []
    private var events: [UDXEvent] = []
    /// Datagrams for others than our streams; the newest 1024 are kept.
    public var foreign: Arrivals<ForeignDatagram> { strangers.arrivals }
    private let strangers = Mailbox<ForeignDatagram>(newest: 1024)
    private let logger: Logger

    public init(options: DatagramOptions = DatagramOptions(), limits: UDXLimits = UDXLimits(), logger: Logger = Loggers().udx) throws {
        self.options = options
        self.logger = logger
        loop = try EventLoop()
        instance = UDXInstance(entropy: SystemEntropy(), limits: limits)
        let loop = self.loop
        loop.submit {
            self.sockets = SocketSet(loop: loop, receiver: self)
            loop.add(self)
        }
    }

    /// Opens a socket; port 0 takes any free one.
    public func bind(_ local: Endpoint = .loopback(0)) async throws -> UDXSocket {
        try await loop.perform {
            guard let sockets = self.sockets else { throw EventLoopEnded() }
            let id = SocketID(self.nextSocket)
            self.nextSocket += 1
            return UDXSocket(id: id, local: try sockets.open(id, local, options: self.options))
        }
    }

    /// Closes a socket. Streams on it lose their path.
    public func unbind(_ socket: UDXSocket) async throws { try await loop.perform { self.sockets?.close(socket.id) } }

    /// Makes a stream that receives from now on. Without an id, a random one.
    public func createStream(
        id: StreamID? = nil, initialSequence: SequenceNumber = .zero, remoteSequence: SequenceNumber = .zero, firewall: FirewallRule = .none
    ) async throws -> UDXStream {
        try await loop.perform {
            guard self.sockets != nil else { throw EventLoopEnded() }
            let chosen = try self.instance.createStream(
                id: id, initialSequence: initialSequence, remoteSequence: remoteSequence, firewall: firewall, at: self.loop.now)
            let stream = UDXStream(id: chosen, host: self)
            self.streams[chosen] = stream
            return stream
        }
    }

    /// Sends a datagram that is no UDX packet.
    public func send(_ payload: [UInt8], on socket: UDXSocket, to destination: Endpoint, timeToLive: UInt8 = 0) async throws {
        try await loop.perform {
            var transmits = [Transmit(socket: socket.id, destination: destination, payload: payload, timeToLive: timeToLive)]
            self.sockets?.send(&transmits)
        }
    }

    /// Sums over all sockets.
    public func counters() async throws -> DatagramCounters { try await loop.perform { self.sockets?.counters ?? DatagramCounters() } }

    /// Destroys all streams, closes all sockets, ends the thread.
    public func close() async { await loop.stop() }

    // MARK: For streams

    func command<Result: Sendable>(_ body: @escaping @Sendable (UDXInstance, Instant) throws -> Result) async throws -> Result {
        try await loop.perform { try body(self.instance, self.loop.now) }
    }

    func write(_ stream: UDXStream, _ bytes: [UInt8]) {
        loop.submit {
            do {
                let isRoom = try self.instance.write(stream.id, bytes, now: self.loop.now)
                stream.outbox.taken(bytes.count, isFull: !isRoom)
            } catch {
                stream.outbox.taken(bytes.count, isFull: false)
                stream.outbox.close(error)
            }
        }
    }

    func setHeld(_ id: StreamID, _ count: Int) {
        if loop.isCurrent {
            try? instance.setHeldBytes(id, count, now: loop.now)
        } else {
            loop.submit { try? self.instance.setHeldBytes(id, count, now: self.loop.now) }
        }
    }

    func flush(_ stream: UDXStream) async throws {
        let promise = Promise<Bool>()
        try await loop.perform {
            self.flushToken += 1
            self.flushes[self.flushToken] = promise
            self.flushOwners[self.flushToken] = stream.id
            do { try self.instance.flush(stream.id, token: self.flushToken) } catch {
                self.flushes[self.flushToken] = nil
                self.flushOwners[self.flushToken] = nil
                throw error
            }
        }
        guard try await promise.value() else { throw StreamClosed() }
    }
    private var flushOwners: [UInt64: StreamID] = [:]

    func changeRemote(_ stream: UDXStream, _ socket: SocketID, _ remoteID: StreamID, _ remote: Endpoint) async throws {
        let promise = Promise<Bool>()
        try await loop.perform {
            if try self.instance.changeRemote(stream.id, socket, to: remoteID, at: remote, now: self.loop.now) {
                promise.fulfil(true)
            } else {
                self.changes[stream.id] = promise
            }
        }
        guard try await promise.value() else { throw StreamClosed() }
    }

    func destroy(_ stream: UDXStream) {
        loop.submit { try? self.instance.destroy(stream.id, now: self.loop.now) }
    }

    // MARK: The loop's turn

    func receive(_ bytes: [UInt8], _ range: Range<Int>, from source: Endpoint, on socket: SocketID) {
        if case .notForStream = instance.receive(bytes, range: range, from: source, on: socket, at: loop.now) {
            strangers.yield(ForeignDatagram(socket: socket, source: source, payload: Array(bytes[range])))
        }
    }

    func burst(begins: Bool) { if begins { instance.beginBurst() } else { instance.endBurst() } }

    func turn(now: Instant) -> Instant {
        instance.advance(to: now)
        instance.takeTransmits(into: &transmits)
        sockets?.send(&transmits)
        instance.takeEvents(into: &events)
        for event in events { handle(event) }
        events.removeAll(keepingCapacity: true)
        return instance.nextWakeUp
    }

    private func handle(_ event: UDXEvent) {
        guard let stream = streams[event.stream] else { return }
        switch event {
        case .data(_, let bytes): stream.inbox.push(bytes)
        case .message(_, let bytes): stream.unordered.yield(bytes)
        case .end: stream.inbox.finish(isRemoteEnd: true)
        case .drained: stream.outbox.drained()
        case .flushed(let id, let token):
            if flushOwners[token] == id {
                flushOwners[token] = nil
                flushes.removeValue(forKey: token)?.fulfil(true)
            }
        case .remoteChanged(let id): changes.removeValue(forKey: id)?.fulfil(true)
        case .firewall, .connected: break
        case .closed(let id, let reason):
            streams[id] = nil
            changes.removeValue(forKey: id)?.fulfil(false)
            for (token, owner) in flushOwners where owner == id {
                flushOwners[token] = nil
                flushes.removeValue(forKey: token)?.fulfil(false)
            }
            logger.debug("stream closed", metadata: ["stream": "\(id)", "reason": "\(reason)"])
            stream.didClose(reason)
        }
    }

    func loopEnded() {
        instance.destroyAll(at: loop.now)
        _ = turn(now: loop.now)
        for stream in streams.values { stream.didClose(.destroyed) }
        streams = [:]
        for promise in flushes.values { promise.fulfil(false) }
        for promise in changes.values { promise.fulfil(false) }
        sockets?.closeAll()
        sockets = nil
        strangers.finish()
    }
}
