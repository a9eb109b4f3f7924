import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import PacketCapture
import SansIO

/// What a dht-rpc node could say wrongly, and probes.
extension Alteration {
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
}
