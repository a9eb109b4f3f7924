import CompactEncoding

/// A UDX packet taken apart and put together by hand, byte by byte: the checks' own view, so that a mistake in the stack's codec can't hide in them.
struct RawPacket: Hashable {
    static let data: UInt8 = 0x01
    static let end: UInt8 = 0x02
    static let sack: UInt8 = 0x04
    static let message: UInt8 = 0x08
    static let destroy: UInt8 = 0x10
    static let heartbeat: UInt8 = 0x20

    var type: UInt8
    var dataOffset: UInt8 = 0
    var id: UInt32
    var window: UInt32
    var seq: UInt32
    var ack: UInt32
    /// All after the 20 bytes of the header.
    var body: [UInt8] = []

    init(_ type: UInt8, dataOffset: UInt8 = 0, id: UInt32, window: UInt32 = .max, seq: UInt32, ack: UInt32, body: [UInt8] = []) {
        self.type = type
        self.dataOffset = dataOffset
        self.id = id
        self.window = window
        self.seq = seq
        self.ack = ack
        self.body = body
    }

    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 20, bytes[0] == 0xff, bytes[1] == 1 else { return nil }
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
        }
        self.init(
            bytes[2], dataOffset: bytes[3], id: word(4), window: word(8), seq: word(12), ack: word(16), body: Array(bytes[20...]))
    }

    var bytes: [UInt8] {
        [0xff, 1, type, dataOffset] + [id, window, seq, ack].flatMap(RawPacket.littleEndian) + body
    }

    func has(_ bits: UInt8) -> Bool { type & bits != 0 }

    /// Blocks of a packet that is nothing but ACK or SACK.
    var blocks: [Range32] {
        guard has(RawPacket.sack) else { return [] }
        return stride(from: 0, to: body.count / 8 * 8, by: 8).map { offset in
            func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(body[at + $1]) << UInt32(8 * $1) } }
            return Range32(start: word(offset), end: word(offset + 4))
        }
    }

    static func sack(_ blocks: [Range32]) -> [UInt8] { blocks.flatMap { littleEndian($0.start) + littleEndian($0.end) } }

    static func littleEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) } }

    /// Bytes in words, for findings.
    static func describe(_ bytes: [UInt8]) -> String {
        guard let packet = RawPacket(bytes) else { return Hex.encode(bytes) }
        let names = [(data, "DATA"), (end, "END"), (sack, "SACK"), (message, "MESSAGE"), (destroy, "DESTROY"), (heartbeat, "HEARTBEAT")]
        let type = names.filter { packet.has($0.0) }.map(\.1).joined(separator: "+")
        let rest = packet.has(sack) ? " blocks \(packet.blocks.map { "[\($0.start),\($0.end))" }.joined())" : " \(packet.body.count) bytes"
        return "\(type.isEmpty ? "ACK" : type) id \(packet.id) window \(packet.window) seq \(packet.seq) ack \(packet.ack)"
            + (packet.dataOffset > 0 ? " offset \(packet.dataOffset)" : "") + rest
    }
}

/// Half-open, wrapping.
struct Range32: Hashable {
    var start: UInt32
    var end: UInt32
}
