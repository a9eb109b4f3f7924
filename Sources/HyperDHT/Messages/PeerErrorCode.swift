/// The error inside encrypted payloads (0 to 3), and HyperDHT's codes in the dht-rpc error field (16, 17). hyperdht.md section 2.
///
/// Open: an unknown number keeps its value.
public struct PeerErrorCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let none = PeerErrorCode(rawValue: 0)
    /// Punch or handshake given up, or a payload that can't be used.
    public static let aborted = PeerErrorCode(rawValue: 1)
    /// The payload's version is not 1.
    public static let versionMismatch = PeerErrorCode(rawValue: 2)
    /// Random punching is busy.
    public static let tryLater = PeerErrorCode(rawValue: 3)
    /// dht-rpc error: a mutable put with a stored sequence number and another value.
    public static let seqReused = PeerErrorCode(rawValue: 16)
    /// dht-rpc error: a mutable put with a sequence number below the stored one.
    public static let seqTooLow = PeerErrorCode(rawValue: 17)

    public var description: String {
        switch rawValue {
        case 0: "NONE"
        case 1: "ABORTED"
        case 2: "VERSION_MISMATCH"
        case 3: "TRY_LATER"
        case 16: "SEQ_REUSED"
        case 17: "SEQ_TOO_LOW"
        default: "ERROR_\(rawValue)"
        }
    }
}
