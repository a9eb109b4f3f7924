import CompactEncoding
import HyperDHT
import Hyperswarm
import HyperswarmCore
import SansIO
import StrictJSON

/// What `start` says of a swarm.
struct SwarmSettings: Sendable {
    private var options = SwarmOptions()
    let mode: ReceiveMode
    let channels: [ChannelRequest]

    init(_ arguments: inout Arguments, _ peer: Peer, _ handle: Int64) throws {
        func limit(_ value: Int64?, _ standard: Int) -> Int { value.map { Int($0) } ?? standard }
        options.maxPeers = limit(try arguments.optionalInteger("maxPeers"), options.maxPeers)
        options.maxParallel = limit(try arguments.optionalInteger("maxParallel"), options.maxParallel)
        options.maxClientConnections = limit(try arguments.optionalInteger("maxClientConnections"), options.maxClientConnections)
        options.maxServerConnections = limit(try arguments.optionalInteger("maxServerConnections"), options.maxServerConnections)
        if let firewall = try arguments.optionalFirewall("firewall") {
            let output = peer.output
            options.firewall = .decide { key in
                let refused = firewall.refuses(key)
                output.event("firewall", ["node": .integer(handle), "remotePublicKey": Peer.json(key), "refused": .bool(refused)])
                return refused
            }
        }
        if let relay = try arguments.optionalKey("relayThrough") { options.relayThrough = .key(relay) }
        if let backoffs = try arguments.optionalIntegers("backoffs") {
            guard backoffs.count == 4 else { throw Refusal.badRequest("\"backoffs\": four delays in milliseconds are expected") }
            options.backoffs = backoffs
        }
        if let jitter = try arguments.optionalInteger("jitter") { options.jitterMilliseconds = jitter }
        mode = try arguments.receive()
        channels = try arguments.channels()
    }

    func start(_ dht: HyperDHTOptions) async throws -> Hyperswarm {
        var settings = HyperswarmOptions()
        settings.dht = dht
        settings.swarm = options
        return try await Hyperswarm(settings)
    }
}

enum SwarmCommands {
    private static func command(
        isQuick: Bool = true, _ run: @escaping @Sendable (Hyperswarm, inout Arguments) async throws -> JSONObject
    ) -> PeerCommand {
        PeerCommand(isQuick: isQuick) { peer, arguments in
            var arguments = arguments
            let swarm = try peer.swarm(try arguments.integer("node"))
            do { return PeerResult(try await run(swarm, &arguments)) } catch let error as SwarmError {
                throw Refusal.error(code: "BAD_REQUEST", message: error.description)
            }
        }
    }

    /// A second `join` of a topic changes its modes: the session of the first is kept by topic.
    private static let sessions = SessionTable()

    static let table: [String: PeerCommand] = [
        "join": command { swarm, arguments in
            let topic = try arguments.bytes("topic")
            let server = try arguments.optionalBool("server") ?? true
            let client = try arguments.optionalBool("client") ?? true
            let limit = try arguments.optionalInteger("limit").map { Int($0) } ?? .max
            try arguments.finish()
            if let known = await sessions.find(swarm, topic) {
                try await swarm.refresh(known, server: server, client: client)
            } else {
                await sessions.add(swarm, try await swarm.join(topic, server: server, client: client, limit: limit))
            }
            return JSONObject()
        },
        "leave": command(isQuick: false) { swarm, arguments in
            let topic = try arguments.key("topic")
            try arguments.finish()
            await sessions.remove(swarm, topic)
            try await swarm.leave(topic)
            return JSONObject()
        },
        "joinPeer": command { swarm, arguments in
            let key = try arguments.key("publicKey")
            try arguments.finish()
            try await swarm.joinPeer(key)
            return JSONObject()
        },
        "leavePeer": command { swarm, arguments in
            let key = try arguments.key("publicKey")
            try arguments.finish()
            try await swarm.leavePeer(key)
            return JSONObject()
        },
        "ban": command { swarm, arguments in
            let key = try arguments.key("publicKey")
            let banned = try arguments.optionalBool("banned") ?? true
            try arguments.finish()
            try await swarm.ban(key, banned)
            return JSONObject()
        },
        "flush": PeerCommand(isQuick: false) { peer, arguments in
            var arguments = arguments
            if let handle = try arguments.optionalInteger("stream") {
                let stream = try peer.stream(handle)
                try arguments.finish()
                do { try await stream.flush() } catch { return PeerResult(JSONObject(["flushed": false])) }
                return PeerResult(JSONObject(["flushed": true]))
            }
            let object = try peer.object(try arguments.integer("node"))
            let topic = try arguments.optionalKey("topic")
            try arguments.finish()
            guard case .swarm(let swarm) = object else { return PeerResult(JSONObject(["flushed": true])) }
            return PeerResult(JSONObject(["flushed": .bool(try await swarm.flush(topic: topic))]))
        },
        "peers": command { swarm, arguments in
            try arguments.finish()
            let peers = try await swarm.peers()
            let connected = try await swarm.connectedKeys()
            return JSONObject([
                "peers": .array(
                    peers.map {
                        [
                            "publicKey": Peer.json($0.publicKey), "topics": .array($0.topics.map { Peer.json($0) }),
                            "connected": .bool(connected.contains($0.publicKey)), "banned": .bool($0.isBanned),
                            "attempts": .integer($0.attempts),
                            "priority": .integer($0.priority.rawValue),
                        ]
                    })
            ])
        },
    ]

    /// A swarm is closed: another one may come to stand in its place in memory.
    static func forget(_ swarm: Hyperswarm) async { await sessions.forget(swarm) }

    /// Tells of a swarm's connections and bans.
    static func serve(_ swarm: Hyperswarm, _ handle: Int64, _ settings: SwarmSettings, _ peer: Peer) {
        Task {
            for await connection in swarm.connections {
                let owner: KeyValuePairs<String, JSON> = [
                    "node": .integer(handle), "client": .bool(connection.isInitiator),
                    "topics": .array(connection.topics.map { Peer.json($0) }),
                ]
                ConnectionCommands.adopt(connection, owner, settings.mode, settings.channels, peer)
            }
        }
        Task {
            for await event in swarm.events {
                if case .banned(let key, _) = event { peer.output.event("ban", ["node": .integer(handle), "publicKey": Peer.json(key)]) }
            }
        }
    }
}

/// The one session that this peer holds for each topic of each swarm.
private actor SessionTable {
    private var sessions: [ObjectIdentifier: [Bytes32: Hyperswarm.Session]] = [:]

    func find(_ swarm: Hyperswarm, _ topic: [UInt8]) -> Hyperswarm.Session? {
        Bytes32(topic).flatMap { sessions[ObjectIdentifier(swarm)]?[$0] }
    }
    func add(_ swarm: Hyperswarm, _ session: Hyperswarm.Session) {
        sessions[ObjectIdentifier(swarm), default: [:]][session.topic] = session
    }
    func forget(_ swarm: Hyperswarm) { sessions[ObjectIdentifier(swarm)] = nil }
    func remove(_ swarm: Hyperswarm, _ topic: Bytes32) { sessions[ObjectIdentifier(swarm)]?[topic] = nil }
}
