/// Finds the network packet inside a frame.
enum LinkLayer {
    enum Result {
        /// IPv4 or IPv6 begins at this offset.
        case ip(at: Int)
        case other(String)
        case damaged(String)
    }

    static func decode(_ bytes: CaptureBytes, _ range: Range<Int>, _ type: LinkType) -> Result {
        let start = range.lowerBound
        switch type {
        case .ethernet: return ethernet(bytes, range)
        case .linuxCooked:
            guard range.count >= 16 else { return .damaged("a Linux cooked header is cut") }
            return etherType(bytes.u16(start + 14, bigEndian: true), bytes, start + 16..<range.upperBound)
        case .linuxCooked2:
            guard range.count >= 20 else { return .damaged("a Linux cooked v2 header is cut") }
            return etherType(bytes.u16(start, bigEndian: true), bytes, start + 20..<range.upperBound)
        case .null, .loop:
            guard range.count >= 4 else { return .damaged("a loopback header is cut") }
            // NULL has the capturing machine's byte order, which the file does not tell: families are small numbers, so both are tried.
            let families: Set<UInt32> = [2, 10, 24, 28, 30]
            let big = bytes.u32(start, bigEndian: true)
            let family = families.contains(big) ? big : bytes.u32(start, bigEndian: false)
            return families.contains(family) ? .ip(at: start + 4) : .other("address family \(big)")
        case .raw, .rawBSD, .rawOpenBSD, .ipv4, .ipv6:
            return range.isEmpty ? .damaged("an empty frame") : .ip(at: start)
        }
    }

    private static func ethernet(_ bytes: CaptureBytes, _ range: Range<Int>) -> Result {
        guard range.count >= 14 else { return .damaged("an Ethernet header is cut") }
        return etherType(bytes.u16(range.lowerBound + 12, bigEndian: true), bytes, range.lowerBound + 14..<range.upperBound)
    }

    /// Follows VLAN tags (802.1Q, 802.1ad and the older QinQ numbers), at most four.
    private static func etherType(_ first: UInt16, _ bytes: CaptureBytes, _ range: Range<Int>) -> Result {
        var type = first
        var offset = range.lowerBound
        for _ in 0..<4 {
            guard type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200 else { break }
            guard range.upperBound - offset >= 4 else { return .damaged("a VLAN tag is cut") }
            type = bytes.u16(offset + 2, bigEndian: true)
            offset += 4
        }
        switch type {
        case 0x0800, 0x86dd: return .ip(at: offset)
        case 0x0806: return .other("ARP")
        case 0..<0x600: return .other("802.3")
        default:
            let hex = String(type, radix: 16)
            return .other("EtherType 0x" + String(repeating: "0", count: 4 - hex.count) + hex)
        }
    }
}
