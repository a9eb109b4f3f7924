import PacketCapture

/// Dissects one packet by itself, without the conversations around it: for live views.
public enum PacketGlance {
    public static func dissect(_ packet: CapturedPacket) -> DissectedPacket {
        var issues: [Issue] = []
        return PacketDissector().dissect(packet, &issues)
    }
}
