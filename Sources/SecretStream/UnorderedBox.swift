import CompactEncoding
import HyperCrypto
import SansIO

/// Unordered messages beside the stream: counter, then an XSalsa20-Poly1305 box. secret-stream.md section 9.
public enum UnorderedBox {
    /// BLAKE2b-256 keyed with the handshake hash over the sender's namespace and NS_SEND.
    public static func key(handshakeHash: [UInt8], senderIsInitiator: Bool) -> Bytes32 {
        Blake2b.hash256((senderIsInitiator ? Namespace.initiator : Namespace.responder).bytes, Namespace.send.bytes, key: handshakeHash)
    }

    /// The message in an envelope; nil if it is shorter than 24 bytes or does not verify. SS-23.
    public static func open(_ envelope: [UInt8], key: Bytes32) -> [UInt8]? {
        guard envelope.count >= BoxEnvelope.overhead else { return nil }
        return SecretBox.open(Array(envelope[8...]), nonce: envelope[..<8] + [UInt8](repeating: 0, count: 16), key: key)
    }

    /// Sender's side: one counter, never used twice.
    public struct Sealer: ~Copyable {
        private let key: Bytes32
        private let initial: UInt64
        private var counter: UInt64

        /// `initialCounter`: 8 random bytes; the first message has the value after it.
        public init(key: Bytes32, initialCounter: [UInt8]) {
            self.key = key
            var reader = Reader(initialCounter)
            initial = (try? reader.biguint64("counter")) ?? 0
            counter = initial
        }

        /// The next envelope; nil once the counter has come round, and for good.
        public mutating func seal(_ message: [UInt8]) -> [UInt8]? {
            // SS-22: a little-endian counter, increased before each message.
            counter = Mutation.secretStream(22).isActive ? (counter.byteSwapped &+ 1).byteSwapped : counter &+ 1
            guard counter != initial else {
                counter &-= 1
                return nil
            }
            var writer = Writer(capacity: message.count + BoxEnvelope.overhead)
            writer.biguint64(counter)
            let nonce = writer.bytes + [UInt8](repeating: 0, count: 16)
            guard let box = SecretBox.seal(message, nonce: nonce, key: key) else { return nil }
            writer.raw(box)
            return writer.bytes
        }
    }
}
