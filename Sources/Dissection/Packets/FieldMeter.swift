import CompactEncoding
import PacketCapture
import SansIO

/// Dissects packet after packet and consumes every field: name, range and value go into a checksum. For measuring, and for comparing builds.
public struct FieldMeter {
    /// FNV-1a over all names, ranges and values.
    public private(set) var checksum: UInt64 = 0xcbf2_9ce4_8422_2325
    public private(set) var packets = 0
    public private(set) var fields = 0
    private let dissector = PacketDissector()

    public init() {}

    public mutating func consume(_ payload: [UInt8], to destination: Endpoint) {
        dissector.record(payload, to: destination)
        packets += 1
        var hash = checksum
        for record in dissector.recorder.records {
            fields += 1
            let name = record.name
            if name.hasPointerRepresentation {
                var pointer = name.utf8Start
                for _ in 0..<name.utf8CodeUnitCount {
                    hash = (hash ^ UInt64(pointer.pointee)) &* 0x100_0000_01b3
                    pointer += 1
                }
            }
            hash = (hash ^ UInt64(bitPattern: Int64(record.start)) << 32 ^ UInt64(bitPattern: Int64(record.end))) &* 0x100_0000_01b3
            switch record.value {
            case .uint(let value): hash = (hash ^ value) &* 0x100_0000_01b3
            case .int(let value): hash = (hash ^ UInt64(bitPattern: value)) &* 0x100_0000_01b3
            case .double(let value): hash = (hash ^ value.bitPattern) &* 0x100_0000_01b3
            case .bool(let value): hash = (hash ^ (value ? 1 : 0)) &* 0x100_0000_01b3
            case .endpoint(let value): hash = FieldMeter.mix(hash, value.address, UInt64(value.port))
            case .address(let value): hash = FieldMeter.mix(hash, value, 0)
            case .bytes, .string: hash = FieldMeter.mix(hash, payload, record.range)
            case .group: break
            }
        }
        checksum = hash
    }

    private static func mix(_ hash: UInt64, _ address: IPAddress, _ port: UInt64) -> UInt64 {
        switch address {
        case .v4(let value): ((hash ^ UInt64(value)) &* 0x100_0000_01b3 ^ port) &* 0x100_0000_01b3
        case .v6(let high, let low): (((hash ^ high) &* 0x100_0000_01b3 ^ low) &* 0x100_0000_01b3 ^ port) &* 0x100_0000_01b3
        }
    }

    /// Eight bytes at a time.
    private static func mix(_ hash: UInt64, _ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
        let range = range.clamped(to: 0..<bytes.count)
        return bytes.withUnsafeBytes { buffer in
            var hash = hash
            var offset = range.lowerBound
            while offset + 8 <= range.upperBound {
                hash = (hash ^ buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x100_0000_01b3
                offset += 8
            }
            while offset < range.upperBound {
                hash = (hash ^ UInt64(buffer[offset])) &* 0x100_0000_01b3
                offset += 1
            }
            return hash
        }
    }
}
