import CompactEncoding
import HyperCrypto
import SansIO

/// What a finished handshake hands on: keys for the secret stream, channel binding, and who is at the other end.
public struct HandshakeResult: Hashable, Sendable {
    public let isInitiator: Bool
    /// 32 bytes each: the key for what we send, and for what we receive.
    public private(set) var tx: [UInt8]
    public private(set) var rx: [UInt8]
    /// 64 bytes, equal on both sides. SS-29.
    public let hash: [UInt8]
    public let publicKey: Bytes32
    /// Authenticated by the handshake; nil only for NN.
    public let remotePublicKey: Bytes32?

    public init(isInitiator: Bool, tx: [UInt8], rx: [UInt8], hash: [UInt8], publicKey: Bytes32, remotePublicKey: Bytes32?) {
        self.isInitiator = isInitiator
        self.tx = tx
        self.rx = rx
        self.hash = hash
        self.publicKey = publicKey
        self.remotePublicKey = remotePublicKey
    }

    /// BLAKE2b-256 keyed with the handshake hash over NS_PEER_HOLEPUNCH. NOISE-24.
    public var holepunchSecret: Bytes32 { HandshakeResult.holepunchSecret(hash: hash) }

    public static func holepunchSecret(hash: [UInt8]) -> Bytes32 {
        let key = Mutation.noise(24).isActive ? Array(hash.prefix(32)) : hash
        return Blake2b.hash256(Namespace.peerHolepunch.bytes, key: key)
    }

    /// Overwrites both keys.
    public mutating func wipe() {
        Sodium.wipe(&tx)
        Sodium.wipe(&rx)
    }
}
