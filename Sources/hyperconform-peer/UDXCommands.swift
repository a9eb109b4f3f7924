import CompactEncoding
import Hyperswarm
import SansIO
import StrictJSON
import UDX

/// Plain UDX.
enum UDXCommands {
    private static func socket(_ peer: Peer, _ handle: Int64) throws -> UDXSocket {
        guard case .socket(let socket) = try peer.object(handle) else { throw peer.unknown(handle) }
        return socket
    }

    private static func plain(_ peer: Peer, _ handle: Int64) throws -> PlainStream {
        guard let plain = try peer.stream(handle).plain else { throw peer.unknown(handle) }
        return plain
    }

    private static func refusing<Result>(_ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch let error as UDXError { throw Refusal.error(code: "BAD_REQUEST", message: error.description) }
    }

    static let table: [String: PeerCommand] = [
        "udx.bind": PeerCommand { peer, arguments in
            var arguments = arguments
            let host = try arguments.optionalHost("host") ?? .loopback
            let port = UInt16(try arguments.optionalInteger("port", 0...65535) ?? 0)
            try arguments.finish()
            let socket = try await peer.udx().bind(Endpoint(host, port))
            let handle = peer.newHandle()
            peer.set(handle, .socket(socket))
            return PeerResult(JSONObject(["socket": .integer(handle), "address": Peer.json(socket.local)]))
        },
        "udx.socketSend": PeerCommand { peer, arguments in
            var arguments = arguments
            let socket = try socket(peer, try arguments.integer("socket"))
            let endpoint = try arguments.endpoint()
            let data = try arguments.bytes("data")
            let ttl = UInt8(try arguments.optionalInteger("ttl", 0...255) ?? 0)
            try arguments.finish()
            try await peer.udx().send(data, on: socket, to: endpoint, timeToLive: ttl)
            return PeerResult(JSONObject(["sent": true]))
        },
        "udx.stream": PeerCommand { peer, arguments in
            var arguments = arguments
            let id = try arguments.integer("localId", 0...Int64(UInt32.max))
            let first = try arguments.optionalInteger("firstSequence", 0...Int64(UInt32.max)) ?? 0
            if try arguments.optionalBool("framed") == true { throw Refusal.unsupported(argument: "framed") }
            let mode = try arguments.receive()
            guard mode != .protomux else { throw Refusal.badRequest("\"receive\": a plain stream keeps no messages apart") }
            try arguments.finish()
            let stream = try await refusing {
                try await peer.udx().createStream(id: StreamID(UInt32(id)), initialSequence: SequenceNumber(UInt32(first)))
            }
            let handle = peer.newHandle()
            let wrapped = PeerStream(
                PlainStream(stream), handle: handle, mode: mode, channels: [], peer: peer, output: peer.output,
                statistics: { ConnectionCommands.statistics(try await stream.statistics()) })
            peer.set(handle, .stream(wrapped))
            return PeerResult(JSONObject(["stream": .integer(handle)])) { wrapped.start() }
        },
        "udx.connect": PeerCommand { peer, arguments in
            var arguments = arguments
            let plain = try plain(peer, try arguments.integer("stream"))
            let socket = try socket(peer, try arguments.integer("socket"))
            let remote = try arguments.integer("remoteId", 0...Int64(UInt32.max))
            let endpoint = try arguments.endpoint()
            let acknowledged = try arguments.optionalInteger("acknowledged", 0...Int64(UInt32.max)) ?? 0
            try arguments.finish()
            try await refusing {
                if acknowledged != 0, let now = try await plain.stream.statistics() {
                    try await plain.stream.setSequences(initial: now.nextSequenceNumber, remote: SequenceNumber(UInt32(acknowledged)))
                }
                try await plain.connect(socket, to: StreamID(UInt32(remote)), at: endpoint)
            }
            return PeerResult()
        },
        "udx.changeRemote": PeerCommand(isQuick: false) { peer, arguments in
            var arguments = arguments
            let handle = try arguments.integer("stream")
            let plain = try plain(peer, handle)
            let socket = try socket(peer, try arguments.integer("socket"))
            let remote = try arguments.integer("remoteId", 0...Int64(UInt32.max))
            let endpoint = try arguments.endpoint()
            try arguments.finish()
            try await refusing { try await plain.stream.changeRemote(socket, to: StreamID(UInt32(remote)), at: endpoint) }
            return PeerResult {
                peer.output.event(
                    "remoteChanged", ["stream": .integer(handle), "remoteAddress": Peer.json(endpoint), "remoteId": .integer(remote)])
            }
        },
        "udx.relay": PeerCommand { peer, arguments in
            var arguments = arguments
            let plain = try plain(peer, try arguments.integer("stream"))
            let target = try Self.plain(peer, try arguments.integer("to"))
            try arguments.finish()
            try await refusing { try await plain.stream.relay(to: target.stream) }
            return PeerResult()
        },
    ]
}
