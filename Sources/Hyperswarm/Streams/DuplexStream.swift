import CompactEncoding

/// Any stream of this package: plain UDX, an encrypted connection over the DHT, a secret-stream over TCP.
///
/// Iterating yields what arrives: pieces of a byte stream, or whole messages of an encrypted one. It ends when the other side has ended, and throws
/// when the stream breaks. One task may iterate at a time. While nobody iterates, the other side is held back.
///
/// Every function that waits ends with `CancellationError` when its task is cancelled. The stream itself lives on: `destroy()` ends it.
public protocol DuplexStream: AsyncSequence, Sendable where Element == [UInt8] {
    /// Waits until there is room, then queues the bytes. When it throws, `CancellationError` or another, nothing of them was or will be sent.
    func write(_ bytes: [UInt8]) async throws
    /// Queues bytes without waiting. False: call `waitForRoom` before writing more.
    func writeNow(_ bytes: [UInt8]) throws -> Bool
    /// Returns when a write would be queued at once.
    func waitForRoom() async throws
    /// No more bytes from this side. The other side may go on.
    func finish() async throws
    /// Returns when the other side has all bytes written before; throws if the stream closes first.
    func flush() async throws
    /// One unordered message, at once. It may be lost.
    func send(_ message: [UInt8]) async throws
    /// Unordered messages that arrived; the newest 1024 that nobody has taken yet are kept.
    var messages: Arrivals<[UInt8]> { get }
    /// Tears the stream down at once.
    func destroy()
    /// Whether the other side has ended: what the end of the sequence does not tell from our own `destroy`.
    var hasRemoteEnded: Bool { get }
    /// Waits for the end; nil for one in good order.
    func closed() async throws -> StreamFailure?
}

extension DuplexStream {
    /// Writes a text as UTF-8. See `write(_:)`.
    public func write(_ text: String) async throws { try await write(Array(text.utf8)) }
}

/// A stream whose handshake proves to each end which public key the other one holds.
public protocol AuthenticatedStream: DuplexStream {
    /// Waits until the handshake is done, and tells who is at the ends. Throws if it fails.
    func identity() async throws -> StreamIdentity
}

/// Who is at the two ends of an authenticated stream.
public struct StreamIdentity: Hashable, Sendable {
    /// Whether this end dialled.
    public let isInitiator: Bool
    /// Ours.
    public let publicKey: Bytes32
    /// The other end's, proven by the handshake.
    public let remotePublicKey: Bytes32
    /// 64 bytes, the same at both ends and different for every connection.
    public let handshakeHash: [UInt8]

    public init(isInitiator: Bool, publicKey: Bytes32, remotePublicKey: Bytes32, handshakeHash: [UInt8]) {
        self.isInitiator = isInitiator
        self.publicKey = publicKey
        self.remotePublicKey = remotePublicKey
        self.handshakeHash = handshakeHash
    }
}
