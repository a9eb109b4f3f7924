import SansIO

/// Writes compact-encoding values. dht-rpc.md section 1. Integers take their shortest form.
public struct Writer {
    public var bytes: [UInt8]

    public init() { bytes = [] }
    public init(capacity: Int) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    @inline(__always)
    private mutating func littleEndian(_ value: UInt64, _ width: Int) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0[0..<min(max(0, width), 8)]) }
    }

    public mutating func uint8(_ value: UInt8) { bytes.append(value) }
    public mutating func uint16(_ value: UInt16) { littleEndian(UInt64(value), 2) }
    public mutating func uint32(_ value: UInt32) { littleEndian(UInt64(value), 4) }
    /// The low `width` bytes (1...8), little-endian.
    public mutating func fixedUint(_ value: UInt64, width: Int) { littleEndian(value, width) }
    public mutating func biguint64(_ value: UInt64) { littleEndian(value, 8) }

    public mutating func uint(_ value: UInt64) {
        switch value {
        case ...0xfc: bytes.append(UInt8(value))
        case ...0xffff:
            bytes.append(0xfd)
            littleEndian(value, 2)
        case ...0xffff_ffff:
            bytes.append(0xfe)
            littleEndian(value, 4)
        default:
            bytes.append(0xff)
            littleEndian(value, 8)
        }
    }

    public mutating func uint(_ value: Int) { uint(UInt64(max(0, value))) }

    public mutating func int(_ value: Int64) { uint(Writer.zigzag(value)) }
    public mutating func fixedInt(_ value: Int64, width: Int) { littleEndian(Writer.zigzag(value), width) }

    public mutating func lexint(_ value: UInt64) {
        if value <= 250 {
            bytes.append(UInt8(value))
            return
        }
        let rest = value - 251
        if value < 1 << 32 {
            let count = value < 1 << 8 ? 1 : value < 1 << 16 ? 2 : value < 1 << 24 ? 3 : 4
            bytes.append(UInt8(250 + count))
            for shift in stride(from: 8 * (count - 1), through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: rest >> UInt64(shift)))
            }
            return
        }
        bytes.append(0xff)
        let exponent = rest >> 32 == 0 ? 0 : UInt64(31 - (rest >> 32).leadingZeroBitCount + 32)
        lexint(exponent)
        let mantissa = exponent >= 11 ? rest >> (exponent - 11) : rest << (11 - exponent)
        for shift in stride(from: 40, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: mantissa >> UInt64(shift))) }
    }

    public mutating func float32(_ value: Float) { littleEndian(UInt64(value.bitPattern), 4) }
    public mutating func float64(_ value: Double) { littleEndian(value.bitPattern, 8) }
    public mutating func bool(_ value: Bool) { bytes.append(value ? 1 : 0) }

    public mutating func fixed(_ value: [UInt8]) { bytes.append(contentsOf: value) }
    public mutating func fixed32(_ value: Bytes32) { value.append(to: &bytes) }
    public mutating func raw(_ value: [UInt8]) { bytes.append(contentsOf: value) }
    public mutating func raw(_ value: UnsafeRawBufferPointer) { bytes.append(contentsOf: value) }

    public mutating func buffer(_ value: [UInt8]) {
        uint(value.count)
        bytes.append(contentsOf: value)
    }

    public mutating func string(_ value: String) {
        uint(value.utf8.count)
        bytes.append(contentsOf: value.utf8)
    }

    public mutating func array<T>(_ items: [T], _ item: (inout Writer, T) -> Void) {
        uint(items.count)
        for value in items { item(&self, value) }
    }

    /// The host's octets in printed order (4 for IPv4, 16 for IPv6).
    public mutating func host(_ value: IPAddress) {
        switch value {
        case .v4(let host): withUnsafeBytes(of: host.bigEndian) { bytes.append(contentsOf: $0) }
        case .v6(let high, let low): withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { bytes.append(contentsOf: $0) }
        }
    }

    /// Host, then port (little-endian): 6 bytes for IPv4, 18 for IPv6.
    public mutating func address(_ value: Endpoint) {
        if case .v4(let host) = value.address {
            // The low six bytes of one little-endian word.
            let word = UInt64(host.byteSwapped) | UInt64(value.port) << 32
            withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0.prefix(6)) }
            return
        }
        host(value.address)
        uint16(value.port)
    }

    private static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value << 1) ^ (value >> 63)) }
}

/// A message with one decoder and one encoder; stack, dissector, diff and fuzzer all use these two.
public protocol CompactCodable {
    init(from reader: inout Reader) throws(DecodingFailure)
    func encode(to writer: inout Writer)
}

extension CompactCodable {
    /// The message's bytes.
    public var encoded: [UInt8] {
        var writer = Writer()
        encode(to: &writer)
        return writer.bytes
    }

    /// Decodes a whole message; bytes after its last field are ignored, as the reference does (dht-rpc.md section 1).
    public init(decoding bytes: [UInt8]) throws(DecodingFailure) {
        var reader = Reader(bytes)
        try self.init(from: &reader)
    }
}
