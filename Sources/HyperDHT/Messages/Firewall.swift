/// What a peer says about its NAT. hyperdht.md section 2.
///
/// Open: an unknown number keeps its value. Comparisons treat every value of 3 and above as RANDOM.
public struct Firewall: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Not yet classified.
    public static let unknown = Firewall(rawValue: 0)
    /// Publicly reachable.
    public static let open = Firewall(rawValue: 1)
    /// The NAT maps to the same port for all peers.
    public static let consistent = Firewall(rawValue: 2)
    /// The NAT's port differs from peer to peer.
    public static let random = Firewall(rawValue: 3)

    public var isRandom: Bool { rawValue >= Firewall.random.rawValue }

    public var description: String {
        switch rawValue {
        case 0: "UNKNOWN"
        case 1: "OPEN"
        case 2: "CONSISTENT"
        case 3: "RANDOM"
        default: "FIREWALL_\(rawValue)"
        }
    }
}
