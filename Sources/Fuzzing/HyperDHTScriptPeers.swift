import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import Noise
import SansIO
import SecretStream
import UDX

extension Script {
    /// A Noise payload with every field of the script's choice, and sensible ones often.
    mutating func noisePayload(streamID: UInt32, place: Endpoint) -> NoisePayload {
        var payload = NoisePayload()
        let choice = byte()
        payload.firewall = Firewall(rawValue: choice & 3 == 3 ? number() : UInt64(choice & 3))
        payload.error = PeerErrorCode(rawValue: choice & 0x1c == 0x1c ? number() : 0)
        payload.udx = choice & 0x60 == 0x60 ? nil : NoisePayload.UDXInfo(id: UInt64(streamID))
        payload.secretStream = choice & 0x81 == 0x81 ? nil : NoisePayload.SecretStreamInfo()
        let more = byte()
        if more & 1 != 0 { payload.addresses4 = (0..<int(6)).map { _ in self.place() } + [place] }
        if more & 2 != 0 {
            payload.holepunch = NoisePayload.HolepunchInfo(
                id: number(),
                relays: (0..<int(5)).map { _ in
                    NoisePayload.HolepunchInfo.Relay(relayAddress: self.place(), peerAddress: self.place())
                })
        }
        if more & 4 != 0 { payload.relayThrough = NoisePayload.RelayThroughInfo(publicKey: NoiseScript.second.publicKey, token: bytes32()) }
        if more & 8 != 0 { payload.relayAddresses = (0..<int(5)).map { _ in self.place() } }
        if more & 16 != 0 { payload.udx?.reusableSocket = true }
        if more & 32 != 0 { payload.udx?.seq = number() }
        if more & 0xc0 == 0xc0 { payload.version = number() }
        return payload
    }

    mutating func holepunchPayload(round: UInt64, place: Endpoint) -> HolepunchPayload {
        let choice = byte()
        var payload = HolepunchPayload(firewall: Firewall(rawValue: UInt64(choice & 3)), round: round)
        if choice & 4 != 0 { payload.round = number() }
        payload.connected = choice & 8 != 0
        payload.punching = choice & 16 != 0
        if choice & 32 != 0 { payload.addresses = (0..<int(6)).map { _ in self.place() } + [place] }
        if choice & 64 != 0 { payload.remoteAddress = self.place() }
        let more = byte()
        if more & 1 != 0 { payload.token = bytes32() }
        if more & 2 != 0 { payload.remoteToken = bytes32() }
        if more & 0x1c == 0x1c { payload.error = PeerErrorCode(rawValue: number()) }
        return payload
    }
}

/// The peer's end of a stream: UDX and secret-stream as they are, so that what arrives at the node is genuine until the script says otherwise.
final class ScriptedStream {
    private let udx = UDXInstance(entropy: SeededEntropy(seed: 5))
    private var secret: SecretStream?
    let id: StreamID
    private var outgoing: [[UInt8]] = []

    init(_ id: UInt32, at now: Instant) {
        self.id = StreamID(id)
        _ = try? udx.createStream(id: self.id, at: now)
    }

    func start(_ result: HandshakeResult, remoteID: UInt64, at place: Endpoint, now: Instant) {
        guard secret == nil else { return }
        let stream = SecretStream(isInitiator: result.isInitiator, entropy: SeededEntropy(seed: 6))
        secret = stream
        try? udx.connect(id, SocketID(1), to: StreamID(UInt32(truncatingIfNeeded: remoteID)), at: place, now: now)
        stream.start(handshake: result, at: now)
        pump(now)
    }

    func receive(_ bytes: [UInt8], _ now: Instant) {
        _ = udx.receive(bytes, from: HyperDHTScript.address, on: SocketID(1), at: now)
        pump(now)
    }

    func talk(_ script: inout Script, _ now: Instant) -> [[UInt8]] {
        udx.advance(to: now)
        switch script.byte() & 15 {
        case 0...4: try? secret?.write(script.take(script.int(60)), at: now)
        case 5: try? secret?.write([UInt8](repeating: 3, count: script.int(10_000)), at: now)
        case 6: secret?.end(at: now)
        case 7: try? udx.destroy(id, now: now)
        case 8: _ = secret?.sendUnordered(script.take(script.int(20)))
        case 9: _ = try? udx.write(id, script.take(script.int(40)), now: now)
        case 10: _ = try? udx.end(id, now: now)
        case 11: secret?.sendKeepAlive(at: now)
        default: break
        }
        pump(now)
        var result = outgoing
        outgoing = []
        if script.byte() & 15 == 15 { result = result.map { script.damage($0) } }
        return result
    }

    private func pump(_ now: Instant) {
        for _ in 0..<100 {
            for event in udx.takeEvents() {
                switch event {
                case .data(_, let bytes): secret?.receive(bytes, at: now)
                case .end: secret?.receiveEnd(at: now)
                case .closed: secret?.rawClosed()
                default: break
                }
            }
            _ = secret?.takeEvents()
            let effects = secret?.takeEffects() ?? []
            for effect in effects {
                switch effect {
                case .write(let bytes): _ = try? udx.write(id, bytes, now: now)
                case .sendUnordered(let bytes): try? udx.send(id, message: bytes, now: now)
                case .end: _ = try? udx.end(id, now: now)
                case .destroy: try? udx.destroy(id, now: now)
                }
            }
            udx.advance(to: now)
            let transmits = udx.takeTransmits()
            if outgoing.count < 200 { outgoing += transmits.map(\.payload) }
            if effects.isEmpty && transmits.isEmpty { return }
        }
    }
}

/// A peer that connects to the node's server.
struct ScriptedClient {
    private(set) var lastNoise: [UInt8] = []
    private(set) var lastPayload: [UInt8] = []
    private(set) var place = Script.place(5)
    private var noise: HandshakeState?
    private var result: HandshakeResult?
    private var payload = NoisePayload()
    private var stream: ScriptedStream?
    private var nextStream: UInt32 = 7000
    private var round: UInt64 = 0
    private var entropy: UInt64 = 100

    /// PEER_HANDSHAKE with a genuine first message, direct or as a relay would pass it on.
    mutating func begin(_ script: inout Script, _ now: Instant) -> [[UInt8]] {
        place = script.place()
        entropy += 1
        nextStream += 1
        guard
            let noise = try? HandshakeState(
                pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: NoiseScript.second,
                remoteStatic: HyperDHTScript.nodeKey.publicKey, entropy: SeededEntropy(seed: entropy)),
            let message = try? noise.write(payload: script.noisePayload(streamID: nextStream, place: place).encoded)
        else { return [] }
        (self.noise, result, round) = (noise, nil, 0)
        stream = ScriptedStream(nextStream, at: now)
        lastNoise = message
        let mode = script.byte()
        let handshake = HandshakeMessage(
            mode: RelayMode(rawValue: [0, 2, 3, 0][Int(mode & 3)]), noise: message, peerAddress: mode & 3 == 0 ? nil : place,
            relayAddress: mode & 3 == 2 ? script.place() : nil)
        let request = Request(
            tid: UInt16(mode), to: HyperDHTScript.address, isInternal: false, command: 0,
            target: Blake2b.hash256(HyperDHTScript.nodeKey.publicKey.bytes), value: handshake.encoded)
        return [request.encoded]
    }

    /// The node's answers: a handshake's second message is tried on each.
    mutating func answered(_ value: [UInt8]) {
        guard let message = try? HandshakeMessage(decoding: value), let noise, !noise.isComplete,
            let plaintext = try? noise.read(message.noise), let payload = try? NoisePayload(decoding: plaintext)
        else { return }
        self.payload = payload
        result = noise.result
    }

    mutating func punch(_ script: inout Script) -> [[UInt8]] {
        guard let result else { return [] }
        let box = HolepunchBox(handshakeHash: result.hash)
        let payload = script.holepunchPayload(round: round, place: place)
        round &+= 1
        guard let sealed = box.seal(payload, nonce: [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 24)) else { return [] }
        lastPayload = sealed
        let choice = script.byte()
        let message = HolepunchMessage(
            mode: RelayMode(rawValue: choice & 1 == 0 ? 2 : 0),
            id: choice & 0xe0 == 0xe0 ? script.number() : self.payload.holepunch?.id ?? 1,
            payload: choice & 0x1e == 0x1e ? script.damage(sealed) : sealed, peerAddress: choice & 1 == 0 ? place : nil)
        let request = Request(
            tid: UInt16(choice), to: HyperDHTScript.address, isInternal: false, command: 1,
            target: Blake2b.hash256(HyperDHTScript.nodeKey.publicKey.bytes), value: message.encoded)
        return [request.encoded]
    }

    mutating func talk(_ script: inout Script, _ now: Instant) -> [[UInt8]] {
        if let result, let udx = payload.udx { stream?.start(result, remoteID: udx.id, at: HyperDHTScript.address, now: now) }
        return stream?.talk(&script, now) ?? []
    }

    func receive(_ transmit: Transmit, _ now: Instant) { stream?.receive(transmit.payload, now) }
}

/// A server that the node connects to, and the relays before it.
struct ScriptedServer {
    private(set) var place = Script.place(9)
    private var result: HandshakeResult?
    private var remoteStream: UInt64 = 0
    private var stream: ScriptedStream?
    private var nextStream: UInt32 = 9000
    private var entropy: UInt64 = 500

    mutating func handshake(_ value: [UInt8], at relay: Endpoint, _ script: inout Script, _ now: Instant) -> [UInt8]? {
        guard let message = try? HandshakeMessage(decoding: value) else { return nil }
        entropy += 1
        nextStream += 1
        place = script.byte() & 3 == 0 ? relay : script.place()
        guard
            let noise = try? HandshakeState(
                pattern: .ik, isInitiator: false, prologue: Namespace.peerHandshake.bytes, staticKeys: NoiseScript.second,
                entropy: SeededEntropy(seed: entropy)),
            let plaintext = try? noise.read(message.noise), let payload = try? NoisePayload(decoding: plaintext),
            let answer = try? noise.write(payload: script.noisePayload(streamID: nextStream, place: place).encoded)
        else { return nil }
        result = noise.result
        remoteStream = payload.udx?.id ?? 0
        stream = ScriptedStream(nextStream, at: now)
        return HandshakeMessage(
            mode: RelayMode(rawValue: script.byte() & 7 == 7 ? script.number() : 4),
            noise: script.byte() & 15 == 15 ? script.damage(answer) : answer, peerAddress: script.byte() & 3 == 3 ? nil : place
        ).encoded
    }

    mutating func holepunch(_ value: [UInt8], at relay: Endpoint, _ script: inout Script) -> [UInt8]? {
        guard let message = try? HolepunchMessage(decoding: value), let result else { return nil }
        let box = HolepunchBox(handshakeHash: result.hash)
        guard let payload = box.openPayload(message.payload) else { return nil }
        var answer = script.holepunchPayload(round: payload.round, place: place)
        if script.byte() & 3 != 0 { answer.remoteToken = payload.token }
        guard let sealed = box.seal(answer, nonce: [UInt8](repeating: UInt8(truncatingIfNeeded: payload.round), count: 24)) else {
            return nil
        }
        return HolepunchMessage(
            mode: RelayMode(rawValue: script.byte() & 7 == 7 ? script.number() : 4), id: 0,
            payload: script.byte() & 15 == 15 ? script.damage(sealed) : sealed, peerAddress: script.byte() & 3 == 3 ? nil : place
        ).encoded
    }

    mutating func talk(_ script: inout Script, _ now: Instant) -> [[UInt8]] {
        if let result { stream?.start(result, remoteID: remoteStream, at: HyperDHTScript.address, now: now) }
        return stream?.talk(&script, now) ?? []
    }

    func receive(_ transmit: Transmit, _ now: Instant) { stream?.receive(transmit.payload, now) }
}
