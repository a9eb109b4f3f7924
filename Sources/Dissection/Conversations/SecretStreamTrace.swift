import CompactEncoding
import SansIO

/// One direction of a secret stream, opened with the logged keys.
public struct SecretStreamTrace: Sendable {
    public struct Frame: Sendable {
        /// Offset of the length header in the raw stream.
        public let offset: Int
        /// Bytes with the 3-byte length header.
        public let length: Int
        public let plaintext: [UInt8]
        /// Index of the packet that completed the frame.
        public let packet: Int

        public var isKeepalive: Bool { plaintext.isEmpty }
    }

    public struct Message: Sendable {
        public let packet: Int
        public let plaintext: [UInt8]
    }

    /// Index into the dissection's `flows`; nil for TCP.
    public let flow: Int?
    public let from: Endpoint
    public let to: Endpoint
    public let isFromInitiator: Bool
    /// 64 bytes.
    public let handshakeHash: [UInt8]
    public internal(set) var frames: [Frame] = []
    public internal(set) var messages: [Message] = []
    /// True once a message was read as Protomux's.
    public internal(set) var protomuxFrames = 0

    /// The plaintexts laid end to end; empty ones leave no trace.
    public var plaintext: [UInt8] { frames.flatMap(\.plaintext) }
}
