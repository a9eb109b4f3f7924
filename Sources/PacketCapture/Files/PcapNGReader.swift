/// Reads the blocks of a pcapng file (draft-ietf-opsawg-pcapng): any number of sections, each with its own byte order and interfaces.
struct PcapNGReader {
    private struct Interface {
        let linkTypeNumber: Int
        let linkTypeOffset: Int
        let snapLength: Int
        /// Ticks a second, as a power of ten or of two.
        let isBinary: Bool
        let exponent: Int
        let offsetSeconds: Int64
    }

    private let bytes: CaptureBytes
    private var bigEndian = false
    private var interfaces: [Interface] = []
    private var skipped: [UInt32: Int] = [:]

    init(_ bytes: CaptureBytes) { self.bytes = bytes }

    private func error(_ message: String, _ offset: Int) -> CaptureError { CaptureError(message, file: bytes.name, offset: offset) }
    private func u16(_ at: Int) -> Int { Int(bytes.u16(at, bigEndian: bigEndian)) }
    private func u32(_ at: Int) -> Int { Int(bytes.u32(at, bigEndian: bigEndian)) }

    mutating func read(into file: inout CaptureFile) throws(CaptureError) {
        var offset = 0
        while offset < bytes.count {
            guard bytes.count - offset >= 12 else {
                throw error("the capture is cut: a block needs at least 12 bytes, \(bytes.count - offset) are there", offset)
            }
            if bytes.u32(offset, bigEndian: true) == 0x0a0d_0d0a { try beginSection(offset) }
            let type = bytes.u32(offset, bigEndian: bigEndian)
            let length = u32(offset + 4)
            guard length >= 12, length % 4 == 0 else { throw error("a block says it has \(length) bytes, which no block has", offset + 4) }
            guard length <= bytes.count - offset else {
                throw error("a block says it has \(length) bytes, but only \(bytes.count - offset) are left in the file", offset + 4)
            }
            let trailer = u32(offset + length - 4)
            guard trailer == length else {
                throw error("a block's two lengths differ: \(length) at its start, \(trailer) at its end", offset + length - 4)
            }
            try block(type, body: offset + 8..<offset + length - 4, into: &file)
            offset += length
        }
        file.skippedBlocks = skipped.sorted { $0.key < $1.key }.map { (type: $0.key, count: $0.value) }
    }

    private mutating func beginSection(_ offset: Int) throws(CaptureError) {
        guard bytes.count - offset >= 28 else { throw error("the section header is cut: it has 28 bytes at least", offset) }
        switch bytes.u32(offset + 8, bigEndian: true) {
        case 0x1a2b_3c4d: bigEndian = true
        case 0x4d3c_2b1a: bigEndian = false
        default: throw error("the byte-order magic of a section header is wrong", offset + 8)
        }
        let major = u16(offset + 12)
        guard major == 1 else { throw error("pcapng version \(major) is not known (1 is)", offset + 12) }
        interfaces.removeAll()
    }

    private mutating func block(_ type: UInt32, body: Range<Int>, into file: inout CaptureFile) throws(CaptureError) {
        switch type {
        case 0x0a0d_0d0a: break
        case 1: try interfaceDescription(body, &file)
        case 2: try packet(body, header: 20, interface: body.count >= 4 ? u16(body.lowerBound) : 0, &file)
        case 3: try simplePacket(body, &file)
        case 5: try statistics(body, &file)
        case 6: try packet(body, header: 20, interface: body.count >= 4 ? u32(body.lowerBound) : 0, &file)
        case 10: try secrets(body, &file)
        default: skipped[type, default: 0] += 1
        }
    }

    private mutating func interfaceDescription(_ body: Range<Int>, _ file: inout CaptureFile) throws(CaptureError) {
        guard body.count >= 8 else { throw error("an interface description is too short", body.lowerBound) }
        guard interfaces.count < 65536 else { throw error("more than 65536 interfaces in one section", body.lowerBound) }
        var isBinary = false
        var exponent = 6
        var shift: Int64 = 0
        try options(body.lowerBound + 8..<body.upperBound) { code, range in
            if code == 9, range.count == 1 {
                isBinary = bytes.byte(range.lowerBound) & 0x80 != 0
                exponent = Int(bytes.byte(range.lowerBound) & 0x7f)
            } else if code == 14, range.count == 8 {
                shift = Int64(bitPattern: bytes.u64(range.lowerBound, bigEndian: bigEndian))
            }
        }
        guard exponent <= (isBinary ? 62 : 18) else { throw error("a time resolution of \(exponent) is not usable", body.lowerBound) }
        if isBinary ? exponent > 20 : exponent > 6 { file.hasNanoseconds = true }
        interfaces.append(
            Interface(
                linkTypeNumber: u16(body.lowerBound), linkTypeOffset: body.lowerBound, snapLength: u32(body.lowerBound + 4),
                isBinary: isBinary, exponent: exponent, offsetSeconds: shift))
    }

    private func interface(_ index: Int, _ at: Int) throws(CaptureError) -> (Interface, LinkType) {
        guard index < interfaces.count else { throw error("a packet names interface \(index), which the section does not have", at) }
        let interface = interfaces[index]
        guard let type = LinkType(rawValue: interface.linkTypeNumber) else {
            throw CaptureFile.unsupported(interface.linkTypeNumber, file: bytes.name, offset: interface.linkTypeOffset)
        }
        return (interface, type)
    }

    private mutating func packet(_ body: Range<Int>, header: Int, interface index: Int, _ file: inout CaptureFile) throws(CaptureError) {
        guard body.count >= header else { throw error("a packet block is too short", body.lowerBound) }
        let (interface, linkType) = try interface(index, body.lowerBound)
        let captured = u32(body.lowerBound + 12)
        guard captured <= body.count - header else {
            throw error(
                "packet \(file.frames.count + 1) says it has \(captured) bytes, but its block holds only \(body.count - header)",
                body.lowerBound + 12)
        }
        let ticks = UInt64(u32(body.lowerBound + 4)) << 32 | UInt64(u32(body.lowerBound + 8))
        let start = body.lowerBound + header
        var comments: [String] = []
        var dropped: UInt64 = 0
        let padded = start + (captured + 3) / 4 * 4
        if padded < body.upperBound {
            try options(padded..<body.upperBound) { code, range in
                if code == 1 { comments.append(String(decoding: bytes.array(range), as: UTF8.self)) }
                if code == 4, range.count == 8 { dropped &+= bytes.u64(range.lowerBound, bigEndian: bigEndian) }
            }
        }
        file.droppedByCapture &+= dropped
        file.frames.append(
            CapturedFrame(
                number: file.frames.count + 1, timeNanoseconds: nanoseconds(ticks, interface), linkType: linkType,
                range: start..<start + captured, originalLength: u32(body.lowerBound + 16), interface: index, comments: comments))
    }

    private mutating func simplePacket(_ body: Range<Int>, _ file: inout CaptureFile) throws(CaptureError) {
        guard body.count >= 4 else { throw error("a simple packet block is too short", body.lowerBound) }
        let (interface, linkType) = try interface(0, body.lowerBound)
        let original = u32(body.lowerBound)
        let limit = interface.snapLength == 0 ? original : min(original, interface.snapLength)
        guard limit <= body.count - 4 else {
            throw error("a simple packet of \(limit) bytes does not fit its block of \(body.count - 4)", body.lowerBound)
        }
        let start = body.lowerBound + 4
        file.frames.append(
            CapturedFrame(
                number: file.frames.count + 1, timeNanoseconds: 0, linkType: linkType, range: start..<start + limit,
                originalLength: original, interface: 0, comments: []))
    }

    private func statistics(_ body: Range<Int>, _ file: inout CaptureFile) throws(CaptureError) {
        guard body.count >= 12 else { throw error("an interface statistics block is too short", body.lowerBound) }
        var dropped: UInt64 = 0
        try options(body.lowerBound + 12..<body.upperBound) { code, range in
            // isb_ifdrop and isb_osdrop.
            if code == 5 || code == 7, range.count == 8 { dropped &+= bytes.u64(range.lowerBound, bigEndian: bigEndian) }
        }
        file.droppedByCapture &+= dropped
    }

    private func secrets(_ body: Range<Int>, _ file: inout CaptureFile) throws(CaptureError) {
        guard body.count >= 8 else { throw error("a decryption secrets block is too short", body.lowerBound) }
        let length = u32(body.lowerBound + 4)
        guard length <= body.count - 8 else {
            throw error("secrets of \(length) bytes do not fit their block of \(body.count - 8)", body.lowerBound + 4)
        }
        let start = body.lowerBound + 8
        file.secrets.append(CapturedSecrets(type: UInt32(truncatingIfNeeded: u32(body.lowerBound)), range: start..<start + length))
    }

    private func options(_ range: Range<Int>, _ each: (_ code: Int, _ value: Range<Int>) -> Void) throws(CaptureError) {
        var offset = range.lowerBound
        while range.upperBound - offset >= 4 {
            let code = u16(offset)
            let length = u16(offset + 2)
            if code == 0 { return }
            guard length <= range.upperBound - offset - 4 else {
                throw error("an option of \(length) bytes does not fit its block", offset)
            }
            each(code, offset + 4..<offset + 4 + length)
            offset += 4 + (length + 3) / 4 * 4
        }
    }

    /// From 1970 to 2116, whatever the file says: so nobody who subtracts two times has to fear for the difference.
    private func nanoseconds(_ ticks: UInt64, _ interface: Interface) -> Int64 { min(max(rawNanoseconds(ticks, interface), 0), 1 << 62) }

    private func rawNanoseconds(_ ticks: UInt64, _ interface: Interface) -> Int64 {
        let base = interface.offsetSeconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue
        if interface.isBinary {
            let seconds = ticks >> UInt64(interface.exponent)
            let rest = ticks & ((1 << UInt64(interface.exponent)) - 1)
            let fraction = rest.multipliedFullWidth(by: 1_000_000_000)
            let low =
                interface.exponent == 0 ? 0 : fraction.low >> UInt64(interface.exponent) | fraction.high << UInt64(64 - interface.exponent)
            return base &+ Int64(truncatingIfNeeded: seconds &* 1_000_000_000 &+ low)
        }
        var scale: UInt64 = 1
        if interface.exponent <= 9 {
            for _ in interface.exponent..<9 { scale *= 10 }
            return base &+ Int64(truncatingIfNeeded: ticks &* scale)
        }
        for _ in 9..<interface.exponent { scale *= 10 }
        return base &+ Int64(truncatingIfNeeded: ticks / scale)
    }
}
