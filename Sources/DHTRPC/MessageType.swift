import SansIO

/// What stands in a datagram's first byte: protocol version 3 in the low nibble, the type in the high one. dht-rpc.md section 3.1.
public enum MessageType: UInt8, Sendable, CaseIterable {
    case request = 0x03
    case response = 0x13

    /// The type of a datagram that arrived on a dht-rpc socket; nil for one that dht-rpc drops in silence. DHT-8, DHT-9.
    ///
    /// Datagrams below two bytes are hole-punch probes; they mean something on a puncher socket only.
    public init?(of datagram: [UInt8]) {
        guard datagram.count >= 2 else { return nil }
        if Mutation.dhtRPC(8).isActive, datagram[0] & 0x0f == 3 {
            self = datagram[0] == MessageType.response.rawValue ? .response : .request
            return
        }
        guard let type = MessageType(rawValue: datagram[0]) else { return nil }
        self = type
    }
}

/// The commands that belong to dht-rpc itself (flag 0x04 set). dht-rpc.md section 4.
public enum InternalCommand: UInt64, Sendable, CaseIterable {
    case ping = 0
    case pingNAT = 1
    case findNode = 2
    case downHint = 3
    case delayedPing = 4

    /// The name that the protocol notes use.
    public var name: String {
        switch self {
        case .ping: "PING"
        case .pingNAT: "PING_NAT"
        case .findNode: "FIND_NODE"
        case .downHint: "DOWN_HINT"
        case .delayedPing: "DELAYED_PING"
        }
    }
}

/// Codes in a response's `error` field. Applications add their own from 16 on. dht-rpc.md section 3.8.
public enum ErrorCode {
    public static let ok: UInt64 = 0
    public static let unknownCommand: UInt64 = 1
    public static let invalidToken: UInt64 = 2

    /// The name that the protocol notes use, or nil for an application's code.
    public static func name(_ code: UInt64) -> String? {
        switch code {
        case ok: "OK"
        case unknownCommand: "UNKNOWN_COMMAND"
        case invalidToken: "INVALID_TOKEN"
        default: nil
        }
    }
}
