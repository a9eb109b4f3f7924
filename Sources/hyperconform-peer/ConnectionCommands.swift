import CompactEncoding
import HyperCrypto
import HyperDHT
import Hyperswarm
import Noise
import SansIO
import StrictJSON
import UDX

/// Servers, connections, relays; and secret-streams over TCP.
enum ConnectionCommands {
    static let table: [String: PeerCommand] = [
        "listen": PeerCommand(isQuick: false) { peer, arguments in try await listen(peer, arguments) },
        "connect": PeerCommand { peer, arguments in try await connect(peer, arguments) },
        "relay": PeerCommand(isQuick: false) { peer, arguments in try await relay(peer, arguments) },
        "secretStream.listen": PeerCommand { peer, arguments in try await secretListen(peer, arguments) },
        "secretStream.connect": PeerCommand { peer, arguments in try await secretConnect(peer, arguments) },
    ]

    private static func hook(_ object: FirewallObject) -> ServerFirewall {
        { @Sendable key, _ in object.refuses(key) }
    }

    /// A stream that came by itself: its handle, and its event.
    static func adopt(
        _ connection: PeerConnection, _ owner: KeyValuePairs<String, JSON>, _ mode: ReceiveMode, _ channels: [ChannelRequest], _ peer: Peer
    ) {
        guard let info = connection.info else { return }
        let handle = peer.newHandle()
        let stream = PeerStream(
            connection, handle: handle, mode: mode, channels: channels, peer: peer, output: peer.output,
            statistics: { statistics(try await connection.statistics()) })
        peer.set(handle, .stream(stream))
        var event = JSONObject(["event": "connection", "t": .integer(PeerOutput.now)])
        for (key, value) in owner { event.set(key, value) }
        event.set("stream", .integer(handle))
        for member in Peer.describe(info).members { event.set(member.key, member.value) }
        peer.output.line(event)
        stream.start()
    }

    private static func listen(_ peer: Peer, _ arguments: Arguments) async throws -> PeerResult {
        var arguments = arguments
        let dht = try peer.node(try arguments.integer("node"))
        let pair = try arguments.optionalKeyPair()
        var options = ServerOptions()
        let firewall = try arguments.optionalFirewall("firewall")
        if try arguments.optionalBool("holepunch") == false { options.holepunch = .never }
        options.sharesLocalAddress = try arguments.optionalBool("shareLocalAddress") ?? true
        if let relay = try arguments.optionalKey("relayThrough") { options.relayThrough = [relay] }
        let mode = try arguments.receive()
        let channels = try arguments.channels()
        try arguments.finish()
        let handle = peer.newHandle()
        let server = try await dht.createServer(
            pair, options: options, firewall: firewall.map(hook),
            judged: { key, accepted in
                guard firewall != nil else { return }
                peer.output.event("firewall", ["server": .integer(handle), "remotePublicKey": Peer.json(key), "refused": .bool(!accepted)])
            })
        peer.set(handle, .server(server))
        let relays = try await server.relayAddresses()
        let info = try await dht.info()
        return PeerResult(
            JSONObject([
                "server": .integer(handle), "publicKey": Peer.json(server.publicKey), "address": Peer.json(info.address),
                "relayAddresses": .array(relays.map { Peer.json($0) }),
            ])
        ) {
            Task { for await connection in server.connections { adopt(connection, ["server": .integer(handle)], mode, channels, peer) } }
        }
    }

    private static func connect(_ peer: Peer, _ arguments: Arguments) async throws -> PeerResult {
        var arguments = arguments
        let dht = try peer.node(try arguments.integer("node"))
        let key = try arguments.key("publicKey")
        var options = ConnectOptions()
        options.keyPair = try arguments.optionalKeyPair()
        options.relayAddresses = try arguments.optionalEndpoints("relayAddresses") ?? []
        options.localConnection = try arguments.optionalBool("localConnection") ?? true
        options.fastOpen = try arguments.optionalBool("fastOpen") ?? true
        if try arguments.optionalBool("holepunch") == false { options.holepunch = .refuse }
        if let relay = try arguments.optionalKey("relayThrough") { options.relayThrough = [relay] }
        let mode = try arguments.receive()
        let channels = try arguments.channels()
        try arguments.finish()
        let connection = try await dht.dial(key, options: options)
        let handle = peer.newHandle()
        let stream = PeerStream(
            connection, handle: handle, mode: mode, channels: channels, peer: peer, output: peer.output,
            opening: { Peer.describe(try await connection.opened()) }, statistics: { statistics(try await connection.statistics()) })
        peer.set(handle, .stream(stream))
        return PeerResult(JSONObject(["stream": .integer(handle)])) { stream.start() }
    }

    private static func relay(_ peer: Peer, _ arguments: Arguments) async throws -> PeerResult {
        var arguments = arguments
        let dht = try peer.node(try arguments.integer("node"))
        let pair = try arguments.optionalKeyPair()
        let accept = try arguments.optionalFirewall("accept")
        try arguments.finish()
        var options = ServerOptions()
        options.servesRelaying = true
        let server = try await dht.createServer(
            pair, options: options, firewall: accept.map(hook))
        let handle = peer.newHandle()
        peer.set(handle, .server(server))
        return PeerResult(JSONObject(["server": .integer(handle), "publicKey": Peer.json(server.publicKey)]))
    }

    static func statistics(_ statistics: StreamStatistics?) -> JSONObject {
        guard let now = statistics else { return PeerStream.noStatistics }
        return JSONObject([
            "bytesReceived": .integer(now.bytesReceived), "bytesTransmitted": .integer(now.bytesSent),
            "packetsReceived": .integer(now.packetsReceived), "packetsTransmitted": .integer(now.packetsSent),
            "rttMilliseconds": .integer(now.smoothedRTTMilliseconds), "retransmits": .integer(now.retransmissions),
            "mtu": .integer(now.mtu),
            "congestionWindow": .integer(now.congestionWindow), "inflight": .integer(now.packetsInFlight),
        ])
    }

    // MARK: Stand-alone secret-streams

    private static func options(_ arguments: inout Arguments) throws -> SecretStreamOptions {
        var options = SecretStreamOptions()
        if let pattern = try arguments.optionalString("pattern") {
            guard let known = HandshakePattern(rawValue: pattern), known != .nn else {
                throw Refusal.badRequest("\"pattern\": XX or IK is expected")
            }
            options.pattern = known
        }
        options.keepAlive = .milliseconds(try arguments.optionalInteger("keepAliveMilliseconds") ?? 0)
        return options
    }

    private static func freshKeyPair() throws -> KeyPair {
        guard let pair = KeyPair(seed: SystemEntropy().bytes(32, for: EntropyLabel(.keyPair))) else {
            throw Refusal.error(code: "INTERNAL", message: "no key pair could be made")
        }
        return pair
    }

    private static func describe(_ info: SecretStreamConnection.Info) -> JSONObject {
        JSONObject([
            "publicKey": Peer.json(info.publicKey), "remotePublicKey": Peer.json(info.remotePublicKey),
            "handshakeHash": Peer.json(info.handshakeHash), "initiator": .bool(info.isInitiator),
            "remoteAddress": Peer.json(info.remoteAddress),
            "udx": nil,
        ])
    }

    private static func secretListen(_ peer: Peer, _ arguments: Arguments) async throws -> PeerResult {
        var arguments = arguments
        let host = try arguments.optionalHost("host") ?? .loopback
        let port = UInt16(try arguments.optionalInteger("port", 0...65535) ?? 0)
        let pair = try arguments.optionalKeyPair() ?? freshKeyPair()
        let options = try options(&arguments)
        let mode = try arguments.receive()
        let channels = try arguments.channels()
        try arguments.finish()
        let handle = peer.newHandle()
        let listener = try await peer.secretStreams().listen(on: Endpoint(host, port), keyPair: pair, options: options) { connection in
            Task {
                // A connection is one when its handshake is done; what fails before has no handle.
                guard let info = try? await connection.info() else { return }
                let name = peer.newHandle()
                let stream = PeerStream(connection, handle: name, mode: mode, channels: channels, peer: peer, output: peer.output)
                peer.set(name, .stream(stream))
                var event = JSONObject([
                    "event": "connection", "t": .integer(PeerOutput.now), "server": .integer(handle), "stream": .integer(name),
                ])
                for member in describe(info).members { event.set(member.key, member.value) }
                peer.output.line(event)
                stream.start()
            }
        }
        peer.set(handle, .listener(listener))
        return PeerResult(
            JSONObject(["server": .integer(handle), "publicKey": Peer.json(pair.publicKey), "address": Peer.json(listener.local)]))
    }

    private static func secretConnect(_ peer: Peer, _ arguments: Arguments) async throws -> PeerResult {
        var arguments = arguments
        let endpoint = try arguments.endpoint()
        let pair = try arguments.optionalKeyPair() ?? freshKeyPair()
        let remote = try arguments.optionalKey("remotePublicKey")
        let options = try options(&arguments)
        let mode = try arguments.receive()
        let channels = try arguments.channels()
        try arguments.finish()
        guard options.pattern != .ik || remote != nil else { throw Refusal.badRequest("\"remotePublicKey\": IK needs it") }
        let connection = try await peer.secretStreams().connect(to: endpoint, keyPair: pair, remotePublicKey: remote, options: options)
        let handle = peer.newHandle()
        let stream = PeerStream(
            connection, handle: handle, mode: mode, channels: channels, peer: peer, output: peer.output,
            opening: { describe(try await connection.info()) })
        peer.set(handle, .stream(stream))
        return PeerResult(JSONObject(["stream": .integer(handle)])) { stream.start() }
    }
}
