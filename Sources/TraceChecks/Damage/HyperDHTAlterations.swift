import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import PacketCapture
import SansIO

/// What a HyperDHT node could store, find or pass on wrongly.
extension Alteration {
    static let hyperDHT: [Alteration] = [
        Alteration(
            "hyperdht: an unknown key is found", ["hyperdht.stored", "hyperdht.record"],
            at: { c in
                responses(c, to: [.findPeer]) { $0.value == nil && $0.error == 0 }
            }
        ) { c, i, _ in
            response(c, i) {
                $0.value = PeerRecord(publicKey: Bytes32([UInt8](repeating: 9, count: 32)) ?? .zero).encoded; return true
            }
        },
        Alteration(
            "hyperdht: a stored record is not given", ["hyperdht.stored"],
            at: { c in
                responses(c, to: [.findPeer, .lookup]) { $0.value != nil }
            }
        ) { c, i, _ in
            response(c, i) {
                $0.value = nil; return true
            }
        },
        Alteration(
            "hyperdht: a stored value is not given", ["hyperdht.stored"],
            at: { c in
                responses(c, to: [.mutableGet, .immutableGet]) { $0.value != nil }
            }
        ) { c, i, _ in
            response(c, i) {
                $0.value = nil; return true
            }
        },
        Alteration("hyperdht: one record less", ["hyperdht.stored"], at: { c in responses(c, to: [.lookup]) { $0.value != nil } }) {
            c, i, _ in
            response(c, i) { response in
                guard let value = response.value, var reply = try? LookupReply(decoding: value), reply.peers.count > 1 else { return false }
                reply.peers.removeLast()
                response.value = reply.encoded
                return true
            }
        },
        Alteration("hyperdht: a record twice", ["hyperdht.stored"], at: { c in responses(c, to: [.lookup]) { $0.value != nil } }) {
            c, i, _ in
            response(c, i) { response in
                guard let value = response.value, var reply = try? LookupReply(decoding: value), let first = reply.peers.first else {
                    return false
                }
                reply.peers.append(first)
                response.value = reply.encoded
                return true
            }
        },
        Alteration("hyperdht: another bump", at: { c in responses(c, to: [.lookup]) { $0.value != nil } }) { c, i, _ in
            response(c, i) { response in
                guard let value = response.value, var reply = try? LookupReply(decoding: value) else { return false }
                reply.bump += 1
                response.value = reply.encoded
                return true
            }
        },
        Alteration("hyperdht: a put is not refused", ["hyperdht.stored"], at: { c in responses(c, to: [.mutablePut]) { $0.error != 0 } }) {
            c, i, _ in
            response(c, i) {
                $0.error = 0; return true
            }
        },
        Alteration("hyperdht: a put is refused", ["hyperdht.stored"], at: { c in responses(c, to: [.mutablePut]) { $0.error == 0 } }) {
            c, i, _ in
            response(c, i) {
                $0.error = 17; $0.token = nil; return true
            }
        },
        Alteration(
            "hyperdht: an announce with a bad signature",
            at: { c in
                requests(c) { !$0.isInternal && $0.command == HyperDHTCommand.announce.rawValue }
            }
        ) { c, i, _ in
            request(c, i) { request in
                guard let value = request.value, var message = try? AnnounceMessage(decoding: value) else { return false }
                message.signature?[3] ^= 1
                request.value = message.encoded
                return true
            }
        },
        Alteration(
            "hyperdht: an announce of another key",
            at: { c in
                requests(c) { !$0.isInternal && $0.command == HyperDHTCommand.announce.rawValue }
            }
        ) { c, i, _ in
            request(c, i) { request in
                guard let value = request.value, var message = try? AnnounceMessage(decoding: value) else { return false }
                guard var peer = message.peer else { return false }
                peer.publicKey = flipped(peer.publicKey)
                message.peer = peer
                request.value = message.encoded
                return true
            }
        },
        Alteration("hyperdht: another mode", at: { handshakes($0) }) { c, i, _ in
            handshake(c, i) {
                $0.mode = RelayMode(rawValue: ($0.mode.rawValue + 1) % 5); return true
            }
        },
        Alteration("hyperdht: another peer address", ["hyperdht.peer-address"], at: { handshakes($0) }) { c, i, _ in
            handshake(c, i) { message in
                guard let address = message.peerAddress else { return false }
                message.peerAddress = Endpoint(address.address, address.port ^ 1)
                return true
            }
        },
        Alteration("hyperdht: no peer address", at: { handshakes($0) }) { c, i, _ in
            handshake(c, i) { message in
                guard message.peerAddress != nil else { return false }
                message.peerAddress = nil
                return true
            }
        },
        Alteration("hyperdht: a byte of a Noise message", at: { handshakes($0) }) { c, i, e in
            handshake(c, i) { message in
                guard !message.noise.isEmpty else { return false }
                message.noise[Int(e.uniform(below: UInt64(message.noise.count), for: EntropyLabel(.test)))] ^= 4
                return true
            }
        },
        Alteration(
            "hyperdht: a handshake is not relayed", ["dht-rpc.answered", "hyperdht.route"],
            at: { c in
                requests(c) { !$0.isInternal && $0.command == HyperDHTCommand.peerHandshake.rawValue }.filter { i in
                    guard let number = c.exchangeOf[i] else { return false }
                    return c.dissection.exchanges[number].origin == nil && c.dissection.exchanges[number].legs.count > 0
                }
            }
        ) { c, i, _ in
            guard let exchange = c.exchangeOf[i].map({ c.dissection.exchanges[$0] }) else { return nil }
            var gone = Set(exchange.legs.flatMap { c.dissection.exchanges[$0].requests })
            if let response = exchange.response { gone.insert(response) }
            return packets(c).enumerated().filter { !gone.contains($0.offset) }.map(\.element)
        },
        Alteration(
            "hyperdht: a probe without its low TTL", ["hyperdht.fast-open"],
            at: { c in
                c.packets.indices.filter { c.packets[$0].kind == .probe && (1...5).contains(c.packets[$0].packet.timeToLive) }
            }
        ) { c, i, _ in changing(c, i) { $0.with(timeToLive: 64) } },
        Alteration(
            "hyperdht: an unannounce is missing", ["hyperdht.unannounced"],
            at: { c in
                requests(c) { !$0.isInternal && $0.command == HyperDHTCommand.unannounce.rawValue }
            }
        ) { c, i, _ in
            guard let exchange = c.exchangeOf[i].map({ c.dissection.exchanges[$0] }) else { return nil }
            let gone = Set(exchange.requests + [exchange.response].compactMap { $0 } + exchange.duplicateResponses)
            return packets(c).enumerated().filter { !gone.contains($0.offset) }.map(\.element)
        },
    ]

    private static func handshakes(_ context: TraceContext) -> [Int] {
        context.packets.indices.filter { if case .handshake? = HyperDHTRules.value(context, $0) { true } else { false } }
    }

    private static func handshake(_ context: TraceContext, _ index: Int, _ change: (inout HandshakeMessage) -> Bool) -> [CapturedPacket]? {
        guard case .handshake(var message)? = HyperDHTRules.value(context, index), change(&message) else { return nil }
        return request(context, index) {
            $0.value = message.encoded; return true
        }
            ?? response(context, index) {
                $0.value = message.encoded; return true
            }
    }
}
