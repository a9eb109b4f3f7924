import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import Hyperswarm
import HyperswarmCore
import SansIO
import StrictJSON

/// Nodes and swarms: start, info, life.
enum NodeCommands {
    static let table: [String: PeerCommand] = [
        "start": PeerCommand(isQuick: false) { peer, arguments in try await start(peer, arguments) },
        "info": PeerCommand { peer, arguments in
            var arguments = arguments
            let node = try peer.node(try arguments.integer("node"))
            try arguments.finish()
            return PeerResult(info(try await node.info()))
        },
        "stats": PeerCommand { peer, arguments in
            var arguments = arguments
            let handle = try arguments.optionalInteger("stream")
            let name = try arguments.optionalInteger("node")
            try arguments.finish()
            if let handle { return PeerResult(try await peer.stream(handle).statistics()) }
            guard let name else { throw Refusal.badRequest("\"node\" or \"stream\" is expected") }
            return PeerResult(try await statistics(try peer.object(name)))
        },
        "suspend": PeerCommand { peer, arguments in
            var arguments = arguments
            let object = try peer.object(try arguments.integer("node"))
            try arguments.finish()
            if case .swarm(let swarm) = object { try await swarm.suspend() } else { try await object.node?.suspend() }
            return PeerResult()
        },
        "resume": PeerCommand { peer, arguments in
            var arguments = arguments
            let object = try peer.object(try arguments.integer("node"))
            try arguments.finish()
            if case .swarm(let swarm) = object { try await swarm.resume() } else { try await object.node?.resume() }
            return PeerResult()
        },
    ]

    // MARK: Start

    private static func start(_ peer: Peer, _ arguments: Arguments) async throws -> PeerResult {
        var arguments = arguments
        let kind = try arguments.optionalString("kind") ?? "dht"
        guard kind == "dht" || kind == "swarm" else { throw Refusal.badRequest("\"kind\": dht or swarm is expected") }
        guard let bootstrap = try arguments.optionalEndpoints("bootstrap") else {
            throw Refusal.badRequest("\"bootstrap\" is required: there is no default list; [] makes the first node of a network")
        }
        let host = try arguments.optionalHost("host") ?? .loopback
        let port = try arguments.optionalInteger("port", 0...65535).map { UInt16($0) }
        let isBootstrapper = try arguments.optionalBool("bootstrapper") ?? false
        if isBootstrapper {
            guard bootstrap.isEmpty, host.isIPv4, let port, port != 0 else {
                throw Refusal.badRequest("\"bootstrapper\" needs \"bootstrap\": [], an IPv4 \"host\" and a \"port\" other than 0")
            }
        }
        var options = isBootstrapper ? try HyperDHTOptions.firstNode(host: host, port: port ?? 0) : HyperDHTOptions()
        options.host = host
        if !isBootstrapper {
            // A port that is taken is no reason to fail: the address in the answer tells which one it became.
            if port == 0 { options.port = 0 } else if let port { options.node.rpc.port = .from(port) }
            options.bootstrap = bootstrap.map { BootstrapEntry($0) }
        }
        options.datagrams = peer.evidence
        if let ephemeral = try arguments.optionalBool("ephemeral") { options.node.rpc.persistence = ephemeral ? .never : .atStart }
        if let firewalled = try arguments.optionalBool("firewalled") { options.node.rpc.firewalled = firewalled }
        options.node.rpc.quickFirewall = try arguments.optionalBool("quickFirewall") ?? true
        options.keyPair = try arguments.optionalKeyPair()
        options.node.rpc.nodes += try arguments.optionalEndpoints("nodes") ?? []
        if let keepAlive = try arguments.optionalInteger("connectionKeepAlive") {
            options.node.connectionKeepAlive = keepAlive == 0 ? nil : .milliseconds(keepAlive)
        }
        if let interval = try arguments.optionalInteger("randomPunchInterval") {
            options.node.randomPunchInterval = .milliseconds(interval)
        }
        let waits = try arguments.optionalBool("wait") ?? true
        let handle = peer.newHandle()
        let node: HyperDHT
        if kind == "swarm" {
            let settings = try SwarmSettings(&arguments, peer, handle)
            try arguments.finish()
            let swarm = try await settings.start(options)
            node = swarm.dht
            if waits { try await node.ready() }
            peer.set(handle, .swarm(swarm))
            let changes = try await node.changes()
            return PeerResult(withNode(handle, info(try await node.info()))) {
                report(changes, handle, peer.output)
                SwarmCommands.serve(swarm, handle, settings, peer)
            }
        }
        try arguments.finish()
        node = try await HyperDHT(options)
        if waits { try await node.ready() }
        peer.set(handle, .node(node))
        let changes = try await node.changes()
        return PeerResult(withNode(handle, info(try await node.info()))) { report(changes, handle, peer.output) }
    }

    private static func withNode(_ handle: Int64, _ info: JSONObject) -> JSONObject {
        var object = JSONObject(["node": .integer(handle)])
        for member in info.members { object.set(member.key, member.value) }
        return object
    }

    private static func report(_ changes: Arrivals<NodeChange>, _ handle: Int64, _ output: PeerOutput) {
        Task {
            for await change in changes {
                switch change {
                case .persistent(let id): output.event("persistent", ["node": .integer(handle), "nodeId": Peer.json(id)])
                case .ephemeral: output.event("ephemeral", ["node": .integer(handle), "nodeId": nil])
                case .network: output.event("networkChange", ["node": .integer(handle)])
                case .wakeUp, .address: break
                }
            }
        }
    }

    // MARK: Telling

    static func info(_ info: HyperDHT.Info) -> JSONObject {
        // Port 0: it differs from peer to peer, so there is no address to tell.
        let remote = info.remoteAddress.flatMap { $0.port == 0 ? nil : $0 }
        return JSONObject([
            "publicKey": Peer.json(info.publicKey), "address": Peer.json(info.address), "clientPort": .integer(info.clientPort),
            "remoteAddress": remote.map { Peer.json($0) } ?? .null, "nodeId": Peer.json(info.nodeID),
            "ephemeral": .bool(info.isEphemeral), "firewalled": .bool(info.isFirewalled), "bootstrapped": .bool(info.isBootstrapped),
        ])
    }

    private static func statistics(_ object: PeerObject) async throws -> JSONObject {
        guard let node = object.node else { throw Refusal.error(code: "UNKNOWN_HANDLE", message: "this is no node") }
        let now = try await node.info()
        var result = info(now)
        result.set("tableSize", .integer(now.tableSize))
        result.set("connections", .integer(now.connections))
        let punches = now.statistics.punches
        result.set(
            "punches", ["consistent": .integer(punches.consistent), "random": .integer(punches.random), "open": .integer(punches.open)])
        let relaying = now.statistics.relaying
        result.set(
            "relaying",
            ["attempts": .integer(relaying.attempts), "successes": .integer(relaying.successes), "aborts": .integer(relaying.aborts)])
        if case .swarm(let swarm) = object {
            let status = try await swarm.status()
            result.set("connecting", .integer(status.connecting))
            result.set("peers", .integer(status.knownPeers))
        }
        let sockets = try await node.socketCounters()
        result.set("other", ["datagramsSent": .integer(sockets.datagramsSent), "datagramsReceived": .integer(sockets.datagramsReceived)])
        return result
    }
}
