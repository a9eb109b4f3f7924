import CompactEncoding
import HyperCrypto

extension Bytes32 {
    /// The topic of a name: BLAKE2b-256 of its UTF-8, which is what `hypercore-crypto`'s `hash` makes of it in Node.js.
    ///
    /// Anybody who can guess the name knows the topic, and the DHT nodes near it see it: a topic says where to look, never who may come.
    public static func topic(named name: String) -> Bytes32 { Blake2b.hash256(Array(name.utf8)) }
}

extension KeyPair {
    /// A new identity, from the system's randomness. Keep `secretKey` (64 bytes) to be the same peer again.
    public static func random() -> KeyPair { KeyPair(seed: .random()) }
}

extension Bytes32 {
    /// 32 bytes of the system's randomness.
    public static func random() -> Bytes32 {
        var generator = SystemRandomNumberGenerator()
        return Bytes32(bigEndianWords: (generator.next(), generator.next(), generator.next(), generator.next()))
    }
}
