import SansIO

/// Address classes of IPv4. hyperdht.md section 21.
public enum AddressClass {
    private static func inBlock(_ address: UInt32, _ network: UInt32, _ bits: UInt32) -> Bool {
        (address ^ network) >> (32 - bits) == 0
    }

    /// 10/8, 100.64/10, 127/8, 169.254/16, 172.16/12, 192.168/16.
    public static func isPrivate(_ address: IPAddress) -> Bool {
        guard case .v4(let value) = address.unmapped else { return false }
        return inBlock(value, 0x0a00_0000, 8) || inBlock(value, 0x6440_0000, 10) || inBlock(value, 0x7f00_0000, 8)
            || inBlock(value, 0xa9fe_0000, 16) || inBlock(value, 0xac10_0000, 12) || inBlock(value, 0xc0a8_0000, 16)
    }

    /// 0/8, 192.0.0/24, 192.0.2/24, 198.18/15, 198.51.100/24, 203.0.113/24, 224/4, 240/4. Every IPv6 address counts as reserved: none is in use.
    public static func isReserved(_ address: IPAddress) -> Bool {
        guard case .v4(let value) = address.unmapped else { return true }
        return inBlock(value, 0, 8) || inBlock(value, 0xc000_0000, 24) || inBlock(value, 0xc000_0200, 24)
            || inBlock(value, 0xc612_0000, 15) || inBlock(value, 0xc633_6400, 24) || inBlock(value, 0xcb00_7100, 24)
            || inBlock(value, 0xe000_0000, 4) || inBlock(value, 0xf000_0000, 4)
    }

    /// Whether an address is never routed on the internet.
    public static func isBogon(_ address: IPAddress) -> Bool { isPrivate(address) || isReserved(address) }

    /// Whether a datagram that a stranger asked for may be sent there: not to port 0, 0/8, multicast or 240/4. Stricter than the reference;
    /// no well-behaved peer has such an address.
    public static func isRelayTarget(_ endpoint: Endpoint) -> Bool {
        guard endpoint.port != 0, case .v4(let value) = endpoint.address.unmapped else { return false }
        return !inBlock(value, 0, 8) && !inBlock(value, 0xe000_0000, 4) && !inBlock(value, 0xf000_0000, 4)
    }

    /// The remote address that shares the longest octet prefix (3, 2 or 1 octets) with one of ours; nil if none shares the first octet.
    public static func bestMatch(ours: [Endpoint], theirs: [Endpoint]) -> Endpoint? {
        var best: (length: Int, endpoint: Endpoint?) = (0, nil)
        for mine in ours {
            let a = mine.address.unmapped.octets
            for other in theirs {
                let b = other.address.unmapped.octets
                guard a.count == 4, b.count == 4 else { continue }
                let length = zip(a.prefix(3), b.prefix(3)).prefix { $0 == $1 }.count
                if length == 3 { return other }
                if length > best.length { best = (length, other) }
            }
        }
        return best.endpoint
    }
}
