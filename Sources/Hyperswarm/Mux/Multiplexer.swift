import CompactEncoding
import Protomux

/// Protomux over any message-preserving stream: many named channels on one connection.
///
///     let mux = Multiplexer(connection)
///     let channel = try mux.open(ChannelOptions(ChannelKey("chat"), messageCount: 1))
///     for await message in channel.messages { ... }
///
/// Unchecked: the machine is reached only inside the lock.
public final class Multiplexer: @unchecked Sendable {
    private struct State {
        let machine = Protomux()
        var channels: [ChannelHandle: MuxChannel] = [:]
        var isPaused = false
    }

    private let state = Locked(State())
    private let writeNow: @Sendable ([UInt8]) throws -> Bool
    private let waitForRoom: @Sendable () async throws -> Void
    private let endStream: @Sendable () async throws -> Void
    private let destroyStream: @Sendable () -> Void
    private let resumed = Locked<[Promise<Bool>]>([])
    /// Channels that the other side wants and nobody here has opened, if `listen` asked for them.
    public let requests: AsyncStream<OpenRequest>
    private let requestSink: AsyncStream<OpenRequest>.Continuation
    /// What the other side wanted to open and nobody here had, as it is refused.
    public let refused: AsyncStream<ChannelKey>
    private let refusedSink: AsyncStream<ChannelKey>.Continuation
    private let observe: (@Sendable ([UInt8]) -> Void)?

    /// Takes over the stream: nobody else may read from it or write to it. `observe` sees every message that arrives.
    public init(
        _ stream: some DuplexStream, opening options: [(ChannelOptions, handshake: [UInt8])] = [],
        observe: (@Sendable ([UInt8]) -> Void)? = nil
    ) throws {
        writeNow = { try stream.writeNow($0) }
        waitForRoom = { try await stream.waitForRoom() }
        endStream = { try await stream.finish() }
        destroyStream = { stream.destroy() }
        self.observe = observe
        (requests, requestSink) = AsyncStream.makeStream()
        (refused, refusedSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
        for (option, handshake) in options { opened.append(try open(option, handshake: handshake)) }
        Task { await self.read(stream) }
    }

    /// The channels that were opened with the multiplexer, in order.
    public private(set) var opened: [MuxChannel] = []

    private func read(_ stream: some DuplexStream) async {
        do {
            for try await message in stream {
                observe?(message)
                try perform { $0.receive(message) }
                while state.withLock({ $0.isPaused }) {
                    let promise = Promise<Bool>()
                    resumed.withLock { $0.append(promise) }
                    if state.withLock({ $0.isPaused }) { _ = try await promise.value() }
                }
            }
            try perform { $0.receiveEnd() }
        } catch { try? perform { $0.carrierClosed() } }
        requestSink.finish()
        refusedSink.finish()
    }

    /// Runs the machine and carries out what it wants, in order.
    @discardableResult
    private func perform<Result>(_ body: (Protomux) throws -> Result) throws -> Result {
        try state.withLock { state in
            defer { settle(&state) }
            return try body(state.machine)
        }
    }

    private func settle(_ state: inout State) {
        while state.machine.hasOutput {
            for effect in state.machine.takeEffects() {
                switch effect {
                case .send(let bytes): _ = try? writeNow(bytes)
                case .pause: state.isPaused = true
                case .resume:
                    state.isPaused = false
                    for promise in resumed.withLock({ list in
                        defer { list = [] }
                        return list
                    }) { promise.fulfil(true) }
                case .end:
                    let end = endStream
                    Task { try? await end() }
                case .destroy: destroyStream()
                }
            }
            for event in state.machine.takeEvents() {
                switch event {
                case .opened(let handle, let handshake): state.channels[handle]?.didOpen(handshake)
                case .message(let handle, let type, let payload):
                    state.channels[handle]?.sink.yield(MuxChannel.Message(type: type, payload: payload))
                case .closed(let handle, let byRemote): state.channels.removeValue(forKey: handle)?.didClose(byRemote)
                case .requested(let request):
                    requestSink.yield(request)
                case .withdrawn: break
                case .ended:
                    for channel in state.channels.values { channel.didClose(true) }
                    state.channels = [:]
                }
            }
        }
        for key in state.machine.takeRefused() { refusedSink.yield(key) }
    }

    // MARK: Channels

    /// Opens a channel. Messages may be sent at once; they reach the other side if it opens the same channel.
    public func open(_ options: ChannelOptions, handshake: [UInt8] = []) throws -> MuxChannel {
        try state.withLock { state in
            let handle = try state.machine.open(options, handshake: handshake)
            let channel = MuxChannel(handle: handle, key: options.key, mux: self)
            state.channels[handle] = channel
            settle(&state)
            return channel
        }
    }

    /// Asks for `requests` of this key; without an id, of every id of the protocol.
    public func listen(for key: ChannelKey) { state.withLock { $0.machine.listen(for: key) } }

    public func accept(_ request: OpenRequest, _ options: ChannelOptions, handshake: [UInt8] = []) throws -> MuxChannel {
        try state.withLock { state in
            let handle = try state.machine.accept(request, options, handshake: handshake)
            let channel = MuxChannel(handle: handle, key: options.key, mux: self)
            state.channels[handle] = channel
            settle(&state)
            return channel
        }
    }

    public func reject(_ request: OpenRequest) {
        try? perform { $0.reject(request) }
    }

    /// Messages between cork and uncork go out as one.
    public func cork() { state.withLock { $0.machine.cork() } }
    public func uncork() { try? perform { $0.uncork() } }

    func send(_ handle: ChannelHandle, type: UInt64, _ payload: [UInt8]) throws {
        guard try perform({ try $0.send(handle, type: type, payload) }) else { throw StreamClosed() }
    }

    func room() async throws { try await waitForRoom() }

    func close(_ handle: ChannelHandle) { try? perform { $0.close(handle) } }
}

/// One channel of a multiplexer.
public final class MuxChannel: Sendable {
    public struct Message: Hashable, Sendable {
        public let type: UInt64
        public let payload: [UInt8]

        public init(type: UInt64 = 0, payload: [UInt8]) {
            self.type = type
            self.payload = payload
        }
    }

    let handle: ChannelHandle
    public let key: ChannelKey
    private let mux: Multiplexer
    public let messages: AsyncStream<Message>
    let sink: AsyncStream<Message>.Continuation
    private let opening = Promise<[UInt8]?>()
    private let closing = Promise<Bool>()

    init(handle: ChannelHandle, key: ChannelKey, mux: Multiplexer) {
        self.handle = handle
        self.key = key
        self.mux = mux
        (messages, sink) = AsyncStream.makeStream()
    }

    /// Waits for the other side; its handshake, or nil if the channel closed before.
    public func opened() async throws -> [UInt8]? { try await opening.value() }
    /// Waits for the end: whether the other side closed or refused it.
    public func closed() async throws -> Bool { try await closing.value() }

    /// Sends a message; returns when the connection has room for more.
    public func send(type: UInt64 = 0, _ payload: [UInt8]) async throws {
        try mux.send(handle, type: type, payload)
        try await mux.room()
    }

    /// Sends a message without waiting.
    public func sendNow(type: UInt64 = 0, _ payload: [UInt8]) throws { try mux.send(handle, type: type, payload) }

    public func close() { mux.close(handle) }

    func didOpen(_ handshake: [UInt8]) { opening.fulfil(handshake) }

    func didClose(_ byRemote: Bool) {
        opening.fulfil(nil)
        closing.fulfil(byRemote)
        sink.finish()
    }
}
