/// Any stream of this package: plain UDX, an encrypted connection over the DHT, a secret-stream over TCP.
///
/// Iterating yields what arrives: pieces of a byte stream, or whole messages of an encrypted one. It ends when the other side has ended, and throws
/// when the stream breaks. One task may iterate at a time.
public protocol DuplexStream: AsyncSequence, Sendable where Element == [UInt8] {
    /// Queues bytes; returns when more may be written.
    func write(_ bytes: [UInt8]) async throws
    /// Queues bytes without waiting. False: call `waitForRoom` before writing more.
    func writeNow(_ bytes: [UInt8]) throws -> Bool
    func waitForRoom() async throws
    /// No more bytes from this side. The other side may go on.
    func finish() async throws
    /// Returns when the other side has all bytes written before; throws if the stream closes first.
    func flush() async throws
    /// One unordered message, at once. It may be lost.
    func send(_ message: [UInt8]) async throws
    /// Unordered messages that arrived.
    var messages: AsyncStream<[UInt8]> { get }
    /// Tears the stream down at once.
    func destroy()
    /// Whether the other side has ended: what the end of the sequence does not tell from our own `destroy`.
    var hasRemoteEnded: Bool { get }
    /// Waits for the end; nil for one in good order.
    func closed() async throws -> StreamFailure?
}

/// Why a stream broke. `code` is the reference's name of the reason where it has one.
public struct StreamFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let code: String
    public let message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code))" }
}
