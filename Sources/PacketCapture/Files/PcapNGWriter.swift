import CompactEncoding
import KeyLog
import SansIO

/// Writes pcapng: one section, little-endian, one interface with nanosecond times.
///
/// The key log goes into a Decryption Secrets Block of type `HSKL`, findings into packet comments, so that a file of ours opens in Wireshark
/// with everything in it.
public struct PcapNGWriter {
    public private(set) var bytes: [UInt8] = []

    public init(linkType: LinkType = .ethernet, application: String = "hyperconform", interfaceName: String? = nil) {
        var header: [UInt8] = []
        header.append32(0x1a2b_3c4d)
        header.append16(1)
        header.append16(0)
        header.append64(UInt64.max)
        header += option(4, Array(application.utf8)) + [0, 0, 0, 0]
        block(0x0a0d_0d0a, header)
        var interface: [UInt8] = []
        interface.append16(UInt16(truncatingIfNeeded: linkType.rawValue))
        interface.append16(0)
        interface.append32(0)
        if let interfaceName { interface += option(2, Array(interfaceName.utf8)) }
        interface += option(9, [9]) + [0, 0, 0, 0]
        block(1, interface)
    }

    /// Secrets must stand before the packets that they open.
    public mutating func add(secrets: [UInt8], type: UInt32 = CapturedSecrets.hyperswarmKeyLog) {
        var body: [UInt8] = []
        body.append32(type)
        body.append32(UInt32(truncatingIfNeeded: secrets.count))
        body += secrets
        pad(&body)
        block(10, body)
    }

    public mutating func add(keyLog: KeyLog, headerTime: Instant) { add(secrets: Array(keyLog.text(headerTime: headerTime).utf8)) }

    public mutating func add(frame: [UInt8], timeNanoseconds: Int64, originalLength: Int? = nil, comments: [String] = []) {
        let ticks = UInt64(bitPattern: timeNanoseconds)
        var body: [UInt8] = []
        body.reserveCapacity(frame.count + 32)
        body.append32(0)
        body.append32(UInt32(truncatingIfNeeded: ticks >> 32))
        body.append32(UInt32(truncatingIfNeeded: ticks))
        body.append32(UInt32(truncatingIfNeeded: frame.count))
        body.append32(UInt32(truncatingIfNeeded: originalLength ?? frame.count))
        body += frame
        pad(&body)
        for comment in comments { body += option(1, Array(comment.utf8.prefix(65_000))) }
        if !comments.isEmpty { body += [0, 0, 0, 0] }
        block(6, body)
    }

    /// What the capturing system counted, written at the end.
    public mutating func add(received: UInt64, dropped: UInt64, timeNanoseconds: Int64) {
        let ticks = UInt64(bitPattern: timeNanoseconds)
        var body: [UInt8] = []
        body.append32(0)
        body.append32(UInt32(truncatingIfNeeded: ticks >> 32))
        body.append32(UInt32(truncatingIfNeeded: ticks))
        var number: [UInt8] = []
        number.append64(received)
        body += option(4, number)
        number.removeAll()
        number.append64(dropped)
        body += option(7, number) + [0, 0, 0, 0]
        block(5, body)
    }

    /// Hands out what was written so far and forgets it: for writing to disk bit by bit.
    public mutating func take() -> [UInt8] {
        defer { bytes.removeAll(keepingCapacity: true) }
        return bytes
    }

    private func option(_ code: UInt16, _ value: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.append16(code)
        result.append16(UInt16(truncatingIfNeeded: value.count))
        result += value
        pad(&result)
        return result
    }

    private func pad(_ body: inout [UInt8]) { while body.count % 4 != 0 { body.append(0) } }

    private mutating func block(_ type: UInt32, _ body: [UInt8]) {
        let length = UInt32(truncatingIfNeeded: body.count + 12)
        bytes.append32(type)
        bytes.append32(length)
        bytes += body
        bytes.append32(length)
    }
}

/// Writes classic pcap: little-endian, microseconds or nanoseconds.
public struct PcapWriter {
    public private(set) var bytes: [UInt8] = []
    private let hasNanoseconds: Bool

    public init(linkType: LinkType = .ethernet, nanoseconds: Bool = false) {
        hasNanoseconds = nanoseconds
        bytes.append32(nanoseconds ? 0xa1b2_3c4d : 0xa1b2_c3d4)
        bytes.append16(2)
        bytes.append16(4)
        bytes.append64(0)
        bytes.append32(262_144)
        bytes.append32(UInt32(truncatingIfNeeded: linkType.rawValue))
    }

    public mutating func add(frame: [UInt8], timeNanoseconds: Int64, originalLength: Int? = nil) {
        bytes.append32(UInt32(truncatingIfNeeded: timeNanoseconds / 1_000_000_000))
        bytes.append32(UInt32(truncatingIfNeeded: timeNanoseconds % 1_000_000_000 / (hasNanoseconds ? 1 : 1000)))
        bytes.append32(UInt32(truncatingIfNeeded: frame.count))
        bytes.append32(UInt32(truncatingIfNeeded: originalLength ?? frame.count))
        bytes += frame
    }
}

extension [UInt8] {
    mutating func append16(_ value: UInt16) { for shift in 0..<2 { append(UInt8(truncatingIfNeeded: value >> UInt16(8 * shift))) } }
    mutating func append32(_ value: UInt32) { for shift in 0..<4 { append(UInt8(truncatingIfNeeded: value >> UInt32(8 * shift))) } }
    mutating func append64(_ value: UInt64) { for shift in 0..<8 { append(UInt8(truncatingIfNeeded: value >> UInt64(8 * shift))) } }
}
