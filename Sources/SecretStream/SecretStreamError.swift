/// Why a secret stream ended, or refused a call.
public struct SecretStreamError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        case handshakeFailed = "the Noise handshake failed"
        case invalidHeader = "the id header has another length than 56"
        case foreignID = "the id header carries another id than the peer's"
        case invalidFrame = "a frame's length is not allowed"
        case notAuthentic = "a frame does not verify"
        case remoteKeyMismatch = "the peer has another public key than expected"
        case timedOut = "nothing was received for the length of the timeout"
        case truncated = "the raw stream ended inside a frame or before the id header"
        case counterExhausted = "the counter of unordered messages came back to its start"
        case messageTooLarge = "a message may have 16 777 198 bytes at most"
        case tooMuchBeforeStart = "too many bytes arrived before the stream was started"
        case rawStreamFailed = "the raw stream failed or was closed"
        case destroyed = "the stream was destroyed"
        case ended = "the stream's sending side has ended"
    }

    public let kind: Kind
    /// What exactly, if there is more to say.
    public let detail: String

    public init(_ kind: Kind, _ detail: String = "") {
        self.kind = kind
        self.detail = detail
    }

    public var description: String { detail.isEmpty ? kind.rawValue : "\(kind.rawValue): \(detail)" }
}
