import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import Hyperswarm
import SansIO
import StrictJSON

/// Operations on the DHT.
enum RecordCommands {
    private static func slow(_ run: @escaping @Sendable (HyperDHT, inout Arguments) async throws -> JSONObject) -> PeerCommand {
        PeerCommand(isQuick: false) { peer, arguments in
            var arguments = arguments
            let node = try peer.node(try arguments.integer("node"))
            return PeerResult(try await run(node, &arguments))
        }
    }

    static func node(_ endpoint: Endpoint, _ id: Bytes32?) -> JSON {
        ["id": Peer.json(id), "host": .string(endpoint.address.description), "port": .integer(endpoint.port)]
    }

    /// Nodes that a query ended with: each proved its id, which is the hash of its address.
    private static func closest(_ nodes: [Endpoint]) -> JSON { .array(nodes.map { node($0, NodeID.of($0)) }) }

    private static func record(_ record: PeerRecord) -> JSON {
        ["publicKey": Peer.json(record.publicKey), "relayAddresses": .array(record.relayAddresses.map { Peer.json($0) })]
    }

    private static func response(_ response: ReceivedResponse) -> JSONObject {
        JSONObject([
            "from": node(response.from, response.id), "errorCode": .integer(response.error), "token": Peer.json(response.token),
            "value": Peer.json(response.value), "closerNodes": .array(response.closerNodes.map { node($0, nil) }),
        ])
    }

    static let table: [String: PeerCommand] = [
        "ping": slow { dht, arguments in
            let endpoint = try arguments.endpoint()
            let size = try arguments.optionalInteger("size", 0...60_000) ?? 0
            try arguments.finish()
            var options = RequestOptions()
            options.isInternal = true
            options.value = size > 0 ? [UInt8](repeating: 0, count: Int(size)) : nil
            return pong(try await dht.request(to: endpoint, command: InternalCommand.ping.rawValue, options: options))
        },
        "delayedPing": slow { dht, arguments in
            let endpoint = try arguments.endpoint()
            let delay = try arguments.integer("delayMilliseconds", 0...Int64(UInt32.max))
            try arguments.finish()
            guard let answer = try await dht.delayedPing(endpoint, delayMilliseconds: UInt32(delay)) else {
                throw Refusal.badRequest("\"delayMilliseconds\": a node waits 10 000 at most")
            }
            return pong(answer)
        },
        "findNode": slow { dht, arguments in
            let target = try arguments.key("target")
            try arguments.finish()
            var options = QueryOptions()
            options.isInternal = true
            let result = try await dht.query(target: target, command: InternalCommand.findNode.rawValue, options: options)
            return JSONObject([
                "replies": .array(result.replies.map { ["from": node($0.from, $0.id), "closerNodes": .integer($0.closerNodes.count)] }),
                "closestNodes": closest(result.closestNodes),
            ])
        },
        "announce": slow { dht, arguments in
            let topic = try arguments.key("topic")
            let pair = try arguments.optionalKeyPair()
            let relays = try arguments.optionalEndpoints("relayAddresses") ?? []
            var options = AnnounceOptions()
            options.bump = UInt64(try arguments.optionalInteger("bump") ?? 0)
            try arguments.finish()
            let result = try await dht.announce(topic, keyPair: pair, relayAddresses: Array(relays.prefix(3)), options: options)
            return JSONObject(["closestNodes": closest(result.closestNodes)])
        },
        "unannounce": slow { dht, arguments in
            let topic = try arguments.key("topic")
            let pair = try arguments.optionalKeyPair()
            try arguments.finish()
            try await dht.unannounce(topic, keyPair: pair)
            return JSONObject()
        },
        "lookup": slow { dht, arguments in
            let topic = try arguments.key("topic")
            try arguments.finish()
            let result = try await dht.lookup(topic)
            let replies: [JSON] = result.replies.compactMap { reply in
                guard case .peers(let peers, _) = reply.content else { return nil }
                return ["from": node(reply.from, reply.nodeID), "peers": .array(peers.map { record($0) })]
            }
            return JSONObject(["results": .array(replies), "closestNodes": closest(result.closestNodes)])
        },
        "findPeer": slow { dht, arguments in
            let key = try arguments.key("publicKey")
            try arguments.finish()
            let result = try await dht.findPeer(key)
            let replies: [JSON] = result.replies.compactMap { reply in
                guard case .peer(let peer) = reply.content else { return nil }
                return ["from": node(reply.from, reply.nodeID), "peer": record(peer)]
            }
            return JSONObject(["results": .array(replies), "closestNodes": closest(result.closestNodes)])
        },
        "mutablePut": slow { dht, arguments in
            let pair = try arguments.optionalKeyPair() ?? dht.defaultKeyPair
            let value = try arguments.bytes("value")
            let seq = UInt64(try arguments.optionalInteger("seq") ?? 0)
            try arguments.finish()
            let nodes = try await dht.mutablePut(pair, seq: seq, value: value)
            return JSONObject([
                "publicKey": Peer.json(pair.publicKey), "seq": .integer(seq),
                "signature": Peer.json(RecordSignature.signMutable(seq: seq, value: value, keyPair: pair)), "closestNodes": closest(nodes),
            ])
        },
        "mutableGet": slow { dht, arguments in
            let key = try arguments.key("publicKey")
            var options = MutableGetOptions()
            options.seq = UInt64(try arguments.optionalInteger("seq") ?? 0)
            options.latest = try arguments.optionalBool("latest") ?? true
            try arguments.finish()
            guard let found = try await dht.mutableGet(key, options: options) else { return JSONObject(["found": false]) }
            return JSONObject([
                "found": true, "seq": .integer(found.record.seq), "value": Peer.json(found.record.value),
                "signature": Peer.json(found.record.signature), "from": node(found.from, NodeID.of(found.from)),
            ])
        },
        "immutablePut": slow { dht, arguments in
            let value = try arguments.bytes("value")
            try arguments.finish()
            let stored = try await dht.immutablePut(value)
            return JSONObject(["hash": Peer.json(stored.hash), "closestNodes": closest(stored.closestNodes)])
        },
        "immutableGet": slow { dht, arguments in
            let hash = try arguments.key("hash")
            try arguments.finish()
            guard let found = try await dht.immutableGet(hash) else { return JSONObject(["found": false]) }
            return JSONObject(["found": true, "value": Peer.json(found.value), "from": node(found.from, NodeID.of(found.from))])
        },
        "request": slow { dht, arguments in
            let endpoint = try arguments.endpoint()
            let number = UInt64(try arguments.integer("number"))
            var options = RequestOptions()
            options.isInternal = try arguments.optionalBool("internal") ?? false
            options.target = try arguments.optionalKey("target")
            options.token = try arguments.optionalKey("token")
            options.value = try arguments.optionalBytes("value")
            if try arguments.optionalBool("retry") == false { options.retries = 0 }
            try arguments.finish()
            let answer = try await dht.request(to: endpoint, command: number, options: options)
            var result = response(answer)
            result.set("rttMilliseconds", .integer(answer.roundTrip.milliseconds))
            return result
        },
        "query": slow { dht, arguments in
            let number = UInt64(try arguments.integer("number"))
            let target = try arguments.key("target")
            var options = QueryOptions()
            options.isInternal = try arguments.optionalBool("internal") ?? false
            options.value = try arguments.optionalBytes("value")
            try arguments.finish()
            let result = try await dht.query(target: target, command: number, options: options)
            return JSONObject([
                "replies": .array(result.replies.map { .object(response($0)) }), "closestNodes": closest(result.closestNodes),
            ])
        },
    ]

    private static func pong(_ answer: ReceivedResponse) -> JSONObject {
        JSONObject([
            "from": node(answer.from, answer.id), "rttMilliseconds": .integer(answer.roundTrip.milliseconds), "to": Peer.json(answer.to),
        ])
    }
}
