import KeyLog
import SansIO

/// A capture file read to the end: packets in file order, TCP streams put together, and a count of what could not be read and why.
public struct Capture: Sendable {
    public let file: CaptureFile
    public private(set) var packets: [CapturedPacket] = []
    public private(set) var tcpStreams: [TCPStream] = []
    /// Why frames could not be read, and how often. Sorted by reason.
    public private(set) var issues: [(reason: String, count: Int, firstFrame: Int)] = []

    public var name: String { file.bytes.name }

    /// The key log inside the file's Decryption Secrets Blocks, if there is one.
    public func embeddedKeyLog() throws(KeyLogError) -> KeyLog? {
        let text = file.secrets(ofType: CapturedSecrets.hyperswarmKeyLog)
        return text.isEmpty ? nil : try KeyLog(parsing: text, file: name + " (secrets block)")
    }

    public init(path: String, name: String? = nil) throws(CaptureError) { self.init(try CaptureFile(path: path, name: name)) }

    public init(_ file: CaptureFile) {
        self.file = file
        var decoder = PacketDecoder(file.bytes)
        var tcp = TCPReassembler()
        packets.reserveCapacity(file.frames.count)
        for frame in file.frames {
            let packet = decoder.decode(frame)
            if case .tcp(let header) = packet.transport { tcp.add(packet, header) }
            packets.append(packet)
        }
        tcpStreams = tcp.streams
        decoder.finish()
        for (reason, note) in decoder.issues.sorted(by: { $0.key < $1.key }) {
            issues.append((reason: reason, count: note.count, firstFrame: note.firstFrame))
        }
    }

    /// The same capture with other payloads: what a test needs that damages one byte. Packets keep numbers, times and addresses.
    public func replacingPayload(ofPacketAt index: Int, with payload: [UInt8]) -> Capture {
        guard packets.indices.contains(index) else { return self }
        var copy = self
        copy.packets[index] = packets[index].with(payload: payload)
        if case .tcp = packets[index].transport {
            var tcp = TCPReassembler()
            for packet in copy.packets { if case .tcp(let header) = packet.transport { tcp.add(packet, header) } }
            copy.tcpStreams = tcp.streams
        }
        return copy
    }
}

extension Capture {
    /// The same capture with other packets, numbered anew: what a test needs that drops, repeats, moves or invents some.
    public func replacingPackets(_ packets: [CapturedPacket]) -> Capture {
        var copy = self
        copy.packets = packets.enumerated().map { $1.with(number: $0 + 1) }
        var tcp = TCPReassembler()
        for packet in copy.packets { if case .tcp(let header) = packet.transport { tcp.add(packet, header) } }
        copy.tcpStreams = tcp.streams
        return copy
    }
}

extension CapturedPacket {
    /// The packet with some of what it says changed.
    public func with(
        number: Int? = nil, timeNanoseconds: Int64? = nil, source: Endpoint? = nil, destination: Endpoint? = nil, timeToLive: UInt8? = nil,
        dontFragment: Bool? = nil, payload: [UInt8]? = nil
    ) -> CapturedPacket {
        CapturedPacket(
            number: number ?? self.number, timeNanoseconds: timeNanoseconds ?? self.timeNanoseconds, source: source ?? self.source,
            destination: destination ?? self.destination, transport: transport, timeToLive: timeToLive ?? self.timeToLive,
            dontFragment: dontFragment ?? self.dontFragment, ipLength: ipLength + (payload.map { $0.count - self.payload.count } ?? 0),
            payload: payload ?? self.payload, payloadFileOffset: payloadFileOffset, isCut: isCut, comments: comments)
    }
}
