import BlindRelay
import CompactEncoding
import Dissection
import HyperCrypto
import PacketCapture
import Protomux
import SansIO
import SecretStream

extension Alteration {
    /// Indices of packets that complete a frame, with the frame's stream and place in it.
    private static func frames(
        _ context: TraceContext, _ isWanted: (SecretStreamTrace, Int) -> Bool = { _, _ in true }
    ) -> [(packet: Int, stream: Int, frame: Int)] {
        context.dissection.secretStreams.enumerated().flatMap { number, stream in
            stream.flow == nil
                ? []
                : stream.frames.indices.filter { isWanted(stream, $0) }.map { (stream.frames[$0].packet, number, $0) }
        }
    }

    /// The stream encrypted anew with its own key and header, from plaintexts that are as long as the old ones: what its sender would have sent.
    static func restream(_ context: TraceContext, _ number: Int, _ change: (inout [[UInt8]]) -> Bool) -> [CapturedPacket]? {
        let stream = context.dissection.secretStreams[number]
        guard let flow = stream.flow.map({ context.dissection.flows[$0] }), let first = stream.frames.first else { return nil }
        var plaintexts = stream.frames.map(\.plaintext)
        guard change(&plaintexts), plaintexts.count == stream.frames.count,
            zip(plaintexts, stream.frames).allSatisfy({ $0.count == $1.plaintext.count })
        else { return nil }
        var key: Bytes32?
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record, record.handshakeHash == stream.handshakeHash else { continue }
            key = record.isInitiator == stream.isFromInitiator ? record.txKey : record.rxKey
        }
        let header = Array(flow.bytes[first.offset - SecretStreamCipher.headerLength..<first.offset])
        guard let key, var cipher = SecretStreamCipher(key: key.bytes, header: header) else { return nil }
        var bytes = flow.bytes
        for (frame, plaintext) in zip(stream.frames, plaintexts) {
            bytes.replaceSubrange(frame.offset + FrameLength.size..<frame.offset + frame.length, with: cipher.push(plaintext))
        }
        // Retransmissions and a relay's copies carry the same bytes.
        var replacements: [[UInt8]: [UInt8]] = [:]
        for chunk in flow.chunks {
            let old = Array(flow.bytes[chunk.offset..<chunk.offset + chunk.count])
            let new = Array(bytes[chunk.offset..<chunk.offset + chunk.count])
            if old != new { replacements[old] = new }
        }
        return context.packets.map { packet in
            guard case .udx(var message) = packet.message, let new = replacements[message.payload] else { return packet.packet }
            message.payload = new
            return packet.packet.with(payload: message.encoded)
        }
    }

    /// One frame's plaintext changed.
    private static func content(
        _ name: String, _ rules: [String], _ isWanted: @escaping @Sendable ([UInt8]) -> Bool,
        _ change: @escaping @Sendable (inout [UInt8]) -> Void
    ) -> Alteration {
        Alteration(name, rules, at: { c in frames(c) { isWanted($0.frames[$1].plaintext) }.map(\.packet) }) { c, i, _ in
            guard let place = frames(c, { isWanted($0.frames[$1].plaintext) }).first(where: { $0.packet == i }) else { return nil }
            return restream(c, place.stream) { plaintexts in
                let old = plaintexts[place.frame]
                change(&plaintexts[place.frame])
                return plaintexts[place.frame] != old
            }
        }
    }

    private static func single(_ plaintext: [UInt8]) -> MuxItem? {
        if case .single(let item)? = try? MuxMessage(decoding: plaintext) { item } else { nil }
    }

    private static func pair(_ plaintext: [UInt8]) -> (channel: UInt64, pair: Pair)? {
        guard case .data(let channel, Pair.type, let payload)? = single(plaintext), let pair = try? Pair(decoding: payload),
            pair.encoded == payload
        else { return nil }
        return (channel, pair)
    }

    private static func changePair(_ plaintext: inout [UInt8], _ change: (inout Pair) -> Void) {
        guard let found = pair(plaintext) else { return }
        var pair = found.pair
        change(&pair)
        plaintext = MuxMessage.single(.data(channel: found.channel, type: Pair.type, payload: pair.encoded)).encoded
    }

    static let encrypted: [Alteration] = [
        Alteration("secret-stream: a byte of a frame", at: { c in frames(c).map(\.packet) }) { c, i, _ in
            changing(c, i) { packet in
                var bytes = packet.payload
                if !bytes.isEmpty { bytes[bytes.count - 1] ^= 1 }
                return packet.with(payload: bytes)
            }
        },
        Alteration("secret-stream: two frames change places", at: { c in frames(c).map(\.packet) }) { c, i, _ in
            guard case .udx(var a) = c.packets[i].message,
                let other = frames(c).first(where: { $0.packet > i && c.flowOf[$0.packet] == c.flowOf[i] })?.packet,
                case .udx(var b) = c.packets[other].message, a.payload != b.payload
            else { return nil }
            swap(&a.payload, &b.payload)
            var result = packets(c)
            result[i] = result[i].with(payload: a.encoded)
            result[other] = result[other].with(payload: b.encoded)
            return result
        },
        Alteration(
            "secret-stream: the other role's identifier",
            at: { c in
                c.packets.indices.filter { c.packets[$0].units.contains { $0.layer == .secretStream && $0.name == "identifier header" } }
            }
        ) { c, i, _ in
            changing(c, i) { packet in
                var bytes = packet.payload
                if bytes.count > 24 { bytes[24] ^= 1 }
                return packet.with(payload: bytes)
            }
        },
    ]

    static let encryptedContents: [Alteration] = [
        content(
            "protomux: a channel that nobody opened", ["protomux.channel"],
            { plaintext in
                if case .data(let channel, _, _)? = single(plaintext) { channel < 0xf0 } else { false }
            }
        ) { $0[0] = 0xf1 },
        content(
            "protomux: an open with a used id", [],
            { plaintext in
                if case .open(let open)? = single(plaintext) { open.localID == 2 } else { false }
            }
        ) { $0[2] = 1 },
        content(
            "protomux: an open for another protocol", [],
            { plaintext in
                if case .open(let open)? = single(plaintext) { !open.protocolName.isEmpty } else { false }
            }
        ) { $0[4] ^= 0x20 },
        content(
            "protomux: a close becomes a reject", ["protomux.close", "protomux.reject"],
            { plaintext in
                if case .close? = single(plaintext) { true } else { false }
            }
        ) { $0[1] = 2 },
        content(
            "protomux: a close of another channel", ["protomux.close"],
            { plaintext in
                if case .close(let id)? = single(plaintext) { id < 0xf0 } else { false }
            }
        ) { $0[2] = 0xf1 },
        content(
            "protomux: a reject of an id that nobody opened", ["protomux.reject"],
            { plaintext in
                if case .reject(let id)? = single(plaintext) { id < 0xf0 } else { false }
            }
        ) { $0[2] = 0xf1 },
        content(
            "protomux: an unknown control message", ["protomux.control"],
            { plaintext in
                if case .close? = single(plaintext) { true } else { false }
            }
        ) { $0[1] = 9 },
        content("blind-relay: another token", ["blind-relay.pair", "blind-relay.token"], { pair($0) != nil }) { plaintext in
            changePair(&plaintext) { pair in
                var bytes = pair.token.bytes
                bytes[0] ^= 1
                pair.token = Bytes32(bytes) ?? pair.token
            }
        },
        content("blind-relay: the other role", ["blind-relay.pair", "blind-relay.role"], { pair($0) != nil }) { plaintext in
            changePair(&plaintext) { $0.isInitiator.toggle() }
        },
        content("blind-relay: another stream id", ["blind-relay.stream"], { pair($0) != nil }) { plaintext in
            changePair(&plaintext) { $0.streamID ^= 1 }
        },
        content("blind-relay: a seq", ["blind-relay.pair"], { pair($0) != nil }) { plaintext in changePair(&plaintext) { $0.seq = 1 } },
        content("secret-stream: what the application wrote", [], { !$0.isEmpty }) { $0[$0.count - 1] ^= 1 },
    ]
}
