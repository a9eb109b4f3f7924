import CompactEncoding

/// Why a handshake message could not be made or taken.
public struct NoiseError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        /// Fewer bytes than the fixed fields need.
        case shortMessage = "the message is too short"
        /// A ciphertext above 65 535 bytes.
        case tooLong = "the message is too long"
        /// A point that the curve's rules refuse (noise.md 4.1).
        case invalidPoint = "a public key is not a valid point"
        /// A tag does not hold: damaged, forged, other prologue or other server key.
        case notAuthentic = "a tag does not hold"
        /// The other side has to send next.
        case outOfTurn = "it is the other side's turn"
        /// The handshake is over.
        case complete = "the handshake is already complete"
        /// IK needs the responder's public key from the start.
        case missingRemoteKey = "the remote public key is missing"
    }

    public let kind: Kind
    /// The token or field: "e", "encryptedStatic", "encryptedPayload", "es", ...
    public let field: String

    public init(_ kind: Kind, _ field: String) {
        self.kind = kind
        self.field = field
    }

    public var description: String { "Noise handshake failed at \(field): \(kind.rawValue)" }
}
