import SansIO

/// Turns frames into packets, keeping fragments between them. One a capture.
public struct PacketDecoder {
    private let bytes: CaptureBytes
    private var fragments = FragmentTable()
    private(set) var issues: [String: (count: Int, firstFrame: Int)] = [:]

    public init(_ bytes: CaptureBytes) { self.bytes = bytes }

    public mutating func decode(_ frame: CapturedFrame) -> CapturedPacket {
        switch LinkLayer.decode(bytes, frame.range, frame.linkType) {
        case .other(let name): return packet(frame, .other(name))
        case .damaged(let reason): return damaged(frame, reason)
        case .ip(let offset):
            switch IPDecoder.decode(bytes, offset..<max(offset, frame.range.upperBound)) {
            case .damaged(let reason): return damaged(frame, reason)
            case .packet(let ip):
                guard let fragment = ip.fragment else {
                    return transport(frame, ip, ip.payload, of: bytes, fileOffset: { $0 })
                }
                switch fragments.add(ip, fragment, bytes, atNanoseconds: frame.timeNanoseconds) {
                case .incomplete: return packet(frame, .fragment, ip)
                case .refused(let reason): return damaged(frame, reason)
                case .complete(var first, let payload):
                    let whole = CaptureBytes(payload, name: bytes.name)
                    first.length += payload.count - first.payload.count
                    first.dontFragment = false
                    return transport(frame, first, 0..<payload.count, of: whole, fileOffset: { _ in nil })
                }
            }
        }
    }

    mutating func finish() {
        if fragments.waiting > 0 { issues["datagrams with missing fragments"] = (fragments.waiting, 0) }
        if fragments.abandoned > 0 { issues["datagrams whose fragments came too late"] = (fragments.abandoned, 0) }
    }

    private mutating func transport(
        _ frame: CapturedFrame, _ ip: IPPacket, _ range: Range<Int>, of bytes: CaptureBytes, fileOffset: (Int) -> Int?
    ) -> CapturedPacket {
        let start = range.lowerBound
        switch ip.protocolNumber {
        case 17:
            guard range.count >= 8 else { return damaged(frame, "a UDP header is cut", ip) }
            let length = Int(bytes.u16(start + 4, bigEndian: true))
            // 0: a datagram above 64 KiB that segmentation offload made.
            let end = length == 0 ? range.upperBound : start + length
            guard length == 0 || length >= 8 else { return damaged(frame, "a UDP length of \(length)", ip) }
            let isCut = end > range.upperBound
            if isCut, ip.missing == 0, !frame.isCut { return damaged(frame, "a UDP length beyond its IP packet", ip) }
            if isCut { note("a UDP datagram is cut by the capture", frame) }
            return packet(
                frame, .udp, ip, ports: (bytes.u16(start, bigEndian: true), bytes.u16(start + 2, bigEndian: true)),
                payload: bytes.array(start + 8..<min(end, range.upperBound)), fileOffset: fileOffset(start + 8), isCut: isCut)
        case 6:
            guard range.count >= 20 else { return damaged(frame, "a TCP header is cut", ip) }
            let headerLength = Int(bytes.byte(start + 12) >> 4) * 4
            guard headerLength >= 20, headerLength <= range.count else {
                return damaged(frame, "a TCP header of \(headerLength) bytes", ip)
            }
            let flags = bytes.byte(start + 13)
            let isCut = ip.missing > 0
            if isCut { note("a TCP segment is cut by the capture", frame) }
            let header = TCPHeader(
                sequence: bytes.u32(start + 4, bigEndian: true), acknowledgement: bytes.u32(start + 8, bigEndian: true),
                isSYN: flags & 2 != 0, isACK: flags & 16 != 0, isFIN: flags & 1 != 0, isReset: flags & 4 != 0,
                window: bytes.u16(start + 14, bigEndian: true))
            return packet(
                frame, .tcp(header), ip, ports: (bytes.u16(start, bigEndian: true), bytes.u16(start + 2, bigEndian: true)),
                payload: bytes.array(start + headerLength..<range.upperBound), fileOffset: fileOffset(start + headerLength), isCut: isCut)
        case 1: return packet(frame, .other("ICMP"), ip)
        case 58: return packet(frame, .other("ICMPv6"), ip)
        default: return packet(frame, .other("IP protocol \(ip.protocolNumber)"), ip)
        }
    }

    private mutating func note(_ reason: String, _ frame: CapturedFrame) {
        let before = issues[reason]
        issues[reason] = ((before?.count ?? 0) + 1, before?.firstFrame ?? frame.number)
    }

    private mutating func damaged(_ frame: CapturedFrame, _ reason: String, _ ip: IPPacket? = nil) -> CapturedPacket {
        note(reason, frame)
        return packet(frame, .damaged(reason), ip)
    }

    private func packet(
        _ frame: CapturedFrame, _ transport: CapturedTransport, _ ip: IPPacket? = nil, ports: (UInt16, UInt16) = (0, 0),
        payload: [UInt8] = [], fileOffset: Int? = nil, isCut: Bool = false
    ) -> CapturedPacket {
        CapturedPacket(
            number: frame.number, timeNanoseconds: frame.timeNanoseconds, source: Endpoint((ip?.source ?? .any).unmapped, ports.0),
            destination: Endpoint((ip?.destination ?? .any).unmapped, ports.1), transport: transport, timeToLive: ip?.timeToLive ?? 0,
            dontFragment: ip?.dontFragment ?? false, ipLength: ip?.length ?? 0, payload: payload, payloadFileOffset: fileOffset,
            isCut: isCut || frame.isCut && ip == nil, comments: frame.comments)
    }
}
