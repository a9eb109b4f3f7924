import CompactEncoding
import DHTRPC
import HyperCrypto
import PacketCapture
import StrictJSON
import UDX

/// The counts of `pcap stats`, `hyperswarm-pcap-stats/1`. Each counter says what an independent decoder would count.
///
/// - `packets`: frames of the capture, whatever they carry (TCP segments and ARP too).
/// - `bytes`: payload bytes of UDP and TCP by class. A byte has one class, the highest that holds: `decrypted` (opened with a key, tag checked),
///   `verified` (a hash, id, token, signature or handshake over it was checked), `field`, `opaque`, `unexplained`.
/// - `dht-rpc`: datagrams, retransmissions and relayed legs included; `commands` counts request datagrams by name, `errors` response datagrams
///   by code. `udx`: datagrams by type bit, so DATA+END counts as `data` and as `end`; `ack` is type 0x00 alone; a datagram that repeats a
///   sequence number of its direction counts once more as `retransmission`.
/// - `secret-stream`: `frames` are encrypted frames (the Noise frames and the identifier header before them are not), `keepalives` the empty ones
///   among them, `messages` the unordered ones. `protomux.frames`: non-empty messages of streams that speak Protomux; a batch is one.
///   A relayed stream is seen on each of its legs and counted on each.
/// - `raw`: datagrams of no protocol of ours, one-byte hole-punch probes among them. `kadepy`: KadePy's.
/// - `verified` and `failed`: `nodeIDs`, `tokens` (where the secrets are logged), `signatures`, `hashes` (immutable values) a field each;
///   `noise` a `noise` line of the key log each, recomputed; `tags` an opened box or frame each.
/// - `unanswered`: first datagram of each request that nothing answered.
/// - `streams`: UDX flows (and TCP directions that carry a secret stream) that brought bytes. `bytes` and `sha256` are of the plaintexts of the
///   frames in order for a stream that was opened, else of the stream's own bytes, each once and in order.
public struct Statistics: Sendable {
    public struct Stream: Sendable {
        public let from: String
        public let to: String
        public let streamID: UInt32?
        public let handshakeHash: [UInt8]?
        public let bytes: Int
        public let sha256: Bytes32
    }

    public private(set) var packets = 0
    public private(set) var bytes: [ByteClass: Int] = [:]
    public private(set) var requests = 0
    public private(set) var responses = 0
    public private(set) var commands: [String: Int] = [:]
    public private(set) var errors: [UInt64: Int] = [:]
    public private(set) var udx: [String: Int] = [:]
    public private(set) var frames = 0
    public private(set) var keepalives = 0
    public private(set) var messages = 0
    public private(set) var protomuxFrames = 0
    public private(set) var raw = 0
    public private(set) var kadepy = 0
    public private(set) var verified = Tally()
    public private(set) var failed = Tally()
    public private(set) var unanswered: [(packet: Int, reason: String)] = []
    public private(set) var streams: [Stream] = []
    /// Why bytes are opaque, and how many.
    public private(set) var opaque: [(reason: String, count: Int)] = []

    static let udxKinds = ["data", "end", "ack", "sack", "message", "destroy", "heartbeat", "retransmission"]

    public init(_ dissection: Dissection) {
        packets = dissection.packets.count
        verified = dissection.verified
        failed = dissection.failed
        var reasons: [String: Int] = [:]
        for packet in dissection.packets {
            for kind in packet.account.classes { bytes[kind, default: 0] += 1 }
            for (reason, count) in packet.account.opaqueReasons { reasons[reason, default: 0] += count }
            count(packet)
        }
        opaque = reasons.sorted { $0.key < $1.key }.map { (reason: $0.key, count: $0.value) }
        for stream in dissection.secretStreams {
            frames += stream.frames.count
            keepalives += stream.frames.reduce(0) { $0 + ($1.isKeepalive ? 1 : 0) }
            messages += stream.messages.count
            protomuxFrames += stream.protomuxFrames
        }
        unanswered = dissection.exchanges.compactMap { exchange in
            exchange.unansweredReason.map { (packet: dissection.packets[exchange.request].number, reason: $0) }
        }.sorted { $0.packet < $1.packet }
        streams = Statistics.streams(dissection)
    }

    private mutating func count(_ packet: DissectedPacket) {
        switch packet.kind {
        case .dhtRequest:
            requests += 1
            if case .request(let request) = packet.message { commands[CommandName.of(request), default: 0] += 1 }
        case .dhtResponse:
            responses += 1
            if case .response(let response) = packet.message, response.error != 0 { errors[response.error, default: 0] += 1 }
        case .udx:
            guard case .udx(let message) = packet.message else { return }
            let type = message.header.type
            for (bit, name) in [
                (PacketType.data, "data"), (.end, "end"), (.sack, "sack"), (.message, "message"), (.destroy, "destroy"),
                (.heartbeat, "heartbeat"),
            ] where type.contains(bit) { udx[name, default: 0] += 1 }
            if type.subtracting(.reserved).isEmpty { udx["ack", default: 0] += 1 }
            if packet.retransmissionOf != nil { udx["retransmission", default: 0] += 1 }
        case .probe, .raw: raw += 1
        case .kadepy: kadepy += 1
        default: break
        }
    }

    private static func streams(_ dissection: Dissection) -> [Stream] {
        var opened: [Int: SecretStreamTrace] = [:]
        var result: [Stream] = []
        for stream in dissection.secretStreams {
            if let flow = stream.flow {
                opened[flow] = stream
            } else {
                let plaintext = stream.plaintext
                result.append(
                    Stream(
                        from: stream.from.description, to: stream.to.description, streamID: nil, handshakeHash: stream.handshakeHash,
                        bytes: plaintext.count, sha256: SHA256.hash(plaintext)))
            }
        }
        for (index, flow) in dissection.flows.enumerated() where !flow.bytes.isEmpty {
            let stream = opened[index]
            let content = stream?.plaintext ?? flow.bytes
            result.append(
                Stream(
                    from: flow.from.description, to: flow.to.description, streamID: flow.streamID.rawValue,
                    handshakeHash: stream?.handshakeHash, bytes: content.count, sha256: SHA256.hash(content)))
        }
        return result
    }

    public var json: JSON {
        func counts(_ values: [(String, Int)]) -> JSON {
            var object = JSONObject()
            for (key, value) in values { object.set(key, .integer(value)) }
            return .object(object)
        }
        func tally(_ tally: Tally) -> JSON { counts(tally.all.map { ($0.name, $0.count) }) }
        var units = JSONObject()
        units.set("dht-rpc", counts([("request", requests), ("response", responses)]))
        units.set("commands", counts(commands.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))
        units.set("errors", counts(errors.sorted { $0.key < $1.key }.map { (String($0.key), $0.value) }))
        units.set("udx", counts(Statistics.udxKinds.map { ($0, udx[$0] ?? 0) }))
        units.set("secret-stream", counts([("frames", frames), ("keepalives", keepalives), ("messages", messages)]))
        units.set("protomux", counts([("frames", protomuxFrames)]))
        units.set("raw", .integer(raw))
        units.set("kadepy", .integer(kadepy))
        var object = JSONObject()
        object.set("schema", "hyperswarm-pcap-stats/1")
        object.set("packets", .integer(packets))
        object.set("bytes", counts(ByteClass.allCases.map { ($0.name, bytes[$0] ?? 0) }))
        object.set("units", .object(units))
        object.set("verified", tally(verified))
        object.set("failed", tally(failed))
        object.set(
            "unanswered", .array(unanswered.map { .object(JSONObject(["packet": .integer($0.packet), "reason": .string($0.reason)])) }))
        object.set(
            "streams",
            .array(
                streams.map { stream in
                    .object(
                        JSONObject([
                            "from": .string(stream.from), "to": .string(stream.to),
                            "streamID": stream.streamID.map { .integer($0) } ?? .null,
                            "handshakeHash": stream.handshakeHash.map { .string(Hex.encode($0)) } ?? .null,
                            "bytes": .integer(stream.bytes), "sha256": .string(stream.sha256.description),
                        ]))
                }))
        return .object(object)
    }
}
