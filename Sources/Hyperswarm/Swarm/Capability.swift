import CompactEncoding
import HyperCrypto
import Protomux

/// A secret whose knowledge makes a peer a member, for instance of a topic.
///
/// Each side shows BLAKE2b-256, keyed with the secret, over a label, its role and the connection's handshake hash. The hash differs for every connection and
/// the role for every side, so a proof can neither be replayed nor sent back; who does not know the secret learns nothing of it.
///
/// A public key says *who* a peer is; a capability says what it *may do*. See <doc:WhoMayConnect>.
public struct Capability: Hashable, Sendable {
    private let secret: [UInt8]

    /// - Parameter secret: 16 to 64 bytes that can't be guessed; nil for another length.
    public init?(secret: [UInt8]) {
        guard (16...64).contains(secret.count) else { return nil }
        self.secret = secret
    }

    /// - Parameter secret: 32 bytes that can't be guessed, as `Bytes32.random()` makes them.
    public init(secret: Bytes32) { self.secret = secret.bytes }

    /// A text that members have agreed on. What people can remember others can guess, offline, as fast as they can hash: use several random words.
    public init(passphrase: String) {
        secret = Blake2b.hash256(Array("hyperconform/capability/passphrase".utf8), Array(passphrase.utf8)).bytes
    }

    private func hash(_ label: String, _ identity: StreamIdentity, _ role: UInt8) -> Bytes32 {
        Blake2b.hash256(Array(label.utf8), [role] + identity.handshakeHash, key: secret)
    }

    /// What this end shows, or with `byRemote` what the other end has to show.
    func proof(_ identity: StreamIdentity, byRemote: Bool = false) -> Bytes32 {
        hash("hyperconform/capability", identity, identity.isInitiator != byRemote ? 1 : 0)
    }

    /// Names a channel so that only those who know the secret can tell which one it is.
    func channelID(_ identity: StreamIdentity) -> Bytes32 { hash("hyperconform/capability/channel", identity, 2) }

    static let refused = StreamFailure(code: "CAPABILITY_REFUSED", message: "the peer does not know the secret: it is no member")
}

extension AuthenticatedStream {
    /// Proves that we know the secret, and checks that the other side does. Both sides call it before anything else is read or written. Throws and destroys
    /// the stream if the other side fails, or if the task is cancelled.
    ///
    /// It is for streams with one purpose. For several topics on one connection, each with a secret of its own, open channels that are guarded:
    /// `Multiplexer.init(_:guarded:)`.
    public func prove(_ capability: Capability) async throws {
        do {
            let identity = try await identity()
            try await write(capability.proof(identity).bytes)
            var iterator = makeAsyncIterator()
            let answer = try await iterator.next() ?? []
            guard Sodium.equal(answer, capability.proof(identity, byRemote: true).bytes) else { throw Capability.refused }
        } catch {
            destroy()
            throw error
        }
    }
}
