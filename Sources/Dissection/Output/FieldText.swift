import DHTRPC
import HyperDHT
import UDX

/// What a number means where the protocol gives it a name.
public enum FieldText {
    public static func meaning(_ field: String, _ value: UInt64, _ unit: Unit) -> String? {
        switch (unit.layer, field) {
        case (.udx, "type"): PacketType(rawValue: UInt8(truncatingIfNeeded: value)).description
        case (.dhtRPC, "flags"): flags(value, unit.bytes.first == MessageType.response.rawValue ? responseFlags : requestFlags)
        case (.dhtRPC, "type"): MessageType(rawValue: UInt8(truncatingIfNeeded: value)).map { "\($0)" }
        case (.dhtRPC, "error"): CommandName.error(value)
        case (.dhtRPC, "command"): unit.name.split(separator: " ").first.map(String.init)
        case (.hyperDHT, "mode"): RelayMode(rawValue: value).description
        case (.noisePayload, "firewall"), (.holepunch, "firewall"): Firewall(rawValue: value).description
        case (.noisePayload, "error"), (.holepunch, "error"): PeerErrorCode(rawValue: value).description
        case (.holepunch, "flags"): flags(value, ["connected", "punching", "addresses", "remoteAddress", "token", "remoteToken"])
        case (.noisePayload, "flags"):
            flags(value, ["holepunch", "addresses4", "addresses6", "udx", "secretStream", "relayThrough", "relayAddresses"])
        default: nil
        }
    }

    static let requestFlags = ["id", "token", "internal", "target", "value"]
    static let responseFlags = ["id", "token", "closerNodes", "error", "value"]

    private static func flags(_ value: UInt64, _ names: [String]) -> String {
        var parts: [String] = []
        for bit in 0..<8 where value & (1 << UInt64(bit)) != 0 { parts.append(bit < names.count ? names[bit] : "bit \(bit)") }
        return parts.isEmpty ? "none" : parts.joined(separator: ", ")
    }
}
