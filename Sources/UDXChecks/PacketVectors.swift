import CompactEncoding
import Conformance
import UDX

/// vectors/udx-packets: every field of real packets, decoded and encoded.
enum PacketVectors {
    static let check = Check(
        "udx.packets", ["UDX-1", "UDX-2", "UDX-5"], .vector, .codec
    ) { exam in
        try VectorFile("udx-packets", in: exam.corpus).examine(exam) { node in
            try node.allow(["id", "packet", "type", "dataOffset", "streamId", "window", "seq", "ack", "sacks", "payload", "from"])
            try node["from"].note()
            let recorder = FieldRecorder()
            var reader = Reader(try node["packet"].bytes(), recorder: recorder)
            let packet = try Packet(from: &reader)
            exam.equal("\(node.path) bytes read", reader.remaining, 0)
            try node["type"].expect(packet.header.type.rawValue)
            try node["dataOffset"].expect(packet.header.dataOffset)
            try node["streamId"].expect(packet.header.streamID.rawValue)
            try node["window"].expect(packet.header.window)
            try node["seq"].expect(packet.header.seq.rawValue)
            try node["ack"].expect(packet.header.ack.rawValue)
            try node["payload"].expect(packet.payload)
            let sacks = try node["sacks"].elements()
            exam.equal("\(node.path).sacks count", packet.sacks.count, sacks.count)
            for (pair, block) in zip(sacks, packet.sacks) {
                let edges = try pair.elements()
                guard edges.count == 2 else { throw pair.mismatch("[start, end)", "\(edges.count) numbers") }
                edges[0].expect(block.start.rawValue)
                edges[1].expect(block.end.rawValue)
            }
            // And from the fields alone.
            let header = PacketHeader(
                type: PacketType(rawValue: UInt8(truncatingIfNeeded: try node["type"].uint())),
                dataOffset: UInt8(truncatingIfNeeded: try node["dataOffset"].uint()), streamID: StreamID(try node["streamId"].uint32()),
                window: try node["window"].uint32(), seq: SequenceNumber(try node["seq"].uint32()),
                ack: SequenceNumber(try node["ack"].uint32()))
            let blocks = try sacks.map { pair in
                let edges = try pair.elements()
                return SACKBlock(SequenceNumber(try edges[0].uint32()), SequenceNumber(try edges[1].uint32()))
            }
            let padding = [UInt8](repeating: 0, count: max(0, Int(header.dataOffset) - 8 * blocks.count))
            let built = Packet(header, sacks: blocks, padding: padding, payload: try node["payload"].bytes())
            try node["packet"].expect(built.encoded)
        }
    }
}
