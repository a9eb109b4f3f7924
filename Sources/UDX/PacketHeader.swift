import CompactEncoding
import SansIO

/// The fixed 20 bytes before every packet's body, little-endian. udx.md section 2. UDX-1.
public struct PacketHeader: Hashable, Sendable {
    public static let magic: UInt8 = 0xff
    public static let version: UInt8 = 1
    /// Bytes.
    public static let size = 20

    public var type: PacketType
    /// Length in bytes of the area between header and payload.
    public var dataOffset: UInt8
    /// The receiver's id. UDX-2.
    public var streamID: StreamID
    /// Receive window of the packet's sender, in bytes.
    public var window: UInt32
    public var seq: SequenceNumber
    /// Every sequence number before this one has arrived in order.
    public var ack: SequenceNumber

    @inlinable public init(
        type: PacketType, dataOffset: UInt8 = 0, streamID: StreamID, window: UInt32, seq: SequenceNumber, ack: SequenceNumber
    ) {
        self.type = type
        self.dataOffset = dataOffset
        self.streamID = streamID
        self.window = window
        self.seq = seq
        self.ack = ack
    }
}

extension PacketHeader: CompactCodable {
    public init(from reader: inout Reader) throws(DecodingFailure) {
        let start = reader.offset
        guard try reader.uint8("magic") == PacketHeader.magic else { throw reader.failure(.unknownVersion, "magic", at: start) }
        /// UDX-10a.
        guard try reader.uint8("version") == PacketHeader.version || Mutation.udx(10, 1).isActive else {
            throw reader.failure(.unknownVersion, "version", at: start + 1)
        }
        type = PacketType(rawValue: try reader.uint8("type"))
        dataOffset = try reader.uint8("dataOffset")
        streamID = StreamID(try reader.uint32("streamID"))
        window = try reader.uint32("window")
        seq = SequenceNumber(try reader.uint32("seq"))
        ack = SequenceNumber(try reader.uint32("ack"))
    }

    public func encode(to writer: inout Writer) {
        withUnsafeTemporaryAllocation(byteCount: PacketHeader.size, alignment: 4) { header in
            store(into: header)
            writer.raw(UnsafeRawBufferPointer(header))
        }
    }

    /// Writes the 20 bytes to the front of `target`; nothing if it is shorter.
    func store(into target: UnsafeMutableRawBufferPointer) {
        guard target.count >= PacketHeader.size else { return }
        let start = UInt32(PacketHeader.magic) | UInt32(PacketHeader.version) << 8 | UInt32(type.rawValue) << 16 | UInt32(dataOffset) << 24
        target.storeBytes(of: start.littleEndian, as: UInt32.self)
        target.storeBytes(of: streamID.rawValue.littleEndian, toByteOffset: 4, as: UInt32.self)
        target.storeBytes(of: window.littleEndian, toByteOffset: 8, as: UInt32.self)
        let number = Mutation.udx(1).isActive ? seq.rawValue.byteSwapped : seq.rawValue
        target.storeBytes(of: number.littleEndian, toByteOffset: 12, as: UInt32.self)
        target.storeBytes(of: ack.rawValue.littleEndian, toByteOffset: 16, as: UInt32.self)
    }
}
