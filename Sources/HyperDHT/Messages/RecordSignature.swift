import CompactEncoding
import HyperCrypto
import SansIO

/// What the signatures of records cover, how they are made and judged. hyperdht.md sections 3.3 and 4.1.
public enum RecordSignature {
    /// Which announce command a signature is for; they have separate namespaces.
    public enum Purpose: Sendable {
        case announce, unannounce

        var namespace: Bytes32 {
            switch self {
            case .announce: Namespace.announce
            case .unannounce: Namespace.unannounce
            }
        }
    }

    /// 64 bytes: the namespace, then the hash of target, storing node's id, its token, the record, and the refresh value if any.
    public static func announceSignable(
        _ purpose: Purpose, target: Bytes32, token: Bytes32, nodeID: Bytes32, peer: PeerRecord, refresh: Bytes32?
    ) -> [UInt8] {
        var covered: [UInt8] = []
        covered.reserveCapacity(256)
        target.append(to: &covered)
        nodeID.append(to: &covered)
        token.append(to: &covered)
        // Re-encoded, so the signature always covers the shortest integers.
        covered += peer.encoded
        refresh?.append(to: &covered)
        return purpose.namespace.bytes + Blake2b.hash256(covered).bytes
    }

    /// The message of an announce or unannounce for one storing node, signed. The peer's key must be the key pair's.
    public static func sign(
        _ purpose: Purpose, target: Bytes32, token: Bytes32, nodeID: Bytes32, peer: PeerRecord, refresh: Bytes32? = nil,
        keyPair: KeyPair
    ) -> [UInt8] {
        keyPair.sign(announceSignable(purpose, target: target, token: token, nodeID: nodeID, peer: peer, refresh: refresh))
    }

    /// Whether a record is signed by its own key, for this target, token and node.
    public static func verify(
        _ purpose: Purpose, _ message: AnnounceMessage, target: Bytes32, token: Bytes32, nodeID: Bytes32
    ) -> Bool {
        guard let peer = message.peer, let signature = message.signature else { return false }
        let signable = announceSignable(
            purpose, target: target, token: token, nodeID: nodeID, peer: peer, refresh: message.refresh)
        return Ed25519.verify(signature, signable, peer.publicKey)
    }

    /// 64 bytes: the namespace, then the hash of sequence number and value.
    public static func mutableSignable(seq: UInt64, value: [UInt8]) -> [UInt8] {
        Namespace.mutablePut.bytes + Blake2b.hash256(MutableSignable(seq: seq, value: value).encoded).bytes
    }

    /// 64 bytes over sequence number and value.
    public static func signMutable(seq: UInt64, value: [UInt8], keyPair: KeyPair) -> [UInt8] {
        keyPair.sign(mutableSignable(seq: seq, value: value))
    }

    /// Whether the owner of the key signed this value under this number.
    public static func verifyMutable(seq: UInt64, value: [UInt8], signature: [UInt8], publicKey: Bytes32) -> Bool {
        Ed25519.verify(signature, mutableSignable(seq: seq, value: value), publicKey)
    }
}
