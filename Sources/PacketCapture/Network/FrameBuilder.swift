import SansIO

/// Builds Ethernet frames around UDP payloads: for captures that the simulator or an export writes, and for tests.
public enum FrameBuilder {
    /// Ethernet, IPv4 or IPv6, UDP. The IPv4 header checksum is right; the UDP checksum is absent (IPv4) or right (IPv6, where it is due).
    public static func udp(
        _ payload: [UInt8], from source: Endpoint, to destination: Endpoint, timeToLive: UInt8 = 64, dontFragment: Bool = true
    ) -> [UInt8] {
        var frame = [UInt8](repeating: 0, count: 12)
        let isV4 = source.address.isIPv4 && destination.address.isIPv4
        frame += isV4 ? [0x08, 0x00] : [0x86, 0xdd]
        frame += ip(
            udpHeader(payload, source, destination, checksum: !isV4) + payload, 17, source.address, destination.address, timeToLive,
            dontFragment)
        return frame
    }

    private static func udpHeader(_ payload: [UInt8], _ source: Endpoint, _ destination: Endpoint, checksum: Bool) -> [UInt8] {
        let length = payload.count + 8
        var header = big16(source.port) + big16(destination.port) + big16(UInt16(truncatingIfNeeded: length)) + [0, 0]
        if checksum {
            let pseudo =
                source.address.octets + destination.address.octets + [0, 0] + big16(UInt16(truncatingIfNeeded: length)) + [0, 0, 0, 17]
            let sum = internetChecksum(pseudo + header + payload)
            header.replaceSubrange(6..<8, with: big16(sum == 0 ? 0xffff : sum))
        }
        return header
    }

    static func ip(
        _ payload: [UInt8], _ protocolNumber: UInt8, _ source: IPAddress, _ destination: IPAddress, _ timeToLive: UInt8,
        _ dontFragment: Bool
    ) -> [UInt8] {
        guard source.isIPv4, destination.isIPv4 else {
            return [0x60, 0, 0, 0] + big16(UInt16(truncatingIfNeeded: payload.count)) + [protocolNumber, timeToLive]
                + octets16(source) + octets16(destination) + payload
        }
        var header: [UInt8] = [0x45, 0] + big16(UInt16(truncatingIfNeeded: payload.count + 20)) + [0, 0]
        header += [dontFragment ? 0x40 : 0, 0, timeToLive, protocolNumber, 0, 0] + source.octets + destination.octets
        header.replaceSubrange(10..<12, with: big16(internetChecksum(header)))
        return header + payload
    }

    /// Sixteen octets; IPv4 in its mapped form.
    private static func octets16(_ address: IPAddress) -> [UInt8] {
        address.isIPv4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + address.octets : address.octets
    }

    private static func big16(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }

    private static func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
            sum = (sum & 0xffff) + (sum >> 16)
        }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}
