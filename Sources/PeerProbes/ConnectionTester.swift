import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import Noise
import SansIO
import SecretStream
import StrictJSON
import UDX

/// The other end of a connection of the peer, as its client or its server: UDX is our own machine's, every byte of the secret stream is written by hand.
final class ConnectionTester {
    let handshake: HandshakeResult
    /// Where the peer's packets come from.
    let address: Endpoint
    /// Bytes of the peer's stream, in order.
    private(set) var received: [UInt8] = []
    /// Its unordered messages, as they came.
    private(set) var envelopes: [[UInt8]] = []
    private(set) var closed: CloseReason?
    /// Where the peer's events say what this stream is; null until `adopt`.
    private(set) var stream = JSON.null

    /// Packets that came on this socket and are none of this stream's.
    private(set) var strays: [UDPTester.Arrival] = []

    private let context: ProbeContext
    private let isInitiator: Bool
    /// Whether a `connection` event may be this one's.
    private let isOurs: (JSON) -> Bool
    private let tester: UDPTester
    private let udx: UDXInstance
    private let id: StreamID
    private static let socket = SocketID(1)
    private var cipher: SecretStreamCipher
    private var counter: UInt64 = 41

    /// Handshakes directly with the server; nothing is sent over UDX yet. Another `attempt` of the same key is another first message.
    convenience init(_ it: ServerProbing, number: UInt8 = 70, attempt: UInt8 = 0) throws {
        let tester = try it.context.tester()
        let (initiator, first) = try it.firstMessage(ServerProbing.payload(), number: number, attempt: attempt)
        let tid = try it.send(HyperDHT.HandshakeMessage(mode: .fromClient, noise: first), from: tester)
        var early: [UDPTester.Arrival] = []
        var answer: (Response, UDPTester.Arrival)?
        let deadline = Instant.now + .milliseconds(DHTProbing.prompt)
        while answer == nil, let (_, arrival) = UDPTester.next(of: [tester], until: deadline) {
            if let response = try? Response(decoding: arrival.payload), response.tid == tid {
                answer = (response, arrival)
            } else {
                early.append(arrival)
            }
        }
        let message = try it.expectAnswer(answer?.0)
        let payload = try NoisePayload(decoding: initiator.read(message.noise))
        guard let result = initiator.result, let remote = payload.udx, let source = answer?.1.source else {
            throw PeerDeviation("handshake", expected: "complete, with a UDX stream", actual: "\(payload)")
        }
        try self.init(
            it.context, result, tester, id: UInt32(ServerProbing.udxID), remoteID: remote.id, at: source, isOurs: it.isConnection)
        for arrival in early { take(arrival) }
    }

    /// Of the client that a played server has met.
    convenience init(accepting meeting: PlayedServer.Meeting, at server: PlayedServer) throws {
        guard let remote = meeting.payload.udx else { throw PeerDeviation("the client's udx", expected: "an id", actual: "none") }
        try self.init(
            server.context, meeting.result, server.socket, id: server.udxID, remoteID: remote.id, at: meeting.client, isOurs: { _ in false }
        )
    }

    private init(
        _ context: ProbeContext, _ result: HandshakeResult, _ tester: UDPTester, id: UInt32, remoteID: UInt64, at address: Endpoint,
        isOurs: @escaping (JSON) -> Bool
    ) throws {
        self.context = context
        self.tester = tester
        self.isOurs = isOurs
        self.address = address
        self.id = StreamID(id)
        handshake = result
        isInitiator = result.isInitiator
        // Any 24 bytes will do: this key is used once.
        guard let cipher = SecretStreamCipher(key: result.tx, header: ConnectionTester.header) else { throw ProbeError("no cipher") }
        self.cipher = cipher
        guard let remoteID = UInt32(exactly: remoteID) else { throw PeerDeviation("udx id", expected: "32 bits", actual: "\(remoteID)") }
        udx = UDXInstance(entropy: SeededEntropy(seed: UInt64(id)))
        try udx.createStream(id: self.id, at: .now)
        try udx.connect(self.id, ConnectionTester.socket, to: StreamID(remoteID), at: address, now: .now)
    }

    private static let header = [UInt8](repeating: 0x11, count: SecretStreamCipher.headerLength)

    /// Our id header.
    func begin() throws {
        let own = IDHeader(id: IDHeader.id(handshakeHash: handshake.hash, isInitiator: isInitiator), header: ConnectionTester.header)
            .encoded
        try write(FrameLength(own.count).encoded + own)
        try pass(50)
    }

    /// Our id header; then the peer must tell of the connection.
    func open() throws {
        try begin()
        let event = try context.event("connection", seconds: 5, where: isOurs)
        stream = try event.handle("stream")
        // SS-29.
        context.exam.equal("handshakeHash", event["handshakeHash"]?.string, Hex.encode(handshake.hash))
    }

    // MARK: Sending

    func write(_ bytes: [UInt8]) throws {
        try udx.write(id, bytes, now: .now)
        flush()
    }

    /// One message frame with any tag.
    func writeMessage(_ plaintext: [UInt8], tag: UInt8 = 0) throws {
        let body = cipher.push(plaintext, tag: tag)
        try write(FrameLength(body.count).encoded + body)
    }

    /// A raw unordered message.
    func sendRaw(_ envelope: [UInt8]) throws {
        try udx.send(id, message: envelope, now: .now)
        flush()
    }

    /// An envelope under one of the two roles' keys.
    func envelope(_ plaintext: [UInt8], asInitiator: Bool = true) throws -> [UInt8] {
        counter += 1
        let key = UnorderedBox.key(handshakeHash: handshake.hash, senderIsInitiator: asInitiator)
        let number = littleEndian(counter, 8)
        guard let box = SecretBox.seal(plaintext, nonce: number + [UInt8](repeating: 0, count: 16), key: key) else {
            throw ProbeError("nothing sealed")
        }
        return number + box
    }

    private func flush() {
        udx.advance(to: .now)
        for transmit in udx.takeTransmits() { try? tester.send(transmit.payload, to: transmit.destination) }
        for event in udx.takeEvents() {
            switch event {
            case .data(_, let bytes): received += bytes
            case .message(_, let bytes): envelopes.append(bytes)
            case .closed(_, let reason): closed = reason
            default: break
            }
        }
    }

    private func take(_ arrival: UDPTester.Arrival) {
        if udx.receive(arrival.payload, from: arrival.source, on: ConnectionTester.socket, at: .now) != .consumed { strays.append(arrival) }
        flush()
    }

    // MARK: Receiving

    /// Lets real time pass.
    func pass(_ milliseconds: Int64, until isDone: () -> Bool = { false }) throws {
        let deadline = Instant.now + .milliseconds(milliseconds)
        flush()
        while !isDone(), .now < deadline {
            let wake = min(deadline, udx.nextWakeUp, .now + .milliseconds(50))
            if let (_, arrival) = UDPTester.next(of: [tester], until: wake) { take(arrival) } else { flush() }
        }
    }

    /// What the peer's messages say, opened with its role's key.
    var messages: [[UInt8]] {
        envelopes.compactMap {
            UnorderedBox.open($0, key: UnorderedBox.key(handshakeHash: handshake.hash, senderIsInitiator: !isInitiator))
        }
    }

    /// The peer's messages on the stream, decrypted; keepalives are left out.
    var plaintexts: [[UInt8]] { everything.map(\.plaintext).filter { !$0.isEmpty } }

    /// How many empty messages came.
    var keepAlives: Int { everything.count { $0.plaintext.isEmpty } }

    /// Of all that came.
    var tags: [UInt8] { everything.map(\.tag) }

    /// Up to the first that does not verify.
    private var everything: [(plaintext: [UInt8], tag: UInt8)] {
        var (parser, offset, result) = (FrameParser(), 0, [(plaintext: [UInt8], tag: UInt8)]())
        var reader: SecretStreamReader?
        while case .inPlace(let range) = parser.next(received, from: &offset, limits: 1...FrameLength.largest) {
            if let reader {
                guard let opened = reader.open(received, range: range) else { break }
                result.append(opened)
            } else {
                guard let header = try? IDHeader(decoding: Array(received[range])) else { break }
                reader = SecretStreamReader(key: handshake.rx, header: header.header)
            }
        }
        return result
    }

    /// Destroys the UDX stream.
    func destroy() throws {
        try udx.destroy(id, now: .now)
        flush()
    }

    /// What the peer's application got by events of this kind.
    func delivered(_ kind: String, _ count: Int, within seconds: Double = 3) throws -> [String] {
        var result: [String] = []
        let deadline = Instant.now + .milliseconds(Int64(seconds * 1000))
        while result.count < count, .now < deadline {
            try pass(20)
            while let event = try? context.peer.event(kind, seconds: 0.01, where: { $0["stream"] == self.stream }) {
                result.append(event["data"]?.string ?? "")
            }
        }
        return result
    }
}
