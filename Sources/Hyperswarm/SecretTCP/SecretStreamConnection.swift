import CompactEncoding
import HyperCrypto
import Noise
import SansIO
import SecretStream

/// A stand-alone secret-stream over one TCP connection, without a DHT: for services that know each other's address.
///
/// Unchecked: what is mutable belongs to the loop's thread, reached through `loop.submit` and `loop.perform` only.
public final class SecretStreamConnection: AuthenticatedStream, @unchecked Sendable {
    public typealias Element = [UInt8]

    /// Who is at the other end, once the handshake is done.
    public struct Info: Hashable, Sendable {
        /// Whether this end connected.
        public let isInitiator: Bool
        /// Ours.
        public let publicKey: Bytes32
        public let remotePublicKey: Bytes32?
        /// 64 bytes.
        public let handshakeHash: [UInt8]
        public let remoteAddress: Endpoint
    }

    private let loop: EventLoop
    private let machine: SecretStream
    private let socket: TCPSocket
    private let keyPair: KeyPair
    private let expected: Bytes32?
    private var inbox: Inbox?
    private let outbox = Outbox()
    private let opening = Promise<Result<Info, StreamFailure>>()
    private let ending = Promise<StreamFailure?>()
    private var flushes: [Promise<Bool>] = []
    private var isFull = false
    private var isPaused = false
    private weak var host: SecretStreamHost?
    /// TCP carries no datagrams: always empty.
    public let messages: Arrivals<[UInt8]>

    private static let queueMark = 1 << 18
    private static let heldMark = 1 << 20

    init(
        socket: TCPSocket, isInitiator: Bool, keyPair: KeyPair, remotePublicKey: Bytes32?, options: SecretStreamOptions,
        host: SecretStreamHost,
        loop: EventLoop
    ) {
        self.loop = loop
        self.socket = socket
        self.keyPair = keyPair
        self.host = host
        expected = remotePublicKey
        var configuration = SecretStream.Configuration()
        configuration.pattern = options.pattern
        configuration.keepAlive = options.keepAlive
        configuration.timeout = options.timeout
        configuration.expectedRemotePublicKey = remotePublicKey
        let entropy = SecretRecorder()
        entropy.standAlone = (options.pattern.rawValue, isInitiator, keyPair, remotePublicKey)
        machine = SecretStream(isInitiator: isInitiator, configuration: configuration, entropy: entropy)
        messages = .none
        inbox = Inbox(joins: false) { [weak self] held in
            guard let self else { return }
            self.loop.submit { self.hold(held) }
        }
        // The socket may outlive the connection: the other side may still be to end when both machines are done.
        socket.handle = { [weak self] event in self?.handle(event) }
        if !isInitiator { start() }
    }

    // MARK: For everybody

    /// Waits for the handshake.
    public func info() async throws -> Info { try await opening.value().get() }

    public func identity() async throws -> StreamIdentity {
        let info = try await info()
        guard let remote = info.remotePublicKey else {
            throw StreamFailure(code: "STREAM_FAILED", message: "the handshake's pattern proves no key: use XX or IK")
        }
        return StreamIdentity(
            isInitiator: info.isInitiator, publicKey: info.publicKey, remotePublicKey: remote, handshakeHash: info.handshakeHash)
    }

    public func write(_ bytes: [UInt8]) async throws {
        try await outbox.room()
        _ = try writeNow(bytes)
    }

    public func writeNow(_ bytes: [UInt8]) throws -> Bool {
        try outbox.admit(bytes.count)
        loop.submit {
            do {
                try self.machine.write(bytes, at: self.loop.now)
                self.pump()
            } catch { self.outbox.close(error) }
            self.isFull = self.socket.queuedBytes > SecretStreamConnection.queueMark
            self.outbox.taken(bytes.count, isFull: self.isFull)
        }
        return !outbox.mustWait
    }

    public func waitForRoom() async throws { try await outbox.room() }

    public func finish() async throws {
        try await loop.perform {
            self.machine.end(at: self.loop.now)
            self.pump()
        }
    }

    /// Returns when the kernel has taken everything: TCP tells no more.
    public func flush() async throws {
        let promise = Promise<Bool>()
        try await loop.perform {
            if self.socket.queuedBytes == 0, self.machine.queuedBytes == 0 { promise.fulfil(true) } else { self.flushes.append(promise) }
        }
        guard try await promise.value() else { throw StreamClosed() }
    }

    /// TCP carries no unordered messages.
    public func send(_ message: [UInt8]) async throws {
        throw StreamFailure(code: "STREAM_FAILED", message: "TCP carries no unordered messages: use write")
    }

    public var hasRemoteEnded: Bool { inbox?.hasRemoteEnded ?? false }

    public func destroy() {
        loop.submit {
            self.machine.destroy()
            self.pump()
        }
    }

    public func closed() async throws -> StreamFailure? { try await ending.value() }

    /// Takes what arrives. One task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let inbox: Inbox?
        public mutating func next() async throws -> [UInt8]? { try await inbox?.next() }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(inbox: inbox) }

    // MARK: On the loop

    private func start() {
        machine.start(keyPair: keyPair, remotePublicKey: expected, at: loop.now)
        pump()
    }

    private func handle(_ event: TCPSocket.Event) {
        switch event {
        case .connected: start()
        case .received(let bytes): machine.receive(bytes, at: loop.now)
        case .ended: machine.receiveEnd(at: loop.now)
        case .drained:
            if isFull {
                isFull = false
                outbox.drained()
            }
            for flush in flushes { flush.fulfil(true) }
            flushes = []
        case .closed(let error): machine.rawClosed(error.map { "\($0)" })
        }
        pump()
    }

    private func hold(_ held: Int) {
        let pause = held > SecretStreamConnection.heldMark
        if pause != isPaused {
            isPaused = pause
            socket.setReading(!pause)
        }
    }

    func advance(to now: Instant) -> Instant {
        if machine.nextWakeUp <= now {
            machine.advance(to: now)
            pump()
        }
        return machine.nextWakeUp
    }

    private func pump() {
        while machine.hasOutput {
            for effect in machine.takeEffects() {
                switch effect {
                case .write(let bytes): socket.write(bytes)
                case .sendUnordered: break
                case .end: socket.end()
                case .destroy: socket.destroy()
                }
            }
            for event in machine.takeEvents() {
                switch event {
                case .opened(let remote):
                    opening.fulfil(
                        .success(
                            Info(
                                isInitiator: machine.isInitiator, publicKey: keyPair.publicKey, remotePublicKey: remote,
                                handshakeHash: machine.handshakeHash ?? [], remoteAddress: socket.remote)))
                case .message(let bytes): inbox?.push(bytes)
                case .unordered: break
                case .end(let error): inbox?.finish(error.map { failure($0) }, isRemoteEnd: error == nil)
                case .closed(let error): close(error)
                }
            }
        }
    }

    private func failure(_ error: SecretStreamError) -> StreamFailure {
        let code =
            switch error.kind {
            case .timedOut: "ETIMEDOUT"
            case .rawStreamFailed: "ECONNRESET"
            default: "STREAM_FAILED"
            }
        return StreamFailure(code: code, message: error.description)
    }

    private func close(_ error: SecretStreamError?) {
        let failure = error.flatMap { $0.kind == .destroyed ? nil : self.failure($0) }
        opening.fulfil(
            .failure(failure ?? StreamFailure(code: "STREAM_FAILED", message: "the stream closed before its handshake was done")))
        inbox?.finish(failure)
        outbox.close(failure)
        for flush in flushes { flush.fulfil(false) }
        flushes = []
        ending.fulfil(failure)
        host?.remove(self)
    }

    func loopEnded() {
        machine.destroy()
        pump()
    }
}
