import CompactEncoding
import DHTRPC
import HyperDHT
import PacketCapture
import SansIO
import UDX

/// Decodes single datagrams, each by its layer's only codec. Knows nothing of conversations.
///
/// One is used for a whole capture, so that the recorder's storage is reused.
public struct PacketDissector {
    public let recorder = FieldRecorder()

    public init() {}

    /// What a UDP payload is, by its bytes and its destination alone.
    public static func classify(_ payload: [UInt8], to destination: Endpoint) -> PayloadKind {
        guard let first = payload.first else { return .empty }
        if payload.count == 1 { return .probe }
        if payload.count >= PacketHeader.size, first == PacketHeader.magic, payload[1] == PacketHeader.version {
            if let message = KadePyMessage.recognise(payload) { return .kadepy(message) }
            return .udx
        }
        switch first {
        case MessageType.request.rawValue:
            if PacketDissector.isWellFormedRequest(payload, to: destination) { return .dhtRequest }
            return KadePyMessage.recognise(payload).map { .kadepy($0) } ?? .dhtRequest
        case MessageType.response.rawValue: return .dhtResponse
        default:
            if let message = KadePyMessage.recognise(payload) { return .kadepy(message) }
            return CaptureMarker.parse(payload) != nil ? .marker : .raw
        }
    }

    /// Flags without unknown bits, and `to` is where the packet goes: what no KadePy packet of type 3 has.
    private static func isWellFormedRequest(_ payload: [UInt8], to destination: Endpoint) -> Bool {
        guard payload.count >= 11, payload[1] < 0x20 else { return false }
        var reader = Reader(payload, range: 4..<payload.count)
        return (try? reader.ipv4Address("to")) == destination
    }

    /// Reads every field of a payload into the recorder and forgets the result: for measuring, and for whoever only wants fields.
    @discardableResult
    public func record(_ payload: [UInt8], to destination: Endpoint) -> PayloadKind {
        recorder.reset()
        let kind = PacketDissector.classify(payload, to: destination)
        var reader = Reader(payload, recorder: recorder)
        switch kind {
        case .udx: _ = try? Packet(from: &reader)
        case .dhtRequest: _ = try? Request(from: &reader)
        case .dhtResponse: _ = try? Response(from: &reader)
        case .kadepy(let message): _ = message.dissect(payload, recorder)
        case .empty: break
        default: _ = reader.raw("payload")
        }
        return kind
    }

    /// Classifies and decodes one packet; what does not decode, or encodes back to other bytes, is an issue.
    func dissect(_ packet: CapturedPacket, _ issues: inout [Issue]) -> DissectedPacket {
        switch packet.transport {
        case .udp: break
        case .tcp: return DissectedPacket(packet, kind: packet.payload.isEmpty ? .empty : .tcp)
        case .fragment: return DissectedPacket(packet, kind: .other("IP fragment"))
        case .other(let name): return DissectedPacket(packet, kind: .other(name))
        case .damaged(let reason): return DissectedPacket(packet, kind: .other(reason))
        }
        let payload = packet.payload
        let isCutUDX = packet.isCut && payload.starts(with: [PacketHeader.magic, PacketHeader.version])
        var result = DissectedPacket(packet, kind: isCutUDX ? .udx : PacketDissector.classify(payload, to: packet.destination))
        recorder.reset()
        var reader = Reader(payload, recorder: recorder)
        do {
            switch result.kind {
            case .udx: try udx(&reader, &result, &issues)
            case .dhtRequest: try request(&reader, &result, &issues)
            case .dhtResponse: try response(&reader, &result, &issues)
            case .kadepy(let message): kadepy(message, &result, &issues)
            case .probe, .raw, .marker:
                _ = reader.raw("payload")
                let layer: Layer = result.kind == .marker ? .marker : .raw
                let name =
                    result.kind == .probe ? "hole-punch probe" : result.kind == .marker ? "capture marker" : "datagram of an application"
                add(Unit(layer: layer, name: name, bytes: payload, fields: recorder.records), to: &result)
                result.summary = name
            default: break
            }
        } catch {
            let layer: Layer = result.kind == .udx ? .udx : .dhtRPC
            add(Unit(layer: layer, name: "undecodable", bytes: payload, fields: recorder.records), to: &result)
            if packet.isCut {
                result.summary = "\(result.kind.name), cut by the capture"
                result.units[result.units.count - 1].name = "cut by the capture"
                result.account.markOpaque(0..<payload.count, "a field that the capture cuts off")
                return result
            }
            result.summary = "undecodable \(result.kind.name)"
            issues.append(
                Issue(.decode, packet: packet.number, field: "\(layer.rawValue).\(error.field)", offset: error.offset, error.kind.rawValue))
        }
        return result
    }

    /// For packets that were taken for KadePy's before the rest of the capture said otherwise.
    func dissectAsUDX(_ packet: CapturedPacket, _ issues: inout [Issue]) -> DissectedPacket {
        var result = DissectedPacket(packet, kind: .udx)
        recorder.reset()
        var reader = Reader(packet.payload, recorder: recorder)
        try? udx(&reader, &result, &issues)
        return result
    }

    private func add(_ unit: Unit, to result: inout DissectedPacket) {
        result.units.append(unit)
        if unit.isWire { result.account(for: unit) }
    }

    private func udx(_ reader: inout Reader, _ result: inout DissectedPacket, _ issues: inout [Issue]) throws(DecodingFailure) {
        let packet = try Packet(from: &reader)
        let unit = Unit(layer: .udx, name: packet.header.type.description, bytes: reader.bytes, fields: recorder.records)
        add(unit, to: &result)
        result.message = .udx(packet)
        let size = packet.payload.isEmpty ? "" : " \(packet.payload.count) bytes"
        result.summary =
            "\(packet.header.type) stream \(packet.header.streamID) seq \(packet.header.seq) ack \(packet.header.ack)\(size)"
        PacketDissector.compare(packet.encoded, with: reader.bytes, unit, result.number, &issues)
    }

    private func request(_ reader: inout Reader, _ result: inout DissectedPacket, _ issues: inout [Issue]) throws(DecodingFailure) {
        let request = try Request(from: &reader)
        let name = CommandName.of(request)
        let unit = Unit(layer: .dhtRPC, name: "\(name) request", bytes: reader.bytes, fields: recorder.records)
        add(unit, to: &result)
        result.message = .request(request)
        result.summary = "\(name) request tid \(request.tid)"
        PacketDissector.compare(request.encoded, with: reader.bytes, unit, result.number, &issues)
    }

    private func response(_ reader: inout Reader, _ result: inout DissectedPacket, _ issues: inout [Issue]) throws(DecodingFailure) {
        let response = try Response(from: &reader)
        let unit = Unit(layer: .dhtRPC, name: "response", bytes: reader.bytes, fields: recorder.records)
        add(unit, to: &result)
        result.message = .response(response)
        let error = response.error == 0 ? "" : " error \(CommandName.error(response.error))"
        result.summary = "response tid \(response.tid)\(error)"
        PacketDissector.compare(response.encoded, with: reader.bytes, unit, result.number, &issues)
    }

    private func kadepy(_ message: KadePyMessage, _ result: inout DissectedPacket, _ issues: inout [Issue]) {
        let payload = result.packet.payload
        let opaque = message.dissect(payload, recorder)
        var unit = Unit(layer: .kadepy, name: message.description, bytes: payload, fields: recorder.records)
        if message.family == .dht02Native {
            unit.notes.append(KadePyMessage.signatureIsValid(payload) ? "signature verified" : "signature does not verify")
        }
        add(unit, to: &result)
        for (range, reason) in opaque { result.account.markOpaque(range, reason) }
        result.summary = message.description
    }

    /// Notes the first byte at which a re-encoding differs, with the field that it belongs to.
    static func compare(
        _ encoded: [UInt8], with original: some RandomAccessCollection<UInt8>, _ unit: Unit, _ packet: Int, _ issues: inout [Issue],
        at start: Int = 0
    ) {
        if encoded.elementsEqual(original) { return }
        let offset =
            zip(encoded, original).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(encoded.count, original.count)
        let path = unit.path(at: start + offset)
        let message =
            offset >= encoded.count
            ? "\(original.count - encoded.count) bytes after the message's end"
            : "encodes back to other bytes (\(encoded.count) instead of \(original.count) bytes)"
        issues.append(
            Issue(
                .reencode, packet: packet, field: "\(unit.layer.rawValue).\(path.isEmpty ? "end" : path)", offset: start + offset, message))
    }
}

/// Names of commands and errors, as the protocol notes have them.
public enum CommandName {
    public static func of(_ request: Request) -> String {
        guard request.isInternal else { return HyperDHTCommand(rawValue: request.command).description }
        return InternalCommand(rawValue: request.command)?.name ?? "INTERNAL_\(request.command)"
    }

    public static func error(_ code: UInt64) -> String {
        ErrorCode.name(code) ?? (code == 16 || code == 17 ? PeerErrorCode(rawValue: code).description : "ERROR_\(code)")
    }
}
