import CompactEncoding
import SansIO

/// A Noise handshake of the capture, recomputed with the logged keys as far as they reach.
public struct Handshake: Sendable {
    public let pattern: String
    public let initiatorKey: Bytes32?
    public let responderKey: Bytes32?
    /// Indices of the packets that carry each message, in order of the messages.
    public internal(set) var carriers: [[Int]] = []
    public internal(set) var messages: [[UInt8]] = []
    /// 64 bytes once the handshake is finished.
    public internal(set) var hash: [UInt8]?
    /// Recomputed to the same bytes, hash and keys as logged.
    public internal(set) var isVerified = false
}
