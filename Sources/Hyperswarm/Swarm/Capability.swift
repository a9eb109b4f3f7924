import CompactEncoding
import HyperCrypto

/// Proof that both ends of a connection know the same secret, for instance a topic that only members have.
///
/// Each side sends BLAKE2b-256, keyed with the secret, over a label, its role and the connection's handshake hash. The hash differs for every
/// connection and the role for every side, so a proof can neither be replayed nor sent back; who does not know the secret learns nothing of it.
extension PeerConnection {
    /// Sends our proof and checks the other's. Both sides call it before anything else is read or written. Throws and destroys the connection if the
    /// other side does not know the secret.
    ///
    /// - Parameter secret: 16 to 64 bytes.
    public func proveCapability(_ secret: [UInt8]) async throws {
        guard (16...64).contains(secret.count) else {
            throw StreamFailure(
                code: "CAPABILITY_SECRET", message: "a capability's secret has 16 to 64 bytes: hash what is longer or shorter")
        }
        let info = try await opened()
        func proof(initiator: Bool) -> [UInt8] {
            Blake2b.hash256(Array("hyperconform/capability".utf8), [initiator ? 1 : 0] + info.handshakeHash, key: secret).bytes
        }
        try await write(proof(initiator: info.isInitiator))
        var iterator = makeAsyncIterator()
        let answer = try await iterator.next() ?? []
        guard Sodium.equal(answer, proof(initiator: !info.isInitiator)) else {
            destroy()
            throw StreamFailure(code: "CAPABILITY_REFUSED", message: "the peer does not know the secret: it is no member")
        }
    }
}
