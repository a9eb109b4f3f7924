import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import class Noise.HandshakeState
import SansIO
import StrictJSON

/// Hole punching without a NAT: the peer takes itself for firewalled, and testers are its relays and the other end.
enum PunchProbes {
    private static func server(
        _ slug: String, _ requirements: [String], _ run: @escaping @Sendable (PunchedServer) throws -> Void
    ) -> Probe {
        .dht("hyperdht", slug, requirements, needs: ["listen"]) { dht in try run(PunchedServer(RecordProbing(dht))) }
    }

    static let probes: [Probe] = [
        server("round-with-an-error", ["HDHT-50"]) { it in
            let answer = try it.round(HolepunchPayload(error: .aborted, round: 0), by: it.relay)
            it.exam.equal("error", answer?.error, .aborted)
            it.exam.require("punches afterwards", !it.echoes(), "its puncher still answers")
        },
        server("round-that-does-not-open", ["HDHT-48"]) { it in
            let payload = HolepunchPayload(firewall: .consistent, addresses: [it.client.endpoint])
            it.exam.require("answer", try it.round(payload, by: it.relay, isDamaged: true) == nil, "one")
            _ = try it.exam.unwrap("a right round", it.round(payload, by: it.relay))
        },
        server("token-by-its-own-relay", ["HDHT-51"]) { it in
            let payload = HolepunchPayload(firewall: .consistent, addresses: [it.client.endpoint])
            let stranger = try it.exam.unwrap("by another node", it.round(payload, by: it.context.tester()))
            it.exam.equal("by another node: error", stranger.error, PeerErrorCode.none)
            it.exam.require("by another node: token", stranger.token == nil, "present")
            let own = try it.exam.unwrap("by its relay", it.round(payload, by: it.relay))
            it.exam.equal("by its relay: error", own.error, PeerErrorCode.none)
            it.exam.require("by its relay: token", own.token != nil, "none")
        },
        server("punch-round", ["HDHT-52"]) { it in
            var payload = HolepunchPayload(firewall: .consistent, addresses: [it.client.endpoint])
            let first = try it.exam.unwrap("the first round", it.round(payload, by: it.relay))
            payload.round = 1
            payload.punching = true
            payload.token = Blake2b.hash256(Array("ours".utf8))
            payload.remoteToken = first.token
            let second = try it.exam.unwrap("the second round", it.round(payload, by: it.relay))
            it.exam.equal("error", second.error, PeerErrorCode.none)
            it.exam.equal("punching", second.punching, true)
            it.exam.equal("remoteToken", second.remoteToken, payload.token)
        },
        server("punch-comes-back", ["HDHT-53"]) { it in
            let payload = HolepunchPayload(firewall: .consistent, addresses: [it.client.endpoint])
            _ = try it.exam.unwrap("the first round", it.round(payload, by: it.relay))
            it.exam.require("one byte back", it.echoes(), "none")
        },
        .dht("hyperdht", "fast-open", ["HDHT-59"], needs: ["connect"]) { dht in
            let it = try ClientProbing(RecordProbing(dht), relays: 3, isFirewalled: true)
            it.server.isFirewalled(behind: it.relays)
            try it.connect()
            var before: UDPTester.Arrival?
            var hasCome = false
            try dht.serve(it.relays, 8000, until: { _ in hasCome }) { asked in
                // What it has sent to the server stands in that socket already.
                if !asked.request.isInternal, asked.request.command == HyperDHTCommand.peerHolepunch.rawValue, !hasCome {
                    hasCome = true
                    before = it.server.socket.take()
                }
                return try PlayedServer.answer(asked, [it.server], it.relays)
            }
            it.exam.require("PEER_HOLEPUNCH", hasCome, "none")
            it.exam.bytes("before it, at the server", before?.payload, [0])
            guard let before, let timeToLive = before.timeToLive else { return }
            it.exam.equal("its TTL", timeToLive, 5)
        },
        Probe("hyperdht", "record-life", ["HDHT-71"], needs: []) { context in
            context.exam.notRun("the contract can't set how long a node keeps records")
        },
    ]
}

extension Examination {
    /// A value that the rest of a probe rests on.
    func unwrap<Value>(_ field: String, _ value: Value?) throws -> Value {
        guard let value else { throw PeerDeviation(field, expected: "an answer", actual: "silence") }
        count(1)
        return value
    }
}

/// A server of the peer that can't be reached, and the slot that a handshake by way of one of its relays has opened there.
private final class PunchedServer {
    let relay: UDPTester
    let client: UDPTester
    private let swarm: SwarmProbing
    /// Where the server heard from its relay, and where its puncher stands.
    private let address: Endpoint
    private let puncher: Endpoint
    private let slot: UInt64
    private let box: HolepunchBox
    private let tid: () -> UInt16

    init(_ records: RecordProbing) throws {
        let it = try SwarmProbing(records, swarm: nil)
        swarm = it
        tid = records.dht.tid
        relay = it.testers[0]
        client = try records.dht.context.tester()
        let announced = try it.requests(it.listen().asked, .announce, it.key.target).first { [relay] in $0.tester === relay }
        guard let address = announced?.arrival.source else { throw PeerDeviation("ANNOUNCE", expected: "at its relay", actual: "none") }
        self.address = address
        let handshake = try HandshakeState(
            pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: records.key(30),
            remoteStatic: it.key.publicKey, ephemeral: KeyPair(seed: Blake2b.hash256([30], Array("ephemeral".utf8)).bytes))
        var payload = ServerProbing.payload()
        payload.firewall = .consistent
        let message = HyperDHT.HandshakeMessage(
            mode: .fromRelay, noise: try handshake.write(payload: payload.encoded), peerAddress: client.endpoint)
        let reply = try PunchedServer.forwarded(it, .peerHandshake, message.encoded, from: relay, to: address, tid())
        let answer = try HyperDHT.HandshakeMessage(decoding: reply?.request.value ?? [])
        guard let info = try NoisePayload(decoding: handshake.read(answer.noise)).holepunch, let hash = handshake.result?.hash,
            let source = reply?.arrival.source
        else { throw PeerDeviation("holepunch", expected: "a slot and relays", actual: "none: it takes itself for open") }
        it.exam.require("its relays", info.relays.contains { [relay] in $0.relayAddress == relay.endpoint }, "\(info.relays)")
        slot = info.id
        puncher = source
        box = HolepunchBox(handshakeHash: hash)
    }

    var exam: Examination { swarm.exam }
    var context: ProbeContext { swarm.context }

    /// Sends a request as a relay does; what the server sends back to it by this tid. All testers serve meanwhile: the server looks at its own addresses.
    private static func forwarded(
        _ it: SwarmProbing, _ command: HyperDHTCommand, _ value: [UInt8], from relay: UDPTester, to address: Endpoint, _ tid: UInt16,
        _ milliseconds: Int64 = 6000
    ) throws -> DHTProbing.Asked? {
        let request = Request(
            tid: tid, to: address, isInternal: false, command: command.rawValue, target: it.key.target, value: value)
        try relay.send(request.encoded, to: address)
        func isReply(_ asked: DHTProbing.Asked) -> Bool { asked.request.tid == tid && asked.request.command == command.rawValue }
        let all = it.testers.contains { $0 === relay } ? it.testers : it.testers + [relay]
        let asked = try it.records.dht.serve(all, milliseconds, until: { $0.contains(where: isReply) }) {
            isReply($0) ? nil : DHTProbing.plainAnswer($0)
        }
        return asked.first(where: isReply)
    }

    /// One round by way of a node; nil: silence, or what does not open.
    func round(_ payload: HolepunchPayload, by node: UDPTester, isDamaged: Bool = false) throws -> HolepunchPayload? {
        guard var sealed = box.seal(payload, nonce: [UInt8](repeating: UInt8(payload.round), count: HolepunchBox.nonceLength)) else {
            throw ProbeError("nothing sealed")
        }
        if isDamaged { sealed[sealed.count - 1] ^= 1 }
        let message = HolepunchMessage(mode: .fromRelay, id: slot, payload: sealed, peerAddress: client.endpoint)
        let reply = try PunchedServer.forwarded(
            swarm, .peerHolepunch, message.encoded, from: node, to: address, tid(), isDamaged ? 1500 : 6000)
        guard let value = reply?.request.value else { return nil }
        let answer = try HolepunchMessage(decoding: value)
        exam.equal("mode", answer.mode, .fromServer)
        return box.openPayload(answer.payload)
    }

    /// Whether a byte at the puncher comes back.
    func echoes() -> Bool {
        client.discard()
        try? client.send([0], to: puncher)
        guard let arrival = client.receive(within: 1500) else { return false }
        exam.bytes("what comes back", arrival.payload, [0])
        return true
    }
}
