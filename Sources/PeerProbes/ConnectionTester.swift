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

/// A client that a server of the peer has taken: UDX is our own machine's, every byte of the secret stream is written by hand.
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

    private let it: ServerProbing
    private let tester: UDPTester
    private let udx: UDXInstance
    private static let id = StreamID(77)
    private static let socket = SocketID(1)
    private var cipher: SecretStreamCipher
    private var counter: UInt64 = 41

    /// Handshakes directly with the server; nothing is sent over UDX yet.
    init(_ it: ServerProbing, number: UInt8 = 70) throws {
        self.it = it
        tester = try it.context.tester()
        udx = UDXInstance(entropy: SeededEntropy(seed: UInt64(number)))
        try udx.createStream(id: ConnectionTester.id, at: .now)
        let (initiator, first) = try it.firstMessage(ServerProbing.payload(), number: number)
        let tid = try it.send(HyperDHT.HandshakeMessage(mode: RelayMode(rawValue: 0), noise: first), from: tester)
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
        handshake = result
        address = source
        // Any 24 bytes will do: this key is used once.
        guard let cipher = SecretStreamCipher(key: result.tx, header: ConnectionTester.header) else { throw ProbeError("no cipher") }
        self.cipher = cipher
        guard let remoteID = UInt32(exactly: remote.id) else {
            throw PeerDeviation("udx id", expected: "32 bits", actual: "\(remote.id)")
        }
        try udx.connect(ConnectionTester.id, ConnectionTester.socket, to: StreamID(remoteID), at: source, now: .now)
        for arrival in early { take(arrival) }
    }

    private static let header = [UInt8](repeating: 0x11, count: SecretStreamCipher.headerLength)

    /// Our id header.
    func begin() throws {
        let own = IDHeader(id: IDHeader.id(handshakeHash: handshake.hash, isInitiator: true), header: ConnectionTester.header).encoded
        try write(FrameLength(own.count).encoded + own)
        try pass(50)
    }

    /// Our id header; then the peer must tell of the connection.
    func open() throws {
        try begin()
        stream = try it.context.peer.event("connection", seconds: 5, where: { $0["server"] == self.it.server }).handle("stream")
    }

    // MARK: Sending

    func write(_ bytes: [UInt8]) throws {
        try udx.write(ConnectionTester.id, bytes, now: .now)
        flush()
    }

    /// One message frame with any tag.
    func writeMessage(_ plaintext: [UInt8], tag: UInt8 = 0) throws {
        let body = cipher.push(plaintext, tag: tag)
        try write(FrameLength(body.count).encoded + body)
    }

    /// A raw unordered message.
    func sendRaw(_ envelope: [UInt8]) throws {
        try udx.send(ConnectionTester.id, message: envelope, now: .now)
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
        _ = udx.receive(arrival.payload, from: arrival.source, on: ConnectionTester.socket, at: .now)
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

    /// What the peer's messages say, opened with the responder's key.
    var messages: [[UInt8]] {
        envelopes.compactMap { UnorderedBox.open($0, key: UnorderedBox.key(handshakeHash: handshake.hash, senderIsInitiator: false)) }
    }

    /// The peer's messages on the stream, decrypted; keepalives are left out. Up to the first that does not verify.
    var plaintexts: [[UInt8]] {
        var (parser, offset, result) = (FrameParser(), 0, [[UInt8]]())
        var reader: SecretStreamReader?
        while case .inPlace(let range) = parser.next(received, from: &offset, limits: 1...FrameLength.largest) {
            if let reader {
                guard let opened = reader.open(received, range: range) else { break }
                if !opened.plaintext.isEmpty { result.append(opened.plaintext) }
            } else {
                guard let header = try? IDHeader(decoding: Array(received[range])) else { break }
                reader = SecretStreamReader(key: handshake.rx, header: header.header)
            }
        }
        return result
    }

    /// Destroys the UDX stream.
    func destroy() throws {
        try udx.destroy(ConnectionTester.id, now: .now)
        flush()
    }

    /// What the peer's application got by events of this kind.
    func delivered(_ kind: String, _ count: Int, within seconds: Double = 3) throws -> [String] {
        var result: [String] = []
        let deadline = Instant.now + .milliseconds(Int64(seconds * 1000))
        while result.count < count, .now < deadline {
            try pass(20)
            while let event = try? it.context.peer.event(kind, seconds: 0.01, where: { $0["stream"] == self.stream }) {
                result.append(event["data"]?.string ?? "")
            }
        }
        return result
    }
}
