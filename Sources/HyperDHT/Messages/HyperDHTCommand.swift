/// A command of the application namespace (the dht-rpc internal flag is clear). hyperdht.md section 2.
///
/// Open: an unknown number keeps its value.
public struct HyperDHTCommand: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let peerHandshake = HyperDHTCommand(rawValue: 0)
    public static let peerHolepunch = HyperDHTCommand(rawValue: 1)
    public static let findPeer = HyperDHTCommand(rawValue: 2)
    public static let lookup = HyperDHTCommand(rawValue: 3)
    public static let announce = HyperDHTCommand(rawValue: 4)
    public static let unannounce = HyperDHTCommand(rawValue: 5)
    public static let mutablePut = HyperDHTCommand(rawValue: 6)
    public static let mutableGet = HyperDHTCommand(rawValue: 7)
    public static let immutablePut = HyperDHTCommand(rawValue: 8)
    public static let immutableGet = HyperDHTCommand(rawValue: 9)
    public static let plugin = HyperDHTCommand(rawValue: 10)

    /// Every command that the reference knows, by number.
    public static let known: [HyperDHTCommand] = (0...10).map { HyperDHTCommand(rawValue: $0) }

    /// The specification's name ("PEER_HANDSHAKE"), or "COMMAND_" and the number.
    public var description: String {
        switch rawValue {
        case 0: "PEER_HANDSHAKE"
        case 1: "PEER_HOLEPUNCH"
        case 2: "FIND_PEER"
        case 3: "LOOKUP"
        case 4: "ANNOUNCE"
        case 5: "UNANNOUNCE"
        case 6: "MUTABLE_PUT"
        case 7: "MUTABLE_GET"
        case 8: "IMMUTABLE_PUT"
        case 9: "IMMUTABLE_GET"
        case 10: "PLUGIN"
        default: "COMMAND_\(rawValue)"
        }
    }
}
