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
public final class PeerConnection: AuthenticatedStream {
    public typealias Element = [UInt8]

    let id: ConnectionID
    private let driver: NodeDriver
    let inbox: Inbox
    let outbox = Outbox()
    public var messages: Arrivals<[UInt8]> { unordered.arrivals }
    let unordered = Mailbox<[UInt8]>(newest: 1024)
    private let opening = Promise<Result<ConnectionInfo, StreamFailure>>()
    private let ending = Promise<StreamFailure?>()
    private let current = Locked<ConnectionInfo?>(nil)
    private let found = Locked<[Bytes32]>([])

    /// The key that this end shows.
    public let publicKey: Bytes32
    /// The key of the other end. No other peer can be there: the handshake proves it before anything is handed out or sent.
    public let remotePublicKey: Bytes32
    /// Whether this end dialled.
    public let isInitiator: Bool

    init(id: ConnectionID, driver: NodeDriver, publicKey: Bytes32, remotePublicKey: Bytes32, isInitiator: Bool) {
        self.id = id
        self.driver = driver
        self.publicKey = publicKey
        self.remotePublicKey = remotePublicKey
        self.isInitiator = isInitiator
        inbox = Inbox(joins: false) { held in driver.post { $0.setHeldBytes(id, held) } }
    }

    convenience init(id: ConnectionID, driver: NodeDriver, info: ConnectionInfo) {
        self.init(
            id: id, driver: driver, publicKey: info.publicKey, remotePublicKey: info.remotePublicKey, isInitiator: info.isInitiator)
    }

    // MARK: Who

    /// Waits until the connection is open. Throws the reference's error code if it can't be made.
    @discardableResult
    public func opened() async throws -> ConnectionInfo { try await opening.value().get() }

    public func identity() async throws -> StreamIdentity {
        StreamIdentity(
            isInitiator: isInitiator, publicKey: publicKey, remotePublicKey: remotePublicKey,
            handshakeHash: try await opened().handshakeHash)
    }

    /// Addresses, stream ids and the handshake's hash, as of now. nil only for a `dial` that is not open yet.
    public var info: ConnectionInfo? { current.withLock { $0 } }
    /// 64 bytes, the same at both ends and different for every connection: what an application signs to prove more than the key. nil only for a `dial`
    /// that is not open yet.
    public var handshakeHash: [UInt8]? { info?.handshakeHash }
    /// Of a swarm's connection: topics under which we had found this peer when it connected. Empty where the peer found us. They prove nothing: see
    /// `prove(_:)`.
    public var topics: [Bytes32] { found.withLock { $0 } }

    // MARK: Bytes

    public func write(_ bytes: [UInt8]) async throws {
        try await outbox.room()
        _ = try writeNow(bytes)
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

    /// Counters and estimates of the stream under it; nil when it is closed.
    public func statistics() async throws -> StreamStatistics? { try await driver.command { [id] in $0.streamStatistics(of: id) } }

    /// Takes what arrives. One task at a time.
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
        unordered.finish()
        ending.fulfil(failure)
    }
}
