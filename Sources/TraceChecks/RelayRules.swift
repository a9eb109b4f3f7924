import BlindRelay
import CompactEncoding
import Dissection
import KeyLog
import Protomux
import SansIO

/// What blind-relay sessions of the reference obey. protomux.md part B.
enum RelayRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        let keys = senderKeys(context)
        for stream in context.dissection.secretStreams {
            var asked: [Bytes32: Pair] = [:]
            let answers = context.dissection.secretStreams.filter {
                $0.handshakeHash == stream.handshakeHash && $0.isFromInitiator != stream.isFromInitiator
            }
            for frame in stream.frames {
                for item in items(frame.plaintext) {
                    let number = context.number(frame.packet)
                    switch item {
                    case .open(let open) where open.protocolName == "blind-relay":
                        guard let ends = keys[stream.handshakeHash] else { continue }
                        // The channel's id is the key of the one who connects to the relay, on both sides.
                        report.check(
                            "blind-relay.channel", ends.contains { $0.bytes == open.channelID }, number, "protomux.id", nil,
                            "the channel's id is the key of neither end of the connection")
                    case .data(_, Pair.type, let payload):
                        guard let pair = try? Pair(decoding: payload), pair.encoded == payload else { continue }
                        asked[pair.token] = pair
                        report.check("blind-relay.pair", pair.seq == 0, number, "blind-relay.seq", nil, "seq \(pair.seq)")
                        report.check(
                            "blind-relay.pair", pair.streamID != 0 && pair.streamID <= 0xffff_ffff, number, "blind-relay.streamID", nil,
                            "stream id \(pair.streamID)")
                        for answer in answers.flatMap(\.frames).flatMap({ items($0.plaintext) }) {
                            guard case .data(_, Pair.type, let other) = answer, let reply = try? Pair(decoding: other),
                                reply.token == pair.token
                            else { continue }
                            report.check(
                                "blind-relay.pair", reply.isInitiator == pair.isInitiator, number, "blind-relay.flags", nil,
                                "the answer has the other role")
                        }
                    default: break
                    }
                }
            }
        }
    }

    private static func items(_ plaintext: [UInt8]) -> [MuxItem] {
        switch try? MuxMessage(decoding: plaintext) {
        case .single(let item): [item]
        case .batch(let items): items
        default: []
        }
    }

    /// Both ends' public keys by handshake hash.
    private static func senderKeys(_ context: TraceContext) -> [[UInt8]: [Bytes32]] {
        var result: [[UInt8]: [Bytes32]] = [:]
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record else { continue }
            result[record.handshakeHash] = [record.publicKey] + (record.remotePublicKey.map { [$0] } ?? [])
        }
        return result
    }
}
