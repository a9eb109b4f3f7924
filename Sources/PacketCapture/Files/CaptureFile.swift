/// How the first bytes of a frame are to be read. Numbers are the tcpdump group's LINKTYPE values.
public enum LinkType: Int, Sendable, CaseIterable {
    /// BSD loopback: address family in the byte order of the machine that captured.
    case null = 0
    case ethernet = 1
    /// Raw IP under the numbers that some systems write.
    case rawBSD = 12
    case rawOpenBSD = 14
    case raw = 101
    /// OpenBSD loopback: address family in network order.
    case loop = 108
    case linuxCooked = 113
    case ipv4 = 228
    case ipv6 = 229
    case linuxCooked2 = 276
}

/// One captured frame: where its bytes stand in the file.
public struct CapturedFrame: Sendable {
    /// Counted from 1, as Wireshark does.
    public let number: Int
    /// Nanoseconds since 1970.
    public let timeNanoseconds: Int64
    public let linkType: LinkType
    /// The captured bytes.
    public let range: Range<Int>
    /// What the frame's length was on the link; more than `range.count` if the capture cut it.
    public let originalLength: Int
    /// Index of the interface (pcapng), else 0.
    public let interface: Int
    public let comments: [String]

    public var isCut: Bool { originalLength > range.count }
}

/// A block of secrets inside a pcapng file.
public struct CapturedSecrets: Sendable {
    public let type: UInt32
    public let range: Range<Int>

    /// `HSKL`: the payload is the lines of a Hyperswarm key log.
    public static let hyperswarmKeyLog: UInt32 = 0x4853_4B4C
}

/// A pcap or pcapng file, indexed: frames are ranges of the mapped bytes, nothing is copied.
///
/// A file that breaks its format's rules gives one `CaptureError` with the offset. Memory stays proportional to the number of frames, and a
/// frame takes at least 16 bytes of the file: no length in the file is believed before it was compared with what is there.
public struct CaptureFile: Sendable {
    public enum Format: String, Sendable { case pcap, pcapng }

    public let bytes: CaptureBytes
    public let format: Format
    public internal(set) var frames: [CapturedFrame] = []
    /// Decryption Secrets Blocks, in file order.
    public internal(set) var secrets: [CapturedSecrets] = []
    /// Packets that the capturing system says it lost (pcapng statistics blocks and drop counts).
    public internal(set) var droppedByCapture: UInt64 = 0
    /// pcapng blocks that were skipped, by type.
    public internal(set) var skippedBlocks: [(type: UInt32, count: Int)] = []
    /// Nanosecond or finer times.
    public internal(set) var hasNanoseconds = false

    public init(path: String, name: String? = nil) throws(CaptureError) {
        try self.init(CaptureBytes(path: path, name: name))
    }

    public init(_ bytes: CaptureBytes) throws(CaptureError) {
        self.bytes = bytes
        let file = bytes.name
        guard bytes.count > 0 else { throw CaptureError("the file is empty: a pcap or pcapng header is expected", file: file, offset: 0) }
        guard bytes.count >= 4 else {
            throw CaptureError("the file ends inside its first 4 bytes: a pcap or pcapng header is expected", file: file, offset: 0)
        }
        let magic = bytes.u32(0, bigEndian: true)
        switch magic {
        case 0xa1b2_c3d4, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x4d3c_b2a1:
            format = .pcap
            try readPcap(bigEndian: magic == 0xa1b2_c3d4 || magic == 0xa1b2_3c4d, nanoseconds: magic == 0xa1b2_3c4d || magic == 0x4d3c_b2a1)
        case 0x0a0d_0d0a:
            format = .pcapng
            var reader = PcapNGReader(bytes)
            try reader.read(into: &self)
        case 0xa1b2_cd34, 0x34cd_b2a1:
            throw CaptureError("this is the 'modified' pcap of old Linux patches; convert it with: editcap IN OUT", file: file, offset: 0)
        default:
            let shown = String(magic, radix: 16)
            throw CaptureError(
                "this is neither pcap nor pcapng (first bytes \(String(repeating: "0", count: 8 - shown.count) + shown))", file: file,
                offset: 0)
        }
    }

    /// The secrets of one type, laid end to end.
    public func secrets(ofType type: UInt32) -> [UInt8] {
        secrets.filter { $0.type == type }.reduce(into: []) { $0 += bytes.array($1.range) }
    }

    private mutating func readPcap(bigEndian: Bool, nanoseconds: Bool) throws(CaptureError) {
        let file = bytes.name
        guard bytes.count >= 24 else {
            throw CaptureError("the pcap header is cut: 24 bytes are needed, \(bytes.count) are there", file: file, offset: bytes.count)
        }
        let major = bytes.u16(4, bigEndian: bigEndian)
        guard major == 2 else { throw CaptureError("pcap version \(major) is not known (2 is)", file: file, offset: 4) }
        // The upper bits tell of checksums at the end of frames.
        let number = Int(bytes.u32(20, bigEndian: bigEndian) & 0x03ff_ffff)
        guard let linkType = LinkType(rawValue: number) else { throw CaptureFile.unsupported(number, file: file, offset: 20) }
        hasNanoseconds = nanoseconds
        let scale: Int64 = nanoseconds ? 1 : 1000
        var offset = 24
        while offset < bytes.count {
            guard bytes.count - offset >= 16 else {
                throw CaptureError(
                    "the capture is cut: a packet header needs 16 bytes, \(bytes.count - offset) are there", file: file, offset: offset)
            }
            let seconds = Int64(bytes.u32(offset, bigEndian: bigEndian))
            let fraction = Int64(bytes.u32(offset + 4, bigEndian: bigEndian))
            let captured = Int(bytes.u32(offset + 8, bigEndian: bigEndian))
            let original = Int(bytes.u32(offset + 12, bigEndian: bigEndian))
            guard captured <= bytes.count - offset - 16 else {
                throw CaptureError(
                    "packet \(frames.count + 1) says it has \(captured) bytes, but only \(bytes.count - offset - 16) are left in the file",
                    file: file, offset: offset + 8)
            }
            let start = offset + 16
            frames.append(
                CapturedFrame(
                    number: frames.count + 1, timeNanoseconds: seconds * 1_000_000_000 + fraction * scale, linkType: linkType,
                    range: start..<start + captured, originalLength: original, interface: 0, comments: []))
            offset = start + captured
        }
    }

    static func unsupported(_ number: Int, file: String, offset: Int) -> CaptureError {
        CaptureError(
            "link type \(number) is not supported (Ethernet, Linux cooked, loopback and raw IP are)", file: file, offset: offset)
    }
}
