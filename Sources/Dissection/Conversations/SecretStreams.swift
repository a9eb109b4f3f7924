import CompactEncoding
import HyperCrypto
import KeyLog
import Noise
import PacketCapture
import SansIO
import SecretStream
import UDX

extension TraceDissector {
    /// The key of one direction, and whose it is.
    struct DirectionKey {
        let key: Bytes32
        let isFromInitiator: Bool
        let handshakeHash: [UInt8]
    }

    /// Bytes of a raw stream, and where each of them came from.
    private struct RawStream {
        let bytes: [UInt8]
        let flow: Int?
        let from: Endpoint
        let to: Endpoint
        let layer: String
        /// Packet index and offset in its payload for an offset in the stream.
        let locate: (Int) -> (packet: Int, payloadOffset: Int)?
        /// Ranges of packet payloads that hold a range of the stream.
        let pieces: (Range<Int>) -> [(packet: Int, range: Range<Int>)]
    }

    /// Opens secret streams over UDX and TCP, and names what stays closed.
    func followSecretStreams() {
        let keys = directionKeys()
        let plain = Set(knowledge.plainStreams.map { $0.streamID })
        for flow in result.flows.indices {
            let id = result.flows[flow].streamID
            if result.flows[flow].beganEarlier, !plain.contains(id) {
                closeRest(flow, "a stream that began before the capture: without its identifier header no key opens it")
            } else if let key = keys[id.rawValue], !plain.contains(id) {
                let stream = rawStream(ofFlow: flow)
                var trace = SecretStreamTrace(
                    flow: flow, from: stream.from, to: stream.to, isFromInitiator: key.isFromInitiator, handshakeHash: key.handshakeHash)
                read(stream, key, from: 0, &trace)
                openMessages(flow, key, &trace)
                result.secretStreams.append(trace)
                closeRest(flow, "a stream whose frames could not be opened")
            } else if looksEncrypted(flow) {
                closeRest(flow, "a secret stream without its key")
            } else {
                for index in result.flows[flow].packets { markPayload(index, .field) }
            }
        }
        followTCP()
        followProtomux()
    }

    func directionKeys() -> [UInt32: DirectionKey] {
        var keys: [UInt32: DirectionKey] = [:]
        for entry in keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record, let ids = record.udx else { continue }
            keys[ids.localID] = DirectionKey(key: record.rxKey, isFromInitiator: !record.isInitiator, handshakeHash: record.handshakeHash)
            keys[ids.remoteID] = DirectionKey(key: record.txKey, isFromInitiator: record.isInitiator, handshakeHash: record.handshakeHash)
        }
        return keys
    }

    /// A stream that opens with an identifier header's length.
    private func looksEncrypted(_ flow: Int) -> Bool {
        result.flows[flow].bytes.starts(with: [UInt8(IDHeader.size), 0, 0]) && result.flows[flow].bytes.count >= 59
    }

    // MARK: Raw streams

    private func rawStream(ofFlow number: Int) -> RawStream {
        let flow = result.flows[number]
        return RawStream(
            bytes: flow.bytes, flow: number, from: flow.from, to: flow.to, layer: "udx", locate: { flow.packet(at: $0) },
            pieces: { range in
                flow.chunks.compactMap { chunk in
                    let part = range.clamped(to: chunk.offset..<chunk.offset + chunk.count)
                    guard !part.isEmpty else { return nil }
                    let start = chunk.payloadOffset + part.lowerBound - chunk.offset
                    return (packet: chunk.packet, range: start..<start + part.count)
                }
            })
    }

    private func rawStream(of stream: TCPStream) -> RawStream {
        let indices = Dictionary(stream.chunks.compactMap { chunk in result.index(of: chunk.packet).map { (chunk.packet, $0) } }) {
            first, _ in first
        }
        return RawStream(
            bytes: stream.bytes, flow: nil, from: stream.source, to: stream.destination, layer: "tcp",
            locate: { offset in
                guard let place = stream.packet(at: offset), let index = indices[place.packet] else { return nil }
                return (packet: index, payloadOffset: place.payloadOffset)
            },
            pieces: { range in
                stream.chunks.compactMap { chunk in
                    let part = range.clamped(to: chunk.offset..<chunk.offset + chunk.count)
                    guard !part.isEmpty, let index = indices[chunk.packet] else { return nil }
                    let start = chunk.payloadOffset + part.lowerBound - chunk.offset
                    return (packet: index, range: start..<start + part.count)
                }
            })
    }

    private func mark(_ stream: RawStream, _ range: Range<Int>, _ kind: ByteClass) {
        for piece in stream.pieces(range) { result.packets[piece.packet].account.mark(piece.range, kind) }
    }

    private func markPayload(_ index: Int, _ kind: ByteClass) {
        guard case .udx(let message) = result.packets[index].message else { return }
        let end = result.packets[index].packet.payload.count
        result.packets[index].account.mark(end - message.payload.count..<end, kind)
    }

    /// Copies what is known of a stream's bytes to the packets that repeat them; the rest is opaque for the given reason.
    private func closeRest(_ flow: Int, _ reason: String) {
        var first: [UInt32: Int] = [:]
        for index in result.flows[flow].packets {
            guard case .udx(let message) = result.packets[index].message, !message.payload.isEmpty else { continue }
            let end = result.packets[index].packet.payload.count
            let range = end - message.payload.count..<end
            if message.header.type.contains(.data) {
                if let original = first[message.header.seq.rawValue] {
                    let source = result.packets[original].account.classes
                    let shift = source.count - end
                    for offset in range where source.indices.contains(offset + shift) && source[offset + shift] > .opaque {
                        result.packets[index].account.mark(offset..<offset + 1, source[offset + shift])
                    }
                } else {
                    first[message.header.seq.rawValue] = index
                }
            }
            result.packets[index].account.markOpaque(range, reason)
        }
    }

    // MARK: Frames

    /// Reads identifier header and frames from `start` on.
    private func read(_ stream: RawStream, _ key: DirectionKey, from start: Int, _ trace: inout SecretStreamTrace) {
        var parser = FrameParser()
        var offset = start
        guard stream.bytes.count - start >= FrameLength.size,
            let announced = try? FrameLength(decoding: Array(stream.bytes[start..<start + FrameLength.size])).length
        else { return }
        guard announced == IDHeader.size else {
            if let place = stream.locate(start) {
                issue(
                    .header, place.packet, "secret-stream.length", place.payloadOffset,
                    "an identifier header has 56 bytes, not \(announced)")
            }
            return
        }
        guard case .inPlace(let body) = parser.next(stream.bytes, from: &offset, limits: 0...FrameLength.largest) else { return }
        let place = stream.locate(body.lowerBound)
        guard body.count == IDHeader.size, let header = try? IDHeader(decoding: Array(stream.bytes[body])) else {
            if let place {
                issue(
                    .header, place.packet, "secret-stream.length", place.payloadOffset - 3,
                    "an identifier header has 56 bytes, not \(body.count)")
            }
            return
        }
        guard header.id == IDHeader.id(handshakeHash: key.handshakeHash, isInitiator: key.isFromInitiator) else {
            if let place {
                issue(
                    .header, place.packet, "secret-stream.id", place.payloadOffset,
                    "the identifier is not the sender role's of this handshake")
            }
            return
        }
        guard let reader = SecretStreamReader(key: key.key.bytes, header: header.header),
            var writer = SecretStreamCipher(key: key.key.bytes, header: header.header)
        else { return }
        addFrame(stream, body, IDHeader.self, "identifier header", place?.packet)
        mark(stream, body.lowerBound - FrameLength.size..<body.lowerBound + 32, .verified)
        mark(stream, body.lowerBound + 32..<body.upperBound, .field)
        while offset < stream.bytes.count {
            let begin = offset
            guard case .inPlace(let body) = parser.next(stream.bytes, from: &offset, limits: 0...FrameLength.largest) else {
                checkUnfinished(stream, begin)
                break
            }
            let place = stream.locate(begin)
            guard let opened = reader.open(stream.bytes, range: body) else {
                result.failed.tags += 1
                refuse(stream, begin..<body.upperBound, trace.frames.count + 1)
                if trace.frames.isEmpty {
                    // The secretstream header before it is not authenticated by itself: it may be what is damaged.
                    let header = start + FrameLength.size + 32..<start + FrameLength.size + IDHeader.size
                    for piece in stream.pieces(header) {
                        issue(
                            .header, piece.packet, "secret-stream.header", piece.range.lowerBound,
                            "the first frame after this header does not verify")
                    }
                }
                return
            }
            result.verified.tags += 1
            if trace.frames.isEmpty {
                // The 24 bytes of the secretstream header are right if the first frame opens.
                mark(stream, start + FrameLength.size + 32..<start + FrameLength.size + IDHeader.size, .verified)
            }
            if writer.push(opened.plaintext, tag: opened.tag) != Array(stream.bytes[body]), let place {
                issue(.reencode, place.packet, "secret-stream.ciphertext", place.payloadOffset, "the plaintext encrypts to other bytes")
            }
            if opened.tag != 0, let place {
                issue(.order, place.packet, "secret-stream.tag", place.payloadOffset, "tag \(opened.tag) where senders use 0")
            }
            mark(stream, begin..<body.lowerBound, .verified)
            mark(stream, body, .decrypted)
            let last = stream.locate(body.upperBound - 1)?.packet ?? place?.packet ?? 0
            trace.frames.append(
                SecretStreamTrace.Frame(offset: begin, length: body.upperBound - begin, plaintext: opened.plaintext, packet: last))
            addFrame(
                stream, body, EncryptedFrame.self, opened.plaintext.isEmpty ? "keepalive" : "frame of \(opened.plaintext.count) bytes", last
            )
        }
    }

    /// The tag covers the whole frame and can't tell which of its packets is damaged: each of them is named.
    private func refuse(_ stream: RawStream, _ frame: Range<Int>, _ number: Int) {
        let pieces = stream.pieces(frame)
        for piece in pieces {
            let share = pieces.count == 1 ? "" : ", one of the \(pieces.count) packets that carry it"
            issue(
                .tag, piece.packet, "secret-stream.mac", piece.range.lowerBound,
                "frame \(number) (stream bytes \(frame.lowerBound) to \(frame.upperBound)) does not verify\(share)")
        }
    }

    /// A direction that was not cut off ends with a whole frame.
    private func checkUnfinished(_ stream: RawStream, _ begin: Int) {
        if let flow = stream.flow {
            let wasCut =
                result.flows[flow].destroyed != nil || result.flows[flow].reverse.map { result.flows[$0].destroyed != nil } ?? false
            guard !wasCut, result.flows[flow].gap == nil, result.flows[flow].endSeq != nil else { return }
        }
        guard let place = stream.locate(begin) else { return }
        issue(.order, place.packet, "secret-stream.length", place.payloadOffset, "the stream ends inside a frame")
    }

    /// Adds a frame's outer fields to the packet that completes it.
    private func addFrame<Message: CompactCodable>(
        _ stream: RawStream, _ body: Range<Int>, _ type: Message.Type, _ name: String, _ packet: Int?
    ) {
        guard let packet else { return }
        let bytes = Array(stream.bytes[body.lowerBound - FrameLength.size..<body.upperBound])
        recorder.reset()
        var reader = Reader(bytes, recorder: recorder)
        guard let length = try? FrameLength(from: &reader), let message = try? Message(from: &reader) else { return }
        let unit = Unit(layer: .secretStream, name: name, bytes: bytes, fields: recorder.records, isWire: false)
        result.packets[packet].units.append(unit)
        if length.encoded + message.encoded != bytes {
            issue(.reencode, packet, "secret-stream.length", nil, "a frame encodes back to other bytes")
        }
    }

    private func openMessages(_ flow: Int, _ key: DirectionKey, _ trace: inout SecretStreamTrace) {
        let boxKey = UnorderedBox.key(handshakeHash: key.handshakeHash, senderIsInitiator: key.isFromInitiator)
        for message in result.flows[flow].messages {
            let envelope = Array(result.packets[message.packet].packet.payload[message.range])
            if envelope.isEmpty {
                result.packets[message.packet].labels.append("confirms a direct path")
                continue
            }
            recorder.reset()
            var reader = Reader(result.packets[message.packet].packet.payload, range: message.range, recorder: recorder)
            let decoded = try? BoxEnvelope(from: &reader)
            var unit = Unit(
                layer: .message, name: "unordered message", bytes: result.packets[message.packet].packet.payload, range: message.range,
                fields: recorder.records)
            if let decoded {
                PacketDissector.compare(
                    decoded.encoded, with: envelope, unit, result.packets[message.packet].number, &result.issues,
                    at: message.range.lowerBound)
            }
            if let plaintext = UnorderedBox.open(envelope, key: boxKey) {
                result.verified.tags += 1
                result.packets[message.packet].account.mark(message.range, .decrypted)
                trace.messages.append(SecretStreamTrace.Message(packet: message.packet, plaintext: plaintext))
                unit.name = "unordered message of \(plaintext.count) bytes"
                result.packets[message.packet].units.append(unit)
                result.packets[message.packet].units.append(plaintextUnit(plaintext, "message"))
            } else {
                result.failed.tags += 1
                result.packets[message.packet].units.append(unit)
                issue(.tag, message.packet, "unordered message.mac", message.range.lowerBound, "the message does not verify")
            }
        }
    }

    func plaintextUnit(_ plaintext: [UInt8], _ name: String) -> Unit {
        recorder.reset()
        var reader = Reader(plaintext, recorder: recorder)
        _ = reader.rawRange(StaticString("plaintext"))
        return Unit(layer: .secretStream, name: name, bytes: plaintext, fields: recorder.records, isWire: false)
    }

    // MARK: TCP

    /// Stand-alone secret streams: three Noise frames, then as over UDX. Both directions are told apart by the logged messages.
    private func followTCP() {
        let logged = (keyLog?.entries ?? []).compactMap { entry -> NoiseHandshakeRecord? in
            if case .noise(let record) = entry.record { record } else { nil }
        }
        let records = capture.tcpStreams.isEmpty ? [] : logged + StandaloneHandshakes(capture, keyLog).records
        for stream in capture.tcpStreams where !stream.bytes.isEmpty {
            let raw = rawStream(of: stream)
            for number in stream.conflicts {
                if let index = result.index(of: number) {
                    issue(.copy, index, "tcp.payload", 0, "bytes that were sent before with another content")
                }
            }
            if !followTCP(raw, records) {
                for index in result.packets.indices
                where result.packets[index].packet.source == stream.source && result.packets[index].packet.destination == stream.destination
                {
                    result.packets[index].account.markOpaque(
                        0..<result.packets[index].packet.payload.count, "a TCP stream that no logged handshake belongs to")
                }
            }
        }
    }

    private func followTCP(_ stream: RawStream, _ records: [NoiseHandshakeRecord]) -> Bool {
        for record in records {
            guard let pattern = HandshakePattern(rawValue: record.pattern), !record.isInitiator || record.messages.count > 1
            else { continue }
            // A record of the other side has the same messages: read as the sender of the even ones.
            for sentByInitiator in [true, false] {
                let sent = record.messages.enumerated().filter { ($0.offset % 2 == 0) == sentByInitiator }
                guard let opening = sent.first?.element.message, !opening.isEmpty else { continue }
                var expected = FrameLength(opening.count).encoded
                expected += opening
                guard stream.bytes.count > expected.count, matches(stream.bytes, expected) else { continue }
                var offset = 0
                var parser = FrameParser()
                for (number, message) in sent {
                    let begin = offset
                    guard case .inPlace(let body) = parser.next(stream.bytes, from: &offset, limits: 0...FrameLength.largest) else {
                        return true
                    }
                    guard Array(stream.bytes[body]) == message.message else {
                        result.failed.noise += 1
                        let difference =
                            zip(stream.bytes[body], message.message).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
                        if let place = stream.locate(min(body.lowerBound + difference, stream.bytes.count - 1)) {
                            issue(
                                .noise, place.packet, "noise.message[\(number)]", place.payloadOffset,
                                "message \(number + 1) is not the logged one")
                        }
                        continue
                    }
                    mark(stream, begin..<body.upperBound, .verified)
                    addNoise(stream, body, pattern, number)
                }
                let key = record.isInitiator == sentByInitiator ? record.tx : record.rx
                var trace = SecretStreamTrace(
                    flow: nil, from: stream.from, to: stream.to, isFromInitiator: sentByInitiator, handshakeHash: record.hash)
                read(stream, DirectionKey(key: key, isFromInitiator: sentByInitiator, handshakeHash: record.hash), from: offset, &trace)
                result.secretStreams.append(trace)
                return true
            }
        }
        return false
    }

    /// Equal but for at most a few bytes: a damaged handshake is still this handshake.
    private func matches(_ bytes: [UInt8], _ expected: [UInt8]) -> Bool {
        zip(bytes, expected).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) } <= 4
    }

    private func addNoise(_ stream: RawStream, _ body: Range<Int>, _ pattern: HandshakePattern, _ number: Int) {
        guard let packet = stream.locate(body.lowerBound)?.packet else { return }
        let bytes = Array(stream.bytes[body.lowerBound - FrameLength.size..<body.upperBound])
        recorder.reset()
        var reader = Reader(bytes, recorder: recorder)
        _ = try? FrameLength(from: &reader)
        _ = try? Noise.HandshakeMessage(pattern: pattern, index: number, from: &reader)
        result.packets[packet].units.append(
            Unit(layer: .noise, name: "\(pattern.rawValue) message \(number + 1)", bytes: bytes, fields: recorder.records, isWire: false))
    }
}
