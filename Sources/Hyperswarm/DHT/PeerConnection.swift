import CompactEncoding
import HyperDHT
import SansIO
import UDX

/// An encrypted connection with one peer, made by `connect` or taken by a server or a swarm.
///
///     for try await message in connection { ... }
///     try await connection.write(bytes)
///
/// Iterating yields messages as the other side wrote them. Messages written before the connection is open wait for it.
public final class PeerConnection: DuplexStream {
    public typealias Element = [UInt8]

    let id: ConnectionID
    private let driver: NodeDriver
    let inbox: Inbox
    let outbox = Outbox()
    /// Unordered messages; the newest 1024 that nobody has taken yet are kept.
    public let messages: AsyncStream<[UInt8]>
    let messageSink: AsyncStream<[UInt8]>.Continuation
    private let opening = Promise<Result<ConnectionInfo, StreamFailure>>()
    private let ending = Promise<StreamFailure?>()
    private let current = Locked<ConnectionInfo?>(nil)
    private let found = Locked<[Bytes32]>([])

    init(id: ConnectionID, driver: NodeDriver) {
        self.id = id
        self.driver = driver
        inbox = Inbox(joins: false) { held in driver.post { $0.setHeldBytes(id, held) } }
        (messages, messageSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1024))
    }

    // MARK: Who

    /// Waits until the connection is open. Throws the reference's error code if it can't be made.
    @discardableResult
    public func opened() async throws -> ConnectionInfo { try await opening.value().get() }

    /// What is known now; nil before the connection is open.
    public var info: ConnectionInfo? { current.withLock { $0 } }
    public var publicKey: Bytes32? { info?.publicKey }
    /// Authenticated by the handshake.
    public var remotePublicKey: Bytes32? { info?.remotePublicKey }
    /// 64 bytes, the same at both ends and different for every connection: what an application signs to prove more than the key.
    public var handshakeHash: [UInt8]? { info?.handshakeHash }
    public var isInitiator: Bool? { info?.isInitiator }
    /// Of a swarm's connection: topics under which we had found this peer when it connected.
    public var topics: [Bytes32] { found.withLock { $0 } }

    // MARK: Bytes

    public func write(_ bytes: [UInt8]) async throws {
        if try !writeNow(bytes) { try await outbox.room() }
    }

    public func writeNow(_ bytes: [UInt8]) throws -> Bool {
        try outbox.admit(bytes.count)
        driver.post { [id, outbox] node in outbox.taken(bytes.count, isFull: !node.write(id, bytes)) }
        return !outbox.mustWait
    }

    public func waitForRoom() async throws { try await outbox.room() }

    public func finish() async throws {
        try await driver.command { [id] in $0.end(id) }
    }

    public func flush() async throws {
        guard try await driver.flush(id) else { throw StreamClosed() }
    }

    public func send(_ message: [UInt8]) async throws {
        guard try await driver.command({ [id] in $0.send(id, message: message) }) else {
            throw StreamFailure(code: "STREAM_NOT_CONNECTED", message: "the connection is not open: wait for opened()")
        }
    }

    /// An empty message now, to see whether the path still works.
    public func sendKeepAlive() { driver.post { [id] in $0.sendKeepAlive(id) } }

    /// nil turns keepalives off.
    public func setKeepAlive(_ interval: Interval?) { driver.post { [id] in $0.setKeepAlive(id, interval) } }

    public var hasRemoteEnded: Bool { inbox.hasRemoteEnded }

    public func destroy() { driver.post { [id] in $0.destroy(id) } }

    public func closed() async throws -> StreamFailure? { try await ending.value() }

    public func statistics() async throws -> StreamStatistics? { try await driver.command { [id] in $0.streamStatistics(of: id) } }

    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let inbox: Inbox
        public mutating func next() async throws -> [UInt8]? { try await inbox.next() }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(inbox: inbox) }

    // MARK: On the loop

    func didOpen(_ info: ConnectionInfo) {
        current.withLock { $0 = info }
        opening.fulfil(.success(info))
    }

    func didJoin(topics: [Bytes32]) { found.withLock { $0 = topics } }

    func didMove(_ remote: Endpoint, _ isRelayed: Bool) {
        current.withLock {
            $0?.remoteAddress = remote
            $0?.isRelayed = isRelayed
        }
    }

    func didClose(_ failure: StreamFailure?) {
        opening.fulfil(
            .failure(failure ?? StreamFailure(code: "PEER_CONNECTION_FAILED", message: "the connection was closed before it was open")))
        inbox.finish(failure)
        outbox.close(failure)
        messageSink.finish()
        ending.fulfil(failure)
    }
}
