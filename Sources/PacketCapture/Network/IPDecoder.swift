import SansIO

/// An IP packet's header and the range of what it carries.
struct IPPacket {
    var source: IPAddress
    var destination: IPAddress
    /// IP protocol number of the payload.
    var protocolNumber: UInt8
    var timeToLive: UInt8
    var dontFragment: Bool
    /// Whole datagram, header included, as the header says.
    var length: Int
    /// The payload, as far as it was captured.
    var payload: Range<Int>
    /// Payload bytes that the header promised and the capture does not have.
    var missing: Int
    var fragment: Fragment?

    struct Fragment {
        var identification: UInt32
        var offset: Int
        var isLast: Bool
    }
}

enum IPDecoder {
    enum Result {
        case packet(IPPacket)
        case damaged(String)
    }

    static func decode(_ bytes: CaptureBytes, _ range: Range<Int>) -> Result {
        guard !range.isEmpty else { return .damaged("no IP header") }
        switch bytes.byte(range.lowerBound) >> 4 {
        case 4: return v4(bytes, range)
        case 6: return v6(bytes, range)
        default: return .damaged("IP version \(bytes.byte(range.lowerBound) >> 4)")
        }
    }

    private static func v4(_ bytes: CaptureBytes, _ range: Range<Int>) -> Result {
        let start = range.lowerBound
        guard range.count >= 20 else { return .damaged("an IPv4 header is cut") }
        let headerLength = Int(bytes.byte(start) & 15) * 4
        guard headerLength >= 20 else { return .damaged("an IPv4 header of \(headerLength) bytes") }
        guard headerLength <= range.count else { return .damaged("an IPv4 header is cut") }
        var total = Int(bytes.u16(start + 2, bigEndian: true))
        // 0 stands where the network card cut the packet later (segmentation offload): all that is there belongs to it.
        if total == 0 { total = range.count }
        guard total >= headerLength else { return .damaged("an IPv4 length of \(total) below its header's") }
        let flags = bytes.u16(start + 6, bigEndian: true)
        let offset = Int(flags & 0x1fff) * 8
        let more = flags & 0x2000 != 0
        let end = start + min(total, range.count)
        return .packet(
            IPPacket(
                source: .v4(bytes.u32(start + 12, bigEndian: true)), destination: .v4(bytes.u32(start + 16, bigEndian: true)),
                protocolNumber: bytes.byte(start + 9), timeToLive: bytes.byte(start + 8), dontFragment: flags & 0x4000 != 0, length: total,
                payload: start + headerLength..<max(start + headerLength, end), missing: max(0, total - range.count),
                fragment: offset > 0 || more
                    ? IPPacket.Fragment(
                        identification: UInt32(bytes.u16(start + 4, bigEndian: true)), offset: offset, isLast: !more)
                    : nil))
    }

    private static func v6(_ bytes: CaptureBytes, _ range: Range<Int>) -> Result {
        let start = range.lowerBound
        guard range.count >= 40 else { return .damaged("an IPv6 header is cut") }
        var announced = Int(bytes.u16(start + 4, bigEndian: true))
        if announced == 0 { announced = range.count - 40 }
        let end = start + min(40 + announced, range.count)
        var next = bytes.byte(start + 6)
        var offset = start + 40
        var fragment: IPPacket.Fragment?
        // Extension headers: hop-by-hop, routing, destination, mobility, HIP, shim6 have a length in 8-byte units; AH in 4-byte units.
        var headers = 0
        loop: while true {
            switch next {
            case 0, 43, 60, 135, 139, 140:
                guard end - offset >= 8 else { return .damaged("an IPv6 extension header is cut") }
                next = bytes.byte(offset)
                offset += 8 + 8 * Int(bytes.byte(offset + 1))
            case 51:
                guard end - offset >= 8 else { return .damaged("an IPv6 extension header is cut") }
                next = bytes.byte(offset)
                offset += 8 + 4 * Int(bytes.byte(offset + 1))
            case 44:
                guard end - offset >= 8 else { return .damaged("an IPv6 fragment header is cut") }
                let field = bytes.u16(offset + 2, bigEndian: true)
                if field & 0xfff9 != 0 {
                    fragment = IPPacket.Fragment(
                        identification: bytes.u32(offset + 4, bigEndian: true), offset: Int(field & 0xfff8), isLast: field & 1 == 0)
                }
                next = bytes.byte(offset)
                offset += 8
                if let fragment, fragment.offset > 0 { break loop }
            default: break loop
            }
            headers += 1
            guard headers <= 16 else { return .damaged("more than 16 IPv6 extension headers") }
            guard offset <= end else { return .damaged("an IPv6 extension header is cut") }
        }
        return .packet(
            IPPacket(
                source: .v6(bytes.u64(start + 8, bigEndian: true), bytes.u64(start + 16, bigEndian: true)),
                destination: .v6(bytes.u64(start + 24, bigEndian: true), bytes.u64(start + 32, bigEndian: true)), protocolNumber: next,
                timeToLive: bytes.byte(start + 7), dontFragment: fragment == nil, length: 40 + announced,
                payload: offset..<max(offset, end),
                missing: max(0, 40 + announced - range.count), fragment: fragment))
    }
}
