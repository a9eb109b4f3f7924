/// Which leg of its way a PEER_HANDSHAKE or PEER_HOLEPUNCH message is on. hyperdht.md section 2.
///
/// Open: an unknown number keeps its value.
public struct RelayMode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let fromClient = RelayMode(rawValue: 0)
    public static let fromServer = RelayMode(rawValue: 1)
    public static let fromRelay = RelayMode(rawValue: 2)
    public static let fromSecondRelay = RelayMode(rawValue: 3)
    public static let reply = RelayMode(rawValue: 4)

    public var description: String {
        switch rawValue {
        case 0: "FROM_CLIENT"
        case 1: "FROM_SERVER"
        case 2: "FROM_RELAY"
        case 3: "FROM_SECOND_RELAY"
        case 4: "REPLY"
        default: "MODE_\(rawValue)"
        }
    }
}
