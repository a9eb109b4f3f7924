import PacketCapture

/// Dissects one packet by itself, without the conversations around it: for live views.
public enum PacketGlance {
    public static func dissect(_ packet: CapturedPacket) -> DissectedPacket {
        var issues: [Issue] = []
        return PacketDissector().dissect(packet, &issues)
    }

    /// Why one packet by itself is none of the stack's, or breaks a rule of its layer; nil if it is in order.
    public static func unexplained(_ packet: CapturedPacket) -> String? {
        var issues: [Issue] = []
        let dissected = PacketDissector().dissect(packet, &issues)
        if let issue = issues.first { return "\(issue.field): \(issue.message)" }
        switch dissected.kind {
        case .raw: return "a datagram of no protocol of the stack (first byte \(packet.payload.first ?? 0))"
        case .kadepy(let message): return "\(message) is not Hyperswarm"
        case .other(let name) where name != "ARP" && !name.hasPrefix("ICMP") && name != "IP fragment": return name
        default: return nil
        }
    }
}
