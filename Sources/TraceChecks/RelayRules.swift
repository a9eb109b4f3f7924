import BlindRelay
import CompactEncoding
import Dissection
import HyperDHT
import KeyLog
import Protomux
import SansIO

/// What blind-relay sessions of the reference obey. protomux.md part B.
enum RelayRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        let keys = senderKeys(context)
        let offers = offers(context)
        let streamIDs = Set(context.dissection.flows.map(\.streamID.rawValue))
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
                            "blind-relay.channel", [ends.client.bytes, ends.server.bytes].contains(open.channelID), number, "protomux.id",
                            nil,
                            "the channel's id is the key of neither end of the connection")
                    case .data(_, Pair.type, let payload):
                        guard let pair = try? Pair(decoding: payload), pair.encoded == payload else { continue }
                        asked[pair.token] = pair
                        agreed(context, stream, pair, keys, offers, number, &report)
                        // Both sides' ids are in use once the relay has answered both.
                        let isJoined = offers.known.contains(pair.token) && context.dissection.flows.contains { $0.relayedFrom != nil }
                        report.check(
                            "blind-relay.stream", !isJoined || streamIDs.contains(UInt32(truncatingIfNeeded: pair.streamID)), number,
                            "blind-relay.streamID", nil, "no packet of a joined stream carries the id \(pair.streamID)")
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

    /// What was agreed in handshakes: whose relay, by which token. protomux.md B2.
    private struct Offers {
        /// Token to the handshake's initiator and responder, and whether the responder offered it.
        var byToken: [Bytes32: (initiator: Bytes32?, responder: Bytes32?, isServers: Bool, hasServers: Bool)] = [:]
        var known: Set<Bytes32> { Set(byToken.keys) }
    }

    private static func offers(_ context: TraceContext) -> Offers {
        var result = Offers()
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .noise(let record) = entry.record, record.pattern == "IK", record.messages.count >= 2 else { continue }
            let client = record.isInitiator ? record.staticKey : record.remoteStaticKey
            let server = record.isInitiator ? record.remoteStaticKey : record.staticKey
            let tokens = record.messages.prefix(2).map { (try? NoisePayload(decoding: $0.payload))?.relayThrough?.token }
            for (position, token) in tokens.enumerated() {
                guard let token else { continue }
                result.byToken[token] = (client, server, position == 1, tokens[1] != nil)
            }
        }
        return result
    }

    /// The server's relay is used if it offered one, and whose relay is used pairs as initiator. RELAY-11, 12; HDHT-68.
    private static func agreed(
        _ context: TraceContext, _ stream: SecretStreamTrace, _ pair: Pair, _ keys: [[UInt8]: (client: Bytes32, server: Bytes32)],
        _ offers: Offers, _ number: Int, _ report: inout TraceReport
    ) {
        // Only what goes towards the relay: the one who connected to it speaks.
        guard stream.isFromInitiator, let sender = keys[stream.handshakeHash]?.client, !offers.byToken.isEmpty else { return }
        guard let offer = offers.byToken[pair.token] else {
            report.check(
                "blind-relay.token", false, number, "blind-relay.token", nil, "a token that no handshake of this run offered")
            return
        }
        report.check(
            "blind-relay.token", offer.isServers || !offer.hasServers, number, "blind-relay.token", nil,
            "the client's relay, where the server offered one")
        guard sender == offer.initiator || sender == offer.responder else { return }
        let isOwner = offer.isServers == (sender == offer.responder)
        report.check(
            "blind-relay.role", pair.isInitiator == isOwner, number, "blind-relay.flags", nil,
            "pairs as \(pair.isInitiator ? "initiator" : "responder"), but the relay is \(isOwner ? "its own offer" : "the other side's")")
    }

    private static func items(_ plaintext: [UInt8]) -> [MuxItem] {
        switch try? MuxMessage(decoding: plaintext) {
        case .single(let item): [item]
        case .batch(let items): items
        default: []
        }
    }

    /// Both ends' public keys by handshake hash.
    private static func senderKeys(_ context: TraceContext) -> [[UInt8]: (client: Bytes32, server: Bytes32)] {
        var result: [[UInt8]: (client: Bytes32, server: Bytes32)] = [:]
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record, let remote = record.remotePublicKey else { continue }
            result[record.handshakeHash] = record.isInitiator ? (record.publicKey, remote) : (remote, record.publicKey)
        }
        return result
    }
}
