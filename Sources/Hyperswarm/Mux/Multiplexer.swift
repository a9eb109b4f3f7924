import CompactEncoding
import HyperCrypto
import Logging
import Protomux

/// Protomux over any message-preserving stream: many named channels on one connection.
///
///     let mux = Multiplexer(connection)
///     let channel = try mux.open(ChannelOptions(ChannelKey("chat"), messageCount: 1))
///     for await message in channel.messages { ... }
///
/// Messages that wait to be taken hold the whole connection back, once all channels together hold 4 MiB: take them, or close the channel.
///
/// Unchecked: the machine is reached only inside the lock.
public final class Multiplexer: @unchecked Sendable {
    private struct State {
        let machine = Protomux()
        var channels: [ChannelHandle: MuxChannel] = [:]
        var isPaused = false
        /// The stream is closed.
        var isOver = false
    }

    private let state = Locked(State())
    private let writeNow: @Sendable ([UInt8]) throws -> Bool
    private let waitForRoom: @Sendable () async throws -> Void
    private let endStream: @Sendable () async throws -> Void
    private let destroyStream: @Sendable () -> Void
    private let resumed = Locked<[Promise<Bool>]>([])
    private let held = HeldMessages(limit: 4 << 20)
    /// Channels that the other side wants and nobody here has opened, if `listen` asked for them.
    public var requests: Arrivals<OpenRequest> { requested.arrivals }
    private let requested = Mailbox<OpenRequest>()
    /// What the other side wanted to open and nobody here had, as it is refused.
    public var refused: Arrivals<ChannelKey> { turnedAway.arrivals }
    private let turnedAway = Mailbox<ChannelKey>(newest: 64)
    private let observe: (@Sendable ([UInt8]) -> Void)?
    private let logger: Logger

    /// Takes over the stream: nobody else may read from it or write to it. `observe` sees every message that arrives.
    ///
    /// Channels that are named here are open before anything is read, so that the other side's open can't come too early and be refused.
    public convenience init(
        _ stream: some DuplexStream, opening options: [(ChannelOptions, handshake: [UInt8])] = [],
        logger: Logger = Loggers().protomux, observe: (@Sendable ([UInt8]) -> Void)? = nil
    ) throws {
        try self.init(stream, options.map { Opening(options: $0.0, handshake: $0.handshake) }, logger, observe)
    }

    /// Takes over the stream, and opens channels that exist only for those who know their secret: one connection may then serve several topics, and a peer is let
    /// into just those of which it is a member.
    ///
    ///     let mux = try await Multiplexer(connection, guarded: [(ChannelOptions(ChannelKey("chat"), messageCount: 1), capability)])
    ///     let channel = mux.opened[0]
    ///     _ = try await channel.opened()      // throws CAPABILITY_REFUSED for a stranger
    ///
    /// The channel's id is made of the secret and this connection, so a stranger does not even learn which topic it is; an id that is given is ignored.
    /// Nothing can be sent before the other side has proven that it is a member, and nothing it sent before is handed out.
    public convenience init(
        _ stream: some AuthenticatedStream, guarded: [(ChannelOptions, Capability)], logger: Logger = Loggers().protomux
    ) async throws {
        let identity = try await stream.identity()
        try self.init(
            stream,
            guarded.map { options, capability in
                var options = options
                options.key = ChannelKey(options.key.protocolName, id: capability.channelID(identity).bytes)
                return Opening(
                    options: options, handshake: capability.proof(identity).bytes, expected: capability.proof(identity, byRemote: true))
            }, logger, nil)
    }

    private struct Opening {
        let options: ChannelOptions
        let handshake: [UInt8]
        /// The other side's handshake, where only that one will do.
        var expected: Bytes32?
    }

    private init(
        _ stream: some DuplexStream, _ openings: [Opening], _ logger: Logger, _ observe: (@Sendable ([UInt8]) -> Void)?
    ) throws {
        self.logger = logger
        writeNow = { try stream.writeNow($0) }
        waitForRoom = { try await stream.waitForRoom() }
        endStream = { try await stream.finish() }
        destroyStream = { stream.destroy() }
        self.observe = observe
        for opening in openings {
            opened.append(
                try add(opening.options.key, expecting: opening.expected) { machine throws(ProtomuxError) in
                    try machine.open(opening.options, handshake: opening.handshake)
                })
        }
        Task { await self.read(stream) }
    }

    /// The channels that were opened with the multiplexer, in order.
    public private(set) var opened: [MuxChannel] = []

    private func read(_ stream: some DuplexStream) async {
        // While reading is held back nobody would notice that the stream has broken.
        let watch = Task {
            _ = try? await stream.closed()
            held.end()
            state.withLock { $0.isOver = true }
            unpause()
        }
        defer { watch.cancel() }
        do {
            for try await message in stream {
                observe?(message)
                try perform { $0.receive(message) }
                try await held.room()
                while state.withLock({ $0.isPaused && !$0.isOver }) {
                    let promise = Promise<Bool>()
                    resumed.withLock { $0.append(promise) }
                    if state.withLock({ $0.isPaused && !$0.isOver }) { _ = try await promise.value() }
                }
            }
            try perform { $0.receiveEnd() }
        } catch { try? perform { $0.carrierClosed() } }
        requested.finish()
        turnedAway.finish()
    }

    private func unpause() {
        let waiting = resumed.withLock { list in
            defer { list = [] }
            return list
        }
        for promise in waiting { promise.fulfil(true) }
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
                    unpause()
                case .end:
                    let end = endStream
                    Task { try? await end() }
                case .destroy: destroyStream()
                }
            }
            for event in state.machine.takeEvents() {
                switch event {
                case .opened(let handle, let handshake):
                    guard let channel = state.channels[handle] else { break }
                    if channel.admits(handshake) {
                        logger.debug("channel open", metadata: ["protocol": "\(channel.key.protocolName)"])
                        channel.didOpen(handshake)
                    } else {
                        logger.debug("capability refused", metadata: ["protocol": "\(channel.key.protocolName)"])
                        state.channels[handle] = nil
                        channel.didClose(false, isRefused: true)
                        state.machine.close(handle)
                    }
                case .message(let handle, let type, let payload):
                    state.channels[handle]?.didReceive(MuxChannel.Message(type: type, payload: payload))
                case .closed(let handle, let byRemote):
                    // What ends with the connection was not refused.
                    state.channels.removeValue(forKey: handle)?.didClose(byRemote, isRefused: byRemote && !state.machine.isEnded)
                case .requested(let request): requested.yield(request)
                case .withdrawn: break
                case .ended:
                    for channel in state.channels.values { channel.didClose(true, isRefused: false) }
                    state.channels = [:]
                }
            }
        }
        for key in state.machine.takeRefused() { turnedAway.yield(key) }
    }

    // MARK: Channels

    /// Opens a channel. Messages may be sent at once; they reach the other side if it opens the same channel.
    public func open(_ options: ChannelOptions, handshake: [UInt8] = []) throws -> MuxChannel {
        try add(options.key) { machine throws(ProtomuxError) in try machine.open(options, handshake: handshake) }
    }

    private func add(
        _ key: ChannelKey, expecting expected: Bytes32? = nil, _ open: (Protomux) throws(ProtomuxError) -> ChannelHandle
    ) throws -> MuxChannel {
        try state.withLock { state in
            let handle = try open(state.machine)
            let channel = MuxChannel(handle: handle, key: key, mux: self, expected: expected, held: held)
            state.channels[handle] = channel
            settle(&state)
            return channel
        }
    }

    /// Asks for `requests` of this key; without an id, of every id of the protocol.
    public func listen(for key: ChannelKey) { state.withLock { $0.machine.listen(for: key) } }

    /// Opens the channel that the other side asked for.
    public func accept(_ request: OpenRequest, _ options: ChannelOptions, handshake: [UInt8] = []) throws -> MuxChannel {
        try add(options.key) { machine throws(ProtomuxError) in try machine.accept(request, options, handshake: handshake) }
    }

    /// Tells the other side that it will not get the channel.
    public func reject(_ request: OpenRequest) {
        try? perform { $0.reject(request) }
    }

    /// Messages between cork and uncork go out as one.
    public func cork() { state.withLock { $0.machine.cork() } }
    /// Sends what was held back since `cork`.
    public func uncork() { try? perform { $0.uncork() } }

    func send(_ handle: ChannelHandle, type: UInt64, _ payload: [UInt8]) throws {
        guard try perform({ try $0.send(handle, type: type, payload) }) else { throw StreamClosed() }
    }

    func room() async throws { try await waitForRoom() }

    func close(_ handle: ChannelHandle) { try? perform { $0.close(handle) } }
}
