import SansIO

/// Reads compact-encoding values from bytes; every read is bounds-checked and names its field. dht-rpc.md section 1.
///
/// With a `recorder`, each read is also noted as (name, byte range, value); without one a read costs a nil check more.
public struct Reader {
    public let bytes: [UInt8]
    /// The next byte to be read.
    public private(set) var offset: Int
    /// One past the last byte that may be read.
    public let end: Int
    public let recorder: FieldRecorder?
    /// Index of the array element being read, noted in records; -1 outside arrays.
    private var index: Int32 = -1

    public init(_ bytes: [UInt8], recorder: FieldRecorder? = nil) {
        self.bytes = bytes
        offset = 0
        end = bytes.count
        self.recorder = recorder
    }

    /// Reads only `range` of the bytes; offsets in records and errors stay those of `bytes`. The range is clamped to what exists.
    public init(_ bytes: [UInt8], range: Range<Int>, recorder: FieldRecorder? = nil) {
        self.bytes = bytes
        offset = min(max(0, range.lowerBound), bytes.count)
        end = min(max(offset, range.upperBound), bytes.count)
        self.recorder = recorder
    }

    public var remaining: Int { end - offset }
    public var isAtEnd: Bool { offset == end }

    /// A reader over `range`, with the same bytes and the same recorder: for messages inside buffers.
    public func nested(_ range: Range<Int>) -> Reader { Reader(bytes, range: range.clamped(to: 0..<end), recorder: recorder) }

    @inline(__always)
    private func need(_ count: Int, _ field: StaticString) throws(DecodingFailure) {
        if count > end - offset { throw DecodingFailure(.outOfBounds, at: offset, field: field) }
    }

    @inline(__always)
    private func note(_ field: StaticString, from prefixStart: Int, contentStart: Int? = nil, _ value: @autoclosure () -> FieldValue) {
        if let recorder {
            recorder.add(
                field, index: index, prefixStart: prefixStart, start: contentStart ?? prefixStart, end: offset, value: value())
        }
    }

    @inline(__always)
    private mutating func littleEndian(_ count: Int, _ field: StaticString) throws(DecodingFailure) -> UInt64 {
        try need(count, field)
        var value: UInt64 = 0
        for shift in 0..<count { value |= UInt64(bytes[offset + shift]) << (8 * UInt64(shift)) }
        offset += count
        return value
    }

    /// Throws a failure of the message's own rules at the current offset.
    public func failure(_ kind: DecodingFailure.Kind, _ field: StaticString, at offset: Int? = nil) -> DecodingFailure {
        DecodingFailure(kind, at: offset ?? self.offset, field: field)
    }

    // MARK: Groups

    /// Reads the fields of a structure; they are recorded inside a group of that name.
    public mutating func group<T>(
        _ field: StaticString, _ body: (inout Reader) throws(DecodingFailure) -> T
    ) throws(DecodingFailure) -> T {
        recorder?.begin(field, index: index, at: offset)
        let outer = index
        index = -1
        defer {
            index = outer
            recorder?.end(at: offset)
        }
        return try body(&self)
    }

    /// A count, then that many items. Counts above 0x100000 are refused before any item is read.
    public mutating func array<T>(
        _ field: StaticString, _ item: (inout Reader) throws(DecodingFailure) -> T
    ) throws(DecodingFailure) -> [T] {
        recorder?.begin(field, index: index, at: offset)
        let outer = index
        defer {
            index = outer
            recorder?.end(at: offset)
        }
        index = -1
        let at = offset
        let count = try uint("count")
        guard count <= 0x100000 else { throw DecodingFailure(.arrayTooLong, at: at, field: field) }
        var items: [T] = []
        // Never reserve by a peer's word alone: an item takes at least one byte, or the reader fails soon.
        items.reserveCapacity(min(Int(count), remaining))
        for number in 0..<Int(count) {
            index = Int32(truncatingIfNeeded: number)
            items.append(try item(&self))
        }
        return items
    }

    // MARK: Integers

    public mutating func uint8(_ field: StaticString) throws(DecodingFailure) -> UInt8 {
        let at = offset
        try need(1, field)
        let value = bytes[offset]
        offset += 1
        note(field, from: at, .uint(UInt64(value)))
        return value
    }

    public mutating func uint16(_ field: StaticString) throws(DecodingFailure) -> UInt16 {
        UInt16(truncatingIfNeeded: try fixedUint(2, field))
    }

    public mutating func uint32(_ field: StaticString) throws(DecodingFailure) -> UInt32 {
        UInt32(truncatingIfNeeded: try fixedUint(4, field))
    }

    /// Unsigned, little-endian, `width` bytes (1...8). Eight bytes above 2^53 - 1 are refused as the reference does.
    public mutating func fixedUint(_ width: Int, _ field: StaticString) throws(DecodingFailure) -> UInt64 {
        let at = offset
        let value = try littleEndian(width, field)
        guard value <= Reader.largestInteger else { throw DecodingFailure(.integerTooLarge, at: at, field: field) }
        note(field, from: at, .uint(value))
        return value
    }

    /// Unsigned, little-endian, all 64 bits.
    public mutating func biguint64(_ field: StaticString) throws(DecodingFailure) -> UInt64 {
        let at = offset
        let value = try littleEndian(8, field)
        note(field, from: at, .uint(value))
        return value
    }

    /// The variable-length unsigned integer. Longer forms than necessary are accepted.
    public mutating func uint(_ field: StaticString) throws(DecodingFailure) -> UInt64 {
        let at = offset
        let value = try varint(field)
        note(field, from: at, .uint(value))
        return value
    }

    private mutating func varint(_ field: StaticString) throws(DecodingFailure) -> UInt64 {
        let at = offset
        let first = try littleEndian(1, field)
        let value: UInt64
        switch first {
        case 0xfd: value = try littleEndian(2, field)
        case 0xfe: value = try littleEndian(4, field)
        case 0xff: value = try littleEndian(8, field)
        default: return first
        }
        guard value <= Reader.largestInteger else { throw DecodingFailure(.integerTooLarge, at: at, field: field) }
        // MUX-23: longer forms than necessary are accepted.
        if value <= 0xfc, Mutation.protomux(23).isActive { throw DecodingFailure(.invalidValue, at: at, field: field) }
        return value
    }

    /// Zigzag, then `uint`.
    public mutating func int(_ field: StaticString) throws(DecodingFailure) -> Int64 {
        let at = offset
        let value = Reader.unzigzag(try varint(field))
        note(field, from: at, .int(value))
        return value
    }

    /// Zigzag, then `width` bytes (1...8).
    public mutating func fixedInt(_ width: Int, _ field: StaticString) throws(DecodingFailure) -> Int64 {
        let at = offset
        let raw = try littleEndian(width, field)
        guard raw <= Reader.largestInteger else { throw DecodingFailure(.integerTooLarge, at: at, field: field) }
        let value = Reader.unzigzag(raw)
        note(field, from: at, .int(value))
        return value
    }

    /// The integer that sorts as bytes.
    public mutating func lexint(_ field: StaticString) throws(DecodingFailure) -> UInt64 {
        let at = offset
        let value = try lexicographic(field)
        note(field, from: at, .uint(value))
        return value
    }

    private mutating func lexicographic(_ field: StaticString) throws(DecodingFailure) -> UInt64 {
        let at = offset
        let first = try littleEndian(1, field)
        if first <= 250 { return first }
        if first < 255 {
            let count = Int(first) - 250
            try need(count, field)
            var value: UInt64 = 0
            for shift in 0..<count { value = value << 8 | UInt64(bytes[offset + shift]) }
            offset += count
            return value + 251
        }
        // The exponent is 21 at most, so always one byte; a longer form would let a peer choose the depth of a recursion.
        let exponent = try littleEndian(1, field)
        try need(6, field)
        var mantissa: UInt64 = 0
        for shift in 0..<6 { mantissa = mantissa << 8 | UInt64(bytes[offset + shift]) }
        offset += 6
        guard exponent <= 21 else { throw DecodingFailure(.integerTooLarge, at: at, field: field) }
        // The six bytes hold (v - 251) * 2^(11 - e): the value's top 44 bits and more, shifted to the left.
        let value = exponent >= 11 ? mantissa << (exponent - 11) : mantissa >> (11 - exponent)
        guard value <= Reader.largestInteger - 251 else { throw DecodingFailure(.integerTooLarge, at: at, field: field) }
        return value + 251
    }

    public mutating func float32(_ field: StaticString) throws(DecodingFailure) -> Float {
        let at = offset
        let value = Float(bitPattern: UInt32(truncatingIfNeeded: try littleEndian(4, field)))
        note(field, from: at, .double(Double(value)))
        return value
    }

    public mutating func float64(_ field: StaticString) throws(DecodingFailure) -> Double {
        let at = offset
        let value = Double(bitPattern: try littleEndian(8, field))
        note(field, from: at, .double(value))
        return value
    }

    /// One byte; true only for exactly 1.
    public mutating func bool(_ field: StaticString) throws(DecodingFailure) -> Bool {
        let at = offset
        let value = try littleEndian(1, field) == 1
        note(field, from: at, .bool(value))
        return value
    }

    // MARK: Bytes

    /// Exactly `count` bytes.
    public mutating func fixed(_ count: Int, _ field: StaticString) throws(DecodingFailure) -> [UInt8] {
        let at = offset
        try need(count, field)
        offset += count
        note(field, from: at, .bytes)
        return Array(bytes[at..<offset])
    }

    public mutating func fixed32(_ field: StaticString) throws(DecodingFailure) -> Bytes32 {
        let at = offset
        try need(32, field)
        offset += 32
        note(field, from: at, .bytes)
        return Bytes32(bytes, at: at)
    }

    /// A length, then that many bytes.
    public mutating func buffer(_ field: StaticString) throws(DecodingFailure) -> [UInt8] { Array(bytes[try bufferRange(field)]) }

    /// As `buffer`, but says where the content stands instead of copying it.
    public mutating func bufferRange(_ field: StaticString) throws(DecodingFailure) -> Range<Int> {
        let at = offset
        let length = try varint(field)
        let start = offset
        guard length <= UInt64(end - offset) else { throw DecodingFailure(.outOfBounds, at: start, field: field) }
        offset += Int(length)
        note(field, from: at, contentStart: start, .bytes)
        return start..<offset
    }

    /// A length in bytes, then UTF-8. Invalid sequences decode to U+FFFD, as the reference's decoder does.
    public mutating func string(_ field: StaticString) throws(DecodingFailure) -> String {
        let at = offset
        let length = try varint(field)
        let start = offset
        guard length <= UInt64(end - offset) else { throw DecodingFailure(.outOfBounds, at: start, field: field) }
        offset += Int(length)
        note(field, from: at, contentStart: start, .string)
        return String(decoding: bytes[start..<offset], as: UTF8.self)
    }

    /// Everything that is left.
    public mutating func raw(_ field: StaticString) -> [UInt8] { Array(bytes[rawRange(field)]) }

    /// As `raw`, but says where it stands.
    public mutating func rawRange(_ field: StaticString) -> Range<Int> {
        let at = offset
        offset = end
        note(field, from: at, .bytes)
        return at..<end
    }

    // MARK: Addresses

    public mutating func ipv4(_ field: StaticString) throws(DecodingFailure) -> IPAddress {
        let at = offset
        let value = try hostV4(field)
        note(field, from: at, .address(value))
        return value
    }

    public mutating func ipv6(_ field: StaticString) throws(DecodingFailure) -> IPAddress {
        let at = offset
        let value = try hostV6(field)
        note(field, from: at, .address(value))
        return value
    }

    /// Host (4 bytes), then port (little-endian).
    public mutating func ipv4Address(_ field: StaticString) throws(DecodingFailure) -> Endpoint {
        let at = offset
        if recorder == nil, end - offset >= 6 {
            offset += 6
            return bytes.withUnsafeBytes { Reader.endpoint($0, at) }
        }
        let host = try hostV4(field)
        let value = Endpoint(host, UInt16(truncatingIfNeeded: try littleEndian(2, field)))
        note(field, from: at, .endpoint(value))
        return value
    }

    /// A count, then that many IPv4 addresses.
    public mutating func ipv4Addresses(_ field: StaticString, item: StaticString) throws(DecodingFailure) -> [Endpoint] {
        let at = offset
        // The short way of `array`: short lists that are there in full, and nobody records them.
        if recorder == nil, offset < end, bytes[offset] < 0xfd, end - offset - 1 >= 6 * Int(bytes[offset]) {
            let count = Int(bytes[at])
            offset += 1 + 6 * count
            return bytes.withUnsafeBytes { buffer in
                [Endpoint](unsafeUninitializedCapacity: count) { output, initialised in
                    for index in 0..<count { output.initializeElement(at: index, to: Reader.endpoint(buffer, at + 1 + 6 * index)) }
                    initialised = count
                }
            }
        }
        return try array(field) { (reader: inout Reader) throws(DecodingFailure) in try reader.ipv4Address(item) }
    }

    /// Six bytes that are there.
    @inline(__always)
    private static func endpoint(_ buffer: UnsafeRawBufferPointer, _ at: Int) -> Endpoint {
        Endpoint(
            .v4(UInt32(bigEndian: buffer.loadUnaligned(fromByteOffset: at, as: UInt32.self))),
            UInt16(littleEndian: buffer.loadUnaligned(fromByteOffset: at + 4, as: UInt16.self)))
    }

    /// Host (16 bytes), then port (little-endian).
    public mutating func ipv6Address(_ field: StaticString) throws(DecodingFailure) -> Endpoint {
        let at = offset
        let host = try hostV6(field)
        let value = Endpoint(host, UInt16(truncatingIfNeeded: try littleEndian(2, field)))
        note(field, from: at, .endpoint(value))
        return value
    }

    private mutating func hostV4(_ field: StaticString) throws(DecodingFailure) -> IPAddress {
        .v4(UInt32(truncatingIfNeeded: try littleEndian(4, field)).byteSwapped)
    }

    private mutating func hostV6(_ field: StaticString) throws(DecodingFailure) -> IPAddress {
        let high = try littleEndian(8, field).byteSwapped
        return .v6(high, try littleEndian(8, field).byteSwapped)
    }

    /// 2^53 - 1: larger integers are refused by compact-encoding 3.2 and misread by older versions.
    public static let largestInteger: UInt64 = (1 << 53) - 1

    private static func unzigzag(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value >> 1) ^ (0 &- Int64(bitPattern: value & 1))
    }
}
