import CompactEncoding
import DHTRPC
import KeyLog
import PacketCapture
import SansIO

/// Gives addresses consistent pseudonyms, so that a capture may be shown to others.
///
/// Replaced are the addresses of IP headers and every address field that the codecs read in clear payloads; node ids, which are hashes of
/// addresses, become the hashes of the pseudonyms. Tokens and signatures therefore no longer verify. Of the key log only the session keys of
/// secret streams stay: handshake lines hold long-term keys, and payloads with addresses.
public struct Scrubber {
    private var pseudonyms: [IPAddress: IPAddress] = [:]

    public init() {}

    /// 10.0.0.1, 10.0.0.2 ... in order of appearance; IPv6 in fd00::/8. Loopback stays.
    mutating func pseudonym(_ address: IPAddress) -> IPAddress {
        if let known = pseudonyms[address] { return known }
        if address == .loopback || address == .any { return address }
        let number = UInt64(pseudonyms.count + 1)
        let replacement: IPAddress = address.isIPv4 ? .v4(0x0a00_0000 | UInt32(truncatingIfNeeded: number)) : .v6(0xfd00 << 48, number)
        pseudonyms[address] = replacement
        return replacement
    }

    mutating func pseudonym(_ endpoint: Endpoint) -> Endpoint { Endpoint(pseudonym(endpoint.address), endpoint.port) }

    /// A pcapng of new UDP frames; packets that are not UDP are left out. `sessionKeys` embeds what is left of the key log.
    public mutating func scrub(_ dissection: Dissection, keyLog: KeyLog?, sessionKeys: Bool) -> [UInt8] {
        var writer = PcapNGWriter()
        if sessionKeys, let keyLog {
            let kept = keyLog.entries.filter { if case .secretStream = $0.record { true } else { false } }
            let time = (dissection.packets.first?.packet.timeNanoseconds ?? 0) / 1000
            writer.add(keyLog: KeyLog(entries: kept), headerTime: Instant(microseconds: time))
        }
        for packet in dissection.packets {
            guard case .udp = packet.packet.transport else { continue }
            var payload = packet.packet.payload
            for unit in packet.units where unit.isWire { rewrite(unit, &payload, from: packet.packet.source) }
            let frame = FrameBuilder.udp(
                payload, from: pseudonym(packet.packet.source), to: pseudonym(packet.packet.destination),
                timeToLive: packet.packet.timeToLive, dontFragment: packet.packet.dontFragment)
            writer.add(frame: frame, timeNanoseconds: packet.packet.timeNanoseconds)
        }
        return writer.bytes
    }

    private mutating func rewrite(_ unit: Unit, _ payload: inout [UInt8], from source: Endpoint) {
        for record in unit.fields {
            switch record.value {
            case .endpoint(let endpoint): replace(record.range, pseudonym(endpoint.address).octets, &payload)
            case .address(let address): replace(record.range, pseudonym(address).octets, &payload)
            case .bytes where record.name.description == "id" && unit.layer == .dhtRPC:
                replace(record.range, NodeID.of(pseudonym(source)).bytes, &payload)
            default: break
            }
        }
    }

    private func replace(_ range: Range<Int>, _ bytes: [UInt8], _ payload: inout [UInt8]) {
        let range = range.lowerBound..<min(range.upperBound, range.lowerBound + bytes.count)
        guard range.upperBound <= payload.count, range.count == bytes.count else { return }
        payload.replaceSubrange(range, with: bytes)
    }
}
