/// Reads one frame that came from an interface. Fragments of one datagram are not joined here; a file has all of them.
public enum CapturedFrameReader {
    public static func packet(_ frame: LiveCapture.Frame, number: Int, linkType: LinkType) -> CapturedPacket {
        let bytes = CaptureBytes(frame.bytes, name: "live")
        var decoder = PacketDecoder(bytes)
        return decoder.decode(
            CapturedFrame(
                number: number, timeNanoseconds: frame.timeNanoseconds, linkType: linkType, range: 0..<frame.bytes.count,
                originalLength: frame.originalLength, interface: 0, comments: []))
    }
}
