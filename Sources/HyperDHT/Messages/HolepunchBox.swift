import CompactEncoding
import HyperCrypto
import SansIO

/// The envelope of holepunch payloads: 24 nonce bytes, then XSalsa20-Poly1305. hyperdht.md section 10.
public struct HolepunchBox: Hashable, Sendable {
    /// BLAKE2b-256(NS_PEER_HOLEPUNCH) under the handshake hash; both ends have the same.
    public let secret: Bytes32

    public static let nonceLength = 24
    /// Nonce, tag, and the smallest plaintext that may be opened.
    public static let minimumLength = 41

    public init(secret: Bytes32) { self.secret = secret }

    /// Derives the secret from the 64-byte handshake hash.
    public init(handshakeHash: [UInt8]) {
        secret = Blake2b.hash256(Namespace.peerHolepunch.bytes, key: handshakeHash)
    }

    /// Nonce and box of the plaintext; nil unless the nonce has 24 bytes.
    public func seal(_ plaintext: [UInt8], nonce: [UInt8]) -> [UInt8]? {
        guard nonce.count == HolepunchBox.nonceLength, let box = SecretBox.seal(plaintext, nonce: nonce, key: secret) else { return nil }
        return nonce + box
    }

    /// The plaintext; nil for fewer than 41 bytes or a tag that does not verify.
    public func open(_ envelope: [UInt8]) -> [UInt8]? {
        guard envelope.count >= HolepunchBox.minimumLength else { return nil }
        return SecretBox.open(
            Array(envelope[HolepunchBox.nonceLength...]), nonce: Array(envelope[..<HolepunchBox.nonceLength]), key: secret)
    }

    /// Encrypts a payload; the nonce travels in front of it.
    public func seal(_ payload: HolepunchPayload, nonce: [UInt8]) -> [UInt8]? { seal(payload.encoded, nonce: nonce) }

    /// The payload; nil for a box that does not open or a plaintext that does not decode.
    public func openPayload(_ envelope: [UInt8]) -> HolepunchPayload? {
        guard let plaintext = open(envelope) else { return nil }
        return try? HolepunchPayload(decoding: plaintext)
    }

    /// The token for a peer's host: BLAKE2b-256 of its dotted quad under a secret of this handshake (32 bytes). hyperdht.md section 10.
    public static func token(localSecret: [UInt8], host: IPAddress) -> Bytes32 {
        Blake2b.hash256(Array(host.description.utf8), key: localSecret)
    }
}
