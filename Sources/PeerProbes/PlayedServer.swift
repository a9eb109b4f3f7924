import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import struct Noise.HandshakeResult
import class Noise.HandshakeState
import SansIO
import UDX

/// A server that a tester plays: its record, its answers to first Noise messages, and the connections that come of them.
final class PlayedServer {
    /// A client that came: its first message, and what was agreed.
    struct Meeting {
        let first: [UInt8]
        /// Where the client asked from.
        let client: Endpoint
        let payload: NoisePayload
        let result: HandshakeResult
    }

    let key: KeyPair
    let socket: UDPTester
    let udxID: UInt32
    /// What it says of itself; nil: handshakes are left without an answer.
    var offer: NoisePayload?
    /// Different first messages that came, answered or not.
    private(set) var firsts: [[UInt8]] = []
    private(set) var meetings: [Meeting] = []
    let context: ProbeContext

    /// `host`: the last byte of its address in 127/8, which is not the relays'.
    init(_ records: RecordProbing, key number: UInt8, host: UInt8 = 2, udxID: UInt32 = 5501, offer: NoisePayload? = nil) throws {
        context = records.dht.context
        key = records.key(number)
        socket = try context.tester(.v4(0x7f00_0000 | UInt32(host)))
        self.udxID = udxID
        self.offer = offer
    }

    /// Takes no packets from strangers, but may be punched by way of these relays.
    func isFirewalled(behind relays: [UDPTester], relayThrough: NoisePayload.RelayThroughInfo? = nil) {
        offer = NoisePayload(
            firewall: .consistent,
            holepunch: NoisePayload.HolepunchInfo(
                id: 4, relays: relays.map { NoisePayload.HolepunchInfo.Relay(relayAddress: $0.endpoint, peerAddress: socket.endpoint) }),
            relayThrough: relayThrough)
    }

    /// The Noise message for a client's first.
    func second(_ asked: DHTProbing.Asked, _ first: [UInt8], _ offer: NoisePayload) throws -> [UInt8] {
        let responder = try HandshakeState(
            pattern: .ik, isInitiator: false, prologue: Namespace.peerHandshake.bytes, staticKeys: key,
            ephemeral: KeyPair(seed: Blake2b.hash256(first, Array("ephemeral".utf8)).bytes))
        let payload = try NoisePayload(decoding: responder.read(first))
        context.exam.equal("version", payload.version, 1)
        var offer = offer
        offer.udx = NoisePayload.UDXInfo(id: UInt64(udxID))
        offer.secretStream = NoisePayload.SecretStreamInfo()
        let message = try responder.write(payload: offer.encoded)
        if let result = responder.result, !meetings.contains(where: { $0.first == first }) {
            meetings.append(Meeting(first: first, client: asked.arrival.source, payload: payload, result: result))
        }
        return message
    }

    /// What a relay passes on from this server.
    func answer(_ asked: DHTProbing.Asked, _ noise: [UInt8]) -> Response {
        var response = DHTProbing.plainAnswer(asked, withToken: false)
        response.value = HyperDHT.HandshakeMessage(mode: .reply, noise: noise, peerAddress: socket.endpoint).encoded
        return response
    }

    /// A relay's answer to PEER_HANDSHAKE.
    func handshake(_ asked: DHTProbing.Asked) throws -> Response? {
        let first = try HyperDHT.HandshakeMessage(decoding: asked.request.value ?? []).noise
        if !firsts.contains(first) { firsts.append(first) }
        guard let offer else { return nil }
        return answer(asked, try second(asked, first, offer))
    }

    /// What the network says that knows these servers by way of these relays.
    static func answer(_ asked: DHTProbing.Asked, _ servers: [PlayedServer], _ relays: [UDPTester]) throws -> Response? {
        var response = DHTProbing.plainAnswer(asked)
        guard !asked.request.isInternal else { return response }
        let server = servers.first { $0.key.target == asked.request.target }
        switch HyperDHTCommand(rawValue: asked.request.command) {
        case .findPeer:
            response.value = server.map { PeerRecord(publicKey: $0.key.publicKey, relayAddresses: relays.map(\.endpoint)).encoded }
        case .peerHandshake: return try server?.handshake(asked)
        case .peerHolepunch: return nil
        default: break
        }
        return response
    }

    /// The connection with the client that came first.
    func accept() throws -> ConnectionTester {
        guard let meeting = meetings.first else { throw PeerDeviation("PEER_HANDSHAKE", expected: "one", actual: "none") }
        return try ConnectionTester(accepting: meeting, at: self)
    }

    /// The payload of the first DATA packet with an id that arrives here; nil: none.
    func firstData(_ id: UInt32, within milliseconds: Int64) -> [UInt8]? {
        let deadline = Instant.now + .milliseconds(milliseconds)
        while let (_, arrival) = UDPTester.next(of: [socket], until: deadline) {
            if let payload = PlayedServer.data(arrival, id) { return payload }
        }
        return nil
    }

    static func data(_ arrival: UDPTester.Arrival, _ id: UInt32) -> [UInt8]? {
        var reader = Reader(arrival.payload)
        guard let header = try? PacketHeader(from: &reader), header.type.rawValue & 1 == 1, header.streamID.rawValue == id else {
            return nil
        }
        return Array(arrival.payload.dropFirst(PacketHeader.size + Int(header.dataOffset)))
    }
}
