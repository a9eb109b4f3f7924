import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import PacketCapture
import SansIO

extension Alteration {
    private static func requests(_ context: TraceContext, _ isWanted: (Request) -> Bool = { _ in true }) -> [Int] {
        context.packets.indices.filter { if case .request(let request) = context.packets[$0].message { isWanted(request) } else { false } }
    }

    private static func responses(_ context: TraceContext, _ isWanted: (Response) -> Bool = { _ in true }) -> [Int] {
        context.packets.indices.filter {
            if case .response(let response) = context.packets[$0].message { isWanted(response) } else { false }
        }
    }

    private static func responses(_ context: TraceContext, to commands: [HyperDHTCommand], _ isWanted: (Response) -> Bool) -> [Int] {
        responses(context, isWanted).filter { index in
            guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), !exchange.isInternal else {
                return false
            }
            return commands.contains { $0.rawValue == exchange.commandNumber }
        }
    }

    private static func response(_ context: TraceContext, _ index: Int, _ change: (inout Response) -> Bool) -> [CapturedPacket]? {
        guard case .response(var response) = context.packets[index].message, change(&response) else { return nil }
        return changing(context, index) { $0.with(payload: response.encoded) }
    }

    /// All copies of a request are changed alike, as its sender would have sent them.
    private static func request(_ context: TraceContext, _ index: Int, _ change: (inout Request) -> Bool) -> [CapturedPacket]? {
        guard case .request(var request) = context.packets[index].message, change(&request) else { return nil }
        let old = context.packets[index].packet
        return packets(context).map {
            $0.payload == old.payload && $0.source == old.source && $0.destination == old.destination
                ? $0.with(payload: request.encoded) : $0
        }
    }

    private static func flipped(_ value: Bytes32) -> Bytes32 {
        var bytes = value.bytes
        bytes[7] ^= 0x10
        return Bytes32(bytes) ?? value
    }

    static let dhtRPC: [Alteration] = [
        Alteration("dht-rpc: a response with another tid", at: { responses($0) }) { c, i, _ in
            response(c, i) {
                $0.tid = $0.tid &+ 1; return true
            }
        },
        Alteration("dht-rpc: a request with another tid", at: { requests($0) }) { c, i, _ in
            request(c, i) {
                $0.tid = $0.tid &+ 1; return true
            }
        },
        Alteration("dht-rpc: to names another host", ["dht-rpc.to"], at: { requests($0) + responses($0) }) { c, i, _ in
            let host = IPAddress("10.1.2.3") ?? .any
            return request(c, i) {
                $0.to = Endpoint(host, $0.to.port); return true
            }
                ?? response(c, i) {
                    $0.to = Endpoint(host, $0.to.port); return true
                }
        },
        Alteration("dht-rpc: to names another port", at: { requests($0) + responses($0) }) { c, i, _ in
            request(c, i) {
                $0.to = Endpoint($0.to.address, $0.to.port ^ 3); return true
            }
                ?? response(c, i) {
                    $0.to = Endpoint($0.to.address, $0.to.port ^ 3); return true
                }
        },
        Alteration("dht-rpc: a wrong node id", at: { c in requests(c) { $0.id != nil } + responses(c) { $0.id != nil } }) { c, i, _ in
            request(c, i) {
                $0.id = $0.id.map(flipped); return true
            }
                ?? response(c, i) {
                    $0.id = $0.id.map(flipped); return true
                }
        },
        Alteration(
            "dht-rpc: a node id is missing", ["dht-rpc.ephemeral"],
            at: { c in requests(c) { $0.id != nil } + responses(c) { $0.id != nil } }
        ) { c, i, _ in
            request(c, i) {
                $0.id = nil; return true
            }
                ?? response(c, i) {
                    $0.id = nil; return true
                }
        },
        Alteration(
            "dht-rpc: an ephemeral node gives an id", ["dht-rpc.ephemeral"],
            at: { c in requests(c) { $0.id == nil } + responses(c) { $0.id == nil } }
        ) { c, i, _ in
            let id = NodeID.of(c.packets[i].packet.source)
            return request(c, i) {
                $0.id = id; return true
            }
                ?? response(c, i) {
                    $0.id = id; return true
                }
        },
        Alteration("dht-rpc: a request from the other socket", ["dht-rpc.socket", "dht-rpc.node-id"], at: { requests($0) }) { c, i, _ in
            guard case .request(let request) = c.packets[i].message,
                !request.isInternal || request.command != InternalCommand.pingNAT.rawValue
            else { return nil }
            let source = c.packets[i].packet.source
            guard
                let peer = c.knowledge.peers.first(where: {
                    $0.host == source.address && ($0.serverPort == source.port || $0.clientPort == source.port)
                }),
                let server = peer.serverPort, let client = peer.clientPort
            else { return nil }
            let other = Endpoint(source.address, source.port == server ? client : server)
            let old = c.packets[i].packet
            // The answer goes where the request came from.
            let answers =
                c.exchangeOf[i].map { c.dissection.exchanges[$0] }.map { [$0.response].compactMap { $0 } + $0.duplicateResponses } ?? []
            return packets(c).enumerated().map { offset, packet in
                if packet.payload == old.payload && packet.source == old.source && packet.destination == old.destination {
                    return packet.with(source: other)
                }
                guard answers.contains(offset), var response = try? Response(decoding: packet.payload) else { return packet }
                response.to = other
                return packet.with(destination: other, payload: response.encoded)
            }
        },
        Alteration("dht-rpc: a wrong token", at: { c in requests(c) { $0.token != nil } }) { c, i, _ in
            request(c, i) {
                $0.token = $0.token.map(flipped); return true
            }
        },
        Alteration("dht-rpc: a request without its token", at: { c in requests(c) { $0.token != nil } }) { c, i, _ in
            request(c, i) {
                $0.token = nil; return true
            }
        },
        Alteration("dht-rpc: a token of nobody in a response", at: { c in responses(c) { $0.token != nil } }) { c, i, _ in
            response(c, i) {
                $0.token = $0.token.map(flipped); return true
            }
        },
        Alteration("dht-rpc: a token is missing", at: { c in responses(c) { $0.token != nil } }) { c, i, _ in
            response(c, i) {
                $0.token = nil; return true
            }
        },
        Alteration("dht-rpc: a token where none is due", at: { c in responses(c) { $0.token == nil } }) { c, i, _ in
            response(c, i) {
                $0.token = Bytes32([UInt8](repeating: 7, count: 32)); return true
            }
        },
        Alteration("dht-rpc: another command", at: { requests($0) }) { c, i, _ in
            request(c, i) {
                $0.command = ($0.command + 1) % 5; return true
            }
        },
        Alteration("dht-rpc: the other namespace", at: { requests($0) }) { c, i, _ in
            request(c, i) {
                $0.isInternal.toggle(); return true
            }
        },
        Alteration("dht-rpc: another target", at: { c in requests(c) { $0.target != nil } }) { c, i, _ in
            request(c, i) {
                $0.target = $0.target.map(flipped); return true
            }
        },
        Alteration("dht-rpc: a target is missing", at: { c in requests(c) { $0.target != nil } }) { c, i, _ in
            request(c, i) {
                $0.target = nil; return true
            }
        },
        Alteration("dht-rpc: more than 20 closer nodes", ["dht-rpc.closer-nodes"], at: { c in responses(c) { !$0.closerNodes.isEmpty } }) {
            c, i, _ in
            response(c, i) {
                while $0.closerNodes.count <= 20 { $0.closerNodes += $0.closerNodes }
                return true
            }
        },
        Alteration("dht-rpc: a closer node twice", ["dht-rpc.closer-nodes"], at: { c in responses(c) { !$0.closerNodes.isEmpty } }) {
            c, i, _ in
            response(c, i) {
                $0.closerNodes.append($0.closerNodes[0]); return true
            }
        },
        Alteration("dht-rpc: a closer node of nobody", at: { c in responses(c) { !$0.closerNodes.isEmpty } }) { c, i, _ in
            response(c, i) {
                $0.closerNodes[0] = Endpoint(IPAddress("10.9.8.7") ?? .any, 4); return true
            }
        },
        Alteration(
            "dht-rpc: closer nodes from far to near", ["dht-rpc.closer-order"], at: { c in responses(c) { $0.closerNodes.count > 2 } }
        ) { c, i, _ in
            response(c, i) {
                $0.closerNodes.reverse(); return true
            }
        },
        Alteration("dht-rpc: closer nodes are left out", at: { c in responses(c) { !$0.closerNodes.isEmpty } }) { c, i, _ in
            response(c, i) {
                $0.closerNodes = []; return true
            }
        },
        Alteration(
            "dht-rpc: closer nodes where none are due",
            at: { c in
                responses(c) { $0.closerNodes.isEmpty }.filter {
                    c.exchangeOf[$0].map { c.dissection.exchanges[$0].target == nil } ?? false
                }
            }
        ) { c, i, _ in
            guard let node = c.listedNodes.keys.sorted().first else { return nil }
            return response(c, i) {
                $0.closerNodes = [node]; return true
            }
        },
        Alteration("dht-rpc: an error", ["dht-rpc.error"], at: { c in responses(c) { $0.error == 0 } }) { c, i, _ in
            response(c, i) {
                $0.error = 2; return true
            }
        },
        Alteration("dht-rpc: an error is left out", at: { c in responses(c) { $0.error != 0 } }) { c, i, _ in
            response(c, i) {
                $0.error = 0; return true
            }
        },
        Alteration("dht-rpc: another error", at: { c in responses(c) { $0.error != 0 } }) { c, i, _ in
            response(c, i) {
                $0.error = $0.error == 1 ? 2 : 1; return true
            }
        },
        Alteration("dht-rpc: a response is missing", at: { responses($0) }) { c, i, _ in dropping(c, i) },
        Alteration("dht-rpc: a request is missing", at: { requests($0) }) { c, i, _ in dropping(c, i) },
        Alteration("dht-rpc: a request twice at once", at: { requests($0) }) { c, i, _ in repeating(c, i, after: 50_000_000) },
        Alteration("dht-rpc: a response twice", ["dht-rpc.twice"], at: { responses($0) }) { c, i, _ in repeating(c, i, after: 1_000_000) },
        Alteration("dht-rpc: a response from another port", at: { responses($0) }) { c, i, _ in
            changing(c, i) { $0.with(source: Endpoint($0.source.address, $0.source.port ^ 1)) }
        },
        Alteration("dht-rpc: a response before its request", at: { responses($0) }) { c, i, _ in
            guard let exchange = c.exchangeOf[i].map({ c.dissection.exchanges[$0] }), exchange.request < i else { return nil }
            return swapping(c, exchange.request, i)
        },
        Alteration(
            "dht-rpc: a value where none is due",
            at: { c in
                responses(c) { $0.value == nil }.filter { c.exchangeOf[$0].map { c.dissection.exchanges[$0].isInternal } ?? false }
            }
        ) { c, i, _ in
            response(c, i) {
                $0.value = [1, 2, 3]; return true
            }
        },
        Alteration("dht-rpc: unknown flags", ["dht-rpc.flags"], at: { requests($0) + responses($0) }) { c, i, _ in
            changing(c, i) { packet in
                var bytes = packet.payload
                bytes[1] |= 0x20
                return packet.with(payload: bytes)
            }
        },
        Alteration("dht-rpc: another protocol version", at: { requests($0) + responses($0) }) { c, i, _ in
            changing(c, i) { packet in
                var bytes = packet.payload
                bytes[0] = bytes[0] & 0xf0 | 2
                return packet.with(payload: bytes)
            }
        },
        Alteration("dht-rpc: trailing bytes", at: { requests($0) + responses($0) }) { c, i, _ in
            changing(c, i) { $0.with(payload: $0.payload + [0, 0]) }
        },
        Alteration(
            "dht-rpc: a suspended node answers", ["dht-rpc.suspended"],
            at: { c in
                c.bundle.inputs.contains { if case .call("HyperDHT", _, "suspend", _) = $0.kind { true } else { false } }
                    ? responses(c).prefix(40).map { $0 } : []
            }
        ) { c, i, _ in
            guard let rest = c.suspensions.first(where: { $0.server == c.packets[i].packet.source }) else { return nil }
            return moving(c, i, by: rest.time.lowerBound + 400_000_000 - c.packets[i].packet.timeNanoseconds, keepsOriginal: true)
        },
        Alteration(
            "probe: two bytes", ["trace.probe", "trace.foreign"], at: { c in c.packets.indices.filter { c.packets[$0].kind == .probe } }
        ) { c, i, _ in
            changing(c, i) { $0.with(payload: [0, 0]) }
        },
        Alteration("probe: another byte", ["trace.probe"], at: { c in c.packets.indices.filter { c.packets[$0].kind == .probe } }) {
            c, i, _ in
            changing(c, i) { $0.with(payload: [1]) }
        },
    ]

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
