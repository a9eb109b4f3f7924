import Foundation
import Hyperswarm
import SansIO
import StrictJSON

/// Every command of the contract that this peer supports.
enum PeerCommands {
    static let all: [String: PeerCommand] = {
        var all: [String: PeerCommand] = [:]
        for table in [
            process, NodeCommands.table, RecordCommands.table, ConnectionCommands.table, SwarmCommands.table, StreamCommands.table,
            UDXCommands.table, ChannelCommands.table,
        ] {
            all.merge(table) { first, _ in first }
        }
        return all
    }()

    private static let process: [String: PeerCommand] = [
        "hello": PeerCommand { _, arguments in
            var arguments = arguments
            guard try arguments.integer("contract") == 1 else { throw Refusal.unsupported(argument: "contract") }
            try arguments.finish()
            return PeerResult(
                JSONObject([
                    "contract": 1, "name": "swift", "language": "swift", "versions": ["hyperconform": "0.1.0"],
                    "commands": .array(all.keys.sorted().map { .string($0) }),
                    "layers": ["dht", "swarm", "udx", "secret-stream", "protomux", "relay"],
                ]))
        },
        "clock": PeerCommand { _, arguments in
            try arguments.finish()
            return PeerResult(JSONObject(["t": .integer(PeerOutput.now)]))
        },
        "keylog": PeerCommand { peer, arguments in
            var arguments = arguments
            let path = try arguments.string("path")
            try arguments.finish()
            do { try peer.keyLog(path) } catch { throw Refusal.badRequest("the key log can't be written: \(error)") }
            return PeerResult()
        },
        "close": PeerCommand { peer, arguments in
            var arguments = arguments
            var handles: [Int64] = []
            for name in ["node", "server", "stream", "socket", "channel"] {
                if let handle = try arguments.optionalInteger(name) { handles.append(handle) }
            }
            try arguments.finish()
            guard handles.count <= 1 else { throw Refusal.badRequest("close takes one handle, or none") }
            if let handle = handles.first {
                try await close(peer, handle)
            } else {
                for (handle, _) in peer.allObjects.reversed() { try? await close(peer, handle) }
            }
            return PeerResult()
        },
    ]

    private static func close(_ peer: Peer, _ handle: Int64) async throws {
        switch try peer.object(handle) {
        case .node(let node): await node.destroy()
        case .swarm(let swarm):
            await SwarmCommands.forget(swarm)
            await swarm.destroy()
        case .server(let server): try await server.close()
        case .listener(let listener): await (try peer.secretStreams()).stop(listener)
        case .stream(let stream): return await closeGracefully(stream)
        case .socket(let socket): try await peer.udx().unbind(socket)
        case .channel(let channel): channel.close()
        }
        peer.forget(handle)
    }

    /// Ends our direction, and gives the other side two seconds to end its own.
    private static func closeGracefully(_ stream: PeerStream) async {
        try? await stream.finish()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await stream.closed() }
            group.addTask { try? await Task.sleep(for: .seconds(2)) }
            await group.next()
            group.cancelAll()
        }
        stream.destroy()
    }
}
