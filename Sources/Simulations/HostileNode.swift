import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import class Noise.HandshakeState
import SansIO

/// One persistent node, and what a hostile peer says to it.
final class HostileNode {
    static let address = Endpoint(.v4(0x2d00_0001), 49737)
    private static let honest = Endpoint(.v4(0x2d00_0002), 49737)
    /// Who never asked anything.
    private static let victim = Endpoint(.v4(0x2d00_0003), 53)
    private static let server = SocketID(1)

    let node: HyperDHTNode
    private var now = Instant(microseconds: 1_000_000)
    private let entropy: SeededEntropy
    private let serverKeys = KeyPair(seed: Blake2b.hash256([1]))
    private var number: UInt64 = 0
    private var tokens: [IPAddress: Bytes32] = [:]
    private var isCounting = false
    private(set) var answers = 0
    private(set) var bytesOut = 0
    private(set) var toOthers = 0

    init(seed: UInt64) {
        entropy = SeededEntropy(seed: seed)
        var config = HyperDHTConfig.bootstrapper(HostileNode.address)
        config.defaultKeyPair = serverKeys
        node = HyperDHTNode(config: config, entropy: SeededEntropy(seed: seed &+ 1), at: now)
        node.start()
        for event in node.takeEvents() {
            if case .bind = event {
                node.bound(
                    NodeSockets(
                        server: HostileNode.server, serverPort: HostileNode.address.port, client: SocketID(2), clientPort: 50_000))
            }
        }
        _ = try? node.listen(serverKeys)
        pass(.seconds(1))
        isCounting = true
    }

    static func source(_ number: Int) -> Endpoint { Endpoint(.v4(0x2e00_0001 + UInt32(truncatingIfNeeded: number)), 40_000) }

    func receive(_ datagram: [UInt8], from source: Endpoint, after step: Interval) {
        now = now + step
        node.receive(datagram, from: source, on: HostileNode.server, now: now)
        takeTransmits().forEach(count)
    }

    private func takeTransmits() -> [Transmit] {
        _ = node.takeSocketRequests()
        _ = node.takeEvents()
        return node.takeTransmits()
    }

    private func count(_ transmit: Transmit) {
        guard isCounting else { return }
        bytesOut += transmit.payload.count
        if isSource(transmit.destination) { answers += 1 } else { toOthers += 1 }
    }

    private func isSource(_ place: Endpoint) -> Bool {
        if case .v4(let address) = place.address { address >> 24 == 0x2e && place.port == HostileNode.source(0).port } else { false }
    }

    func pass(_ interval: Interval) {
        let end = now + interval
        while node.nextWakeUp <= end {
            now = max(now, node.nextWakeUp)
            node.advance(to: now)
            takeTransmits().forEach(count)
        }
        now = end
    }

    /// What the node answers this request with, at once. That answer alone is not counted.
    private func ask(_ request: Request, from source: Endpoint) -> Response? {
        node.receive(request.encoded, from: source, on: HostileNode.server, now: now)
        var found: Response?
        for transmit in takeTransmits() {
            if transmit.destination == source, let response = try? Response(decoding: transmit.payload), response.tid == request.tid {
                found = response
            } else {
                count(transmit)
            }
        }
        return found
    }

    /// An honest peer looks something up and is answered with a token.
    func servesHonest(_ number: Int) -> Bool {
        let request = Request(
            tid: UInt16(truncatingIfNeeded: number), to: HostileNode.address, isInternal: false, command: HyperDHTCommand.lookup.rawValue,
            target: Blake2b.hash256([3]))
        return ask(request, from: HostileNode.honest)?.token != nil
    }

    // MARK: What hostile peers say

    private func next() -> UInt64 {
        number += 1
        return number
    }

    private func bytes(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

    func garbage() -> [UInt8] {
        let length = Int(entropy.uniform(below: 200, for: EntropyLabel(.test)))
        var bytes = entropy.bytes(length, for: EntropyLabel(.test, 1))
        if !bytes.isEmpty { bytes[0] = next() % 2 == 0 ? 0x03 : 0x13 }
        return bytes
    }

    /// The token of this source, asked for once: tokens last for 7.5 s and more, an attack for one.
    private func token(_ source: Endpoint) -> Bytes32 {
        if let token = tokens[source.address] { return token }
        let request = Request(tid: 1, to: HostileNode.address, isInternal: false, command: HyperDHTCommand.lookup.rawValue, target: .zero)
        let token = ask(request, from: source)?.token ?? .zero
        tokens[source.address] = token
        return token
    }

    private func write(_ command: HyperDHTCommand, _ target: Bytes32, _ value: [UInt8], _ token: Bytes32) -> [UInt8] {
        Request(
            tid: 9, to: HostileNode.address, token: token, isInternal: false, command: command.rawValue, target: target, value: value
        ).encoded
    }

    func announce(from source: Endpoint, isSigned: Bool) -> [UInt8] {
        let keys = KeyPair(seed: Blake2b.hash256(bytes(next())))
        let target = Blake2b.hash256([4])
        let token = token(source)
        let peer = PeerRecord(publicKey: keys.publicKey, relayAddresses: [])
        var message = AnnounceMessage(peer: peer)
        message.signature =
            isSigned
            ? RecordSignature.sign(.announce, target: target, token: token, nodeID: node.nodeID, peer: peer, keyPair: keys)
            : [UInt8](repeating: 1, count: 64)
        return write(.announce, target, message.encoded, token)
    }

    func immutable(from source: Endpoint, token given: Bytes32? = nil) -> [UInt8] {
        let value = bytes(next()) + [UInt8](repeating: 0, count: 992)
        return write(.immutablePut, Blake2b.hash256(value), value, given ?? token(source))
    }

    func answer(from source: Endpoint) -> [UInt8] {
        Response(tid: UInt16(truncatingIfNeeded: next()), to: HostileNode.address, id: NodeID.of(source)).encoded
    }

    func handshake() -> [UInt8] {
        let target = Blake2b.hash256(serverKeys.publicKey.bytes)
        let own = KeyPair(seed: Blake2b.hash256([5]))
        let payload = NoisePayload(udx: NoisePayload.UDXInfo(id: 77), secretStream: NoisePayload.SecretStreamInfo())
        let state = try? HandshakeState(
            pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: own, remoteStatic: serverKeys.publicKey,
            ephemeral: KeyPair(seed: Blake2b.hash256(bytes(next()))))
        let noise = (try? state?.write(payload: payload.encoded)) ?? []
        return Request(
            tid: 9, to: HostileNode.address, isInternal: false, command: HyperDHTCommand.peerHandshake.rawValue, target: target,
            value: HandshakeMessage(mode: .fromClient, noise: noise).encoded
        ).encoded
    }

    func passedOn() -> [UInt8] {
        let message = HandshakeMessage(mode: .fromServer, noise: [1, 2], peerAddress: HostileNode.victim)
        return Request(
            tid: 9, to: HostileNode.address, isInternal: false, command: HyperDHTCommand.peerHandshake.rawValue,
            target: Blake2b.hash256([9]), value: message.encoded
        ).encoded
    }

    func streamPacket() -> [UInt8] { [0xff, 1, 1, 0] + bytes(next()) + bytes(0) + [1, 2, 3] }
}
