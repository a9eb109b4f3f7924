import CompactEncoding
import DHTRPC
import HyperDHT
import KeyLog
import PacketCapture
import SansIO

/// The random draws of one recorded node, found again in inputs, key log and packets, in the order in which it made them.
///
/// - ephemeral Noise keys: the key log's, in order, by static key;
/// - token secrets: the key log's, drawn at the first use;
/// - stream ids: those in the node's own Noise payloads and relay links, in the order of their draws;
/// - secret-stream headers: from the first write of each raw stream;
/// - nonces of hole-punch payloads: from the packets whose box this party's key opens;
/// - local hole-punch secrets: the one that makes the token on the wire; without a token, the next one drawn after the handshake;
/// - random ports of a punch: from its probes;
/// - choices of records and of a search's target: the draw belongs to the node that answers or searches next.
struct NodeDraws {
    private let bundle: TraceBundle
    private let view: NodeView
    private let key: Bytes32?
    private var records: [(time: Instant, record: NoiseHandshakeRecord)] = []
    private var ephemerals: [NoiseEphemeral] = []

    init(_ bundle: TraceBundle, _ view: NodeView) {
        self.bundle = bundle
        self.view = view
        key = view.peer.publicKey
        for entry in bundle.keyLog?.entries ?? [] {
            switch entry.record {
            case .noise(let record) where record.staticKey == key && key != nil && record.pattern == "IK":
                records.append((entry.time, record))
            case .noiseEphemeral(let record) where record.staticKey == key && key != nil && record.pattern == "IK":
                ephemerals.append(record)
            default: break
            }
        }
    }

    func inject(into entropy: SeededEntropy) {
        for secret in tokenSecrets ?? [] { entropy.inject(secret.bytes, for: .tokenSecret) }
        for record in ephemerals { entropy.inject(Array(record.ephemeralSecretKey.prefix(32)), for: .noiseEphemeral) }
        for id in streamIDs {
            var writer = Writer()
            writer.uint32(id)
            entropy.inject(writer.bytes, for: .streamID)
        }
        for token in relayTokens { entropy.inject(token.bytes, for: .relayToken) }
        for header in headers { entropy.inject(header, for: .secretStreamHeader) }
        for (secret, nonces) in sessions {
            entropy.inject(secret, for: .holepunchSecret)
            for nonce in nonces { entropy.inject(nonce, for: .holepunchNonce) }
        }
        for unit in refreshTargets { entropy.inject(NodeDraws.word(unit), for: .refreshTarget) }
        for unit in recordChoices { entropy.inject(NodeDraws.word(unit), for: .recordChoice) }
        for port in punchPorts { entropy.inject(NodeDraws.word(Double(port - 1000) / 64_536 + 0.000_001), for: .punchPort) }
    }

    /// The first line of this node: secrets are drawn at the first use.
    var tokenSecrets: [Bytes32]? {
        for entry in bundle.keyLog?.entries ?? [] {
            guard case .tokenSecrets(let record) = entry.record, record.port == view.serverPort,
                IPAddress(record.host) == view.host || IPAddress(record.host) == view.peer.host
            else { continue }
            return record.secrets
        }
        return nil
    }

    /// Eight bytes from which a uniform choice comes out as `unit` would have made it.
    private static func word(_ unit: Double) -> [UInt8] {
        let word = UInt64(min(max(unit, 0), 0.999_999_999) * 0x1p64)
        return (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }

    // MARK: Streams

    private func ownPayloads() -> [NoisePayload] {
        records.flatMap { $0.record.messages.filter(\.isSent).compactMap { try? NoisePayload(decoding: $0.payload) } }
    }

    private var drawnIDs: [(time: Instant, id: UInt32)] {
        bundle.inputs.compactMap { input in
            guard case .draw(_, "hyperdht/lib/raw-stream-set.js", _, _, .unit(let unit)) = input.kind else { return nil }
            return (input.time, UInt32(unit * 0x1p32))
        }
    }

    /// Also the ids of handshakes that never finished: draws right after a call of this node's that no finished handshake names.
    private var streamIDs: [UInt32] {
        let own = ownPayloads().compactMap(\.udx).map { UInt32(truncatingIfNeeded: $0.id) }
        var wanted = Set(own)
        let claimed = Set(
            (bundle.keyLog?.entries ?? []).flatMap { entry -> [UInt32] in
                guard case .noise(let record) = entry.record else { return [] }
                return record.messages.compactMap { (try? NoisePayload(decoding: $0.payload))?.udx }.map {
                    UInt32(truncatingIfNeeded: $0.id)
                }
            })
        if isRelay { wanted.formUnion(relayLinks) }
        let unfinished = ephemerals.filter { item in item.isInitiator && !records.contains { $0.record.ephemeralKey == item.ephemeralKey } }
        let free = drawnIDs.filter { !claimed.contains($0.id) && !relayLinks.contains($0.id) }
        if !unfinished.isEmpty { wanted.formUnion(free.prefix(unfinished.count).map(\.id)) }
        let drawn = drawnIDs.map(\.id).filter { wanted.contains($0) }
        return drawn + own.filter { !drawn.contains($0) }
    }

    var isRelay: Bool {
        guard let key else { return false }
        return (bundle.keyLog?.entries ?? []).contains { entry in
            guard case .noise(let record) = entry.record else { return false }
            return record.messages.contains { (try? NoisePayload(decoding: $0.payload))?.relayThrough?.publicKey == key }
        }
    }

    private var relayLinks: Set<UInt32> {
        Set(
            bundle.inputs.compactMap { input in
                guard case .call("UDXStream", let id, "relayTo", _) = input.kind else { return nil }
                return id["localId"]?.integer.flatMap { UInt32(exactly: $0) }
            })
    }

    private var relayTokens: [Bytes32] { ownPayloads().compactMap { $0.relayThrough?.token } }

    /// First write of a raw stream: length 56, id, header.
    private var headers: [[UInt8]] {
        let own = Set(ownPayloads().compactMap(\.udx).map { UInt32(truncatingIfNeeded: $0.id) })
        return bundle.inputs.compactMap { input in
            guard case .call("UDXStream", let id, "write", let arguments) = input.kind,
                let local = id["localId"]?.integer.flatMap({ UInt32(exactly: $0) }), own.contains(local),
                let bytes = arguments.first?.string.flatMap({ Hex.decode($0) }), bytes.count == 59, bytes.starts(with: [56, 0, 0])
            else { return nil }
            return Array(bytes.suffix(24))
        }
    }

    // MARK: Hole punching

    /// Local secret and nonces of each session, in the order of the handshakes.
    private var sessions: [(secret: [UInt8], nonces: [[UInt8]])] {
        let messages = holepunchMessages
        var spare = bundle.inputs.compactMap { input -> (time: Instant, secret: [UInt8])? in
            guard case .draw(_, "hyperdht/lib/secure-payload.js", _, "HolepunchPayload", .bytes(let bytes)) = input.kind else { return nil }
            return (input.time, bytes)
        }
        let finished = (bundle.keyLog?.entries ?? []).compactMap { entry -> (time: Instant, key: Bytes32?)? in
            guard case .noise(let record) = entry.record else { return nil }
            return (entry.time, record.staticKey)
        }
        return records.map { item in
            let box = HolepunchBox(handshakeHash: item.record.hash)
            var nonces: [[UInt8]] = []
            var tokens: [(Bytes32, IPAddress)] = []
            for message in messages where message.isFromClient == item.record.isInitiator {
                guard let payload = box.openPayload(message.envelope) else { continue }
                let nonce = Array(message.envelope.prefix(HolepunchBox.nonceLength))
                if !nonces.contains(nonce) { nonces.append(nonce) }
                if let token = payload.token { tokens += message.hosts.map { (token, $0) } }
            }
            // The token on the wire names its secret; otherwise the first secret drawn after this handshake and before another one's.
            let exact = spare.firstIndex { candidate in
                tokens.contains { HolepunchBox.token(localSecret: candidate.secret, host: $0.1) == $0.0 }
            }
            let near = spare.firstIndex { candidate in finished.last { $0.time <= candidate.time }?.key == item.record.staticKey }
            guard let at = exact ?? near else { return ([UInt8](repeating: 0, count: 32), nonces) }
            return (spare.remove(at: at).secret, nonces)
        }
    }

    /// Functions among the options are not recorded. What a client does whose program refuses to punch: its round after a server's
    /// CONSISTENT or OPEN answer with a token says ABORTED.
    var refusesToPunch: Bool {
        let messages = holepunchMessages
        return records.contains { item in
            let box = HolepunchBox(handshakeHash: item.record.hash)
            var isAgreed = false
            guard item.record.isInitiator else { return false }
            for message in messages {
                guard let payload = box.openPayload(message.envelope) else { continue }
                if message.isFromClient, payload.error == .aborted { return isAgreed }
                let isKnown = payload.firewall == .consistent || payload.firewall == .open
                if !message.isFromClient, payload.error == .none, payload.token != nil, isKnown { isAgreed = true }
            }
            return false
        }
    }

    private struct Sealed {
        let isFromClient: Bool
        let envelope: [UInt8]
        let peerAddress: Endpoint?
        /// Hosts for which a token in it may be made.
        let hosts: [IPAddress]
    }

    private var holepunchMessages: [Sealed] {
        bundle.capture.packets.compactMap { packet in
            guard let request = try? Request(decoding: packet.payload), !request.isInternal,
                request.command == HyperDHTCommand.peerHolepunch.rawValue, let value = request.value,
                let message = try? HolepunchMessage(decoding: value), message.mode == .fromClient || message.mode == .fromServer
            else { return nil }
            let peers = (bundle.manifest?.peers ?? []).compactMap(\.host)
            return Sealed(
                isFromClient: message.mode == .fromClient, envelope: message.payload, peerAddress: message.peerAddress,
                hosts: [message.peerAddress?.address].compactMap { $0 } + peers)
        }
    }

    /// Destinations of the probes that this node sent to ports of one host at random: to more than 32 of them.
    private var punchPorts: [UInt16] {
        var ports: [Endpoint] = []
        // Not drawn: the punch towards the address that the other side is seen at, and answers to its probes.
        var known = Set(holepunchMessages.compactMap(\.peerAddress))
        for packet in view.packets where packet.payload.count == 1 {
            if packet.source.address != view.host {
                known.insert(packet.source)
            } else if packet.timeToLive > 5, !known.contains(packet.destination) {
                ports.append(packet.destination)
            }
        }
        guard Set(ports.map(\.port)).count > 32 else { return [] }
        return ports.map(\.port).filter { $0 >= 1000 }
    }

    // MARK: Records

    /// Each draw belongs to the node that begins a search next.
    private var refreshTargets: [Double] {
        let searches = bundle.capture.packets.filter {
            guard let request = try? Request(decoding: $0.payload) else { return false }
            return request.isInternal && request.command == InternalCommand.findNode.rawValue
        }
        return bundle.inputs.compactMap { input in
            guard case .draw(_, "kademlia-routing-table/index.js", _, _, .unit(let unit)) = input.kind,
                let next = searches.first(where: { $0.time >= input.time }), view.isOwn(next.source)
            else { return nil }
            return unit
        }
    }

    /// Each draw belongs to the node that answers a LOOKUP next.
    private var recordChoices: [Double] {
        let answers = bundle.capture.packets.filter {
            guard let response = try? Response(decoding: $0.payload), response.value != nil else { return false }
            return true
        }
        return bundle.inputs.compactMap { input in
            guard case .draw(_, "record-cache/index.js", _, _, .unit(let unit)) = input.kind,
                let next = answers.first(where: { $0.time >= input.time }), view.isOwn(next.source)
            else { return nil }
            return unit
        }
    }
}
