import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

extension Scenario {
    static let connections: [Scenario] = [
        connect("connect-direct", server: ["ephemeral": false, "firewalled": false]),
        connect("connect-firewalled", server: [:]),
        connect("connect-holepunch", server: [:], client: ["localConnection": false]),
        Scenario("connect-rejected", layers: ["dht"], commands: ["listen", "connect"]) { context in
            let (bootstrap, _) = try context.network(5)
            let (server, client) = try pair(context, bootstrap, server: [:])
            let listening = try context.first.request("listen", ["node": server, "firewall": ["allow": []]])
            let dial = try context.second.request("connect", ["node": client, "publicKey": listening["publicKey"] ?? .null])
            try expectFailure(context, dial)
        },
        Scenario("connect-not-found", layers: ["dht"], commands: ["connect"]) { context in
            let (bootstrap, _) = try context.network(5)
            let (_, client) = try pair(context, bootstrap, server: [:])
            let key = KeyPair(seed: context.seed("nobody"))?.publicKey.description ?? ""
            let dial = try context.second.request("connect", ["node": client, "publicKey": .string(key)])
            let code = try expectFailure(context, dial)
            try context.expect(code == "PEER_NOT_FOUND", "a key that nobody has ends with \(code), not PEER_NOT_FOUND")
        },
        Scenario("connect-relayed", layers: ["dht", "relay"], commands: ["listen", "connect", "relay"]) { context in
            let (bootstrap, _) = try context.network(5)
            let relayNode = try context.start(
                context.first, "relay",
                ["bootstrap": bootstrap, "ephemeral": false, "firewalled": false, "seed": context.seedHex("relay")])
            let relay = try context.first.request("relay", ["node": .integer(try context.integer(relayNode, "node"))])
            let (server, client) = try pair(context, bootstrap, server: [:])
            let relayKey = relay["publicKey"] ?? .null
            let listening = try context.first.request(
                "listen", ["node": server, "receive": "echo", "holepunch": false, "relayThrough": relayKey, "shareLocalAddress": false])
            try echo(
                context, client, listening,
                ["relayThrough": relayKey, "localConnection": false, "holepunch": false])
        },
    ]

    /// A server and a client, on nodes of their own in the two peers.
    static func pair(_ context: ScenarioContext, _ bootstrap: JSON, server: JSONObject) throws -> (server: JSON, client: JSON) {
        var options = server
        options.set("bootstrap", bootstrap)
        options.set("seed", context.seedHex("server"))
        if options["ephemeral"] == nil { options.set("ephemeral", true) }
        let serverNode = try context.start(context.first, "server", options)
        let clientNode = try context.start(
            context.second, "client", ["bootstrap": bootstrap, "ephemeral": true, "seed": context.seedHex("client")])
        return (.integer(try context.integer(serverNode, "node")), .integer(try context.integer(clientNode, "node")))
    }

    private static func connect(_ name: String, server: JSONObject, client: JSONObject = JSONObject()) -> Scenario {
        Scenario(name, layers: ["dht"], commands: ["listen", "connect"]) { context in
            let (bootstrap, _) = try context.network(5)
            let (serverNode, clientNode) = try pair(context, bootstrap, server: server)
            let listening = try context.first.request("listen", ["node": serverNode, "receive": "echo"])
            try echo(context, clientNode, listening, client)
        }
    }

    /// Dials, has a short and a long message echoed, and ends in good order.
    static func echo(_ context: ScenarioContext, _ client: JSON, _ listening: JSON, _ options: JSONObject) throws {
        var arguments: JSONObject = ["node": client, "publicKey": listening["publicKey"] ?? .null, "receive": "digest"]
        for member in options.members { arguments.set(member.key, member.value) }
        let stream = try context.integer(try context.second.request("connect", arguments), "stream")
        let open = try context.second.event("open") { $0["stream"]?.integer == Int64(stream) }
        let incoming = try context.first.event("connection") { $0["remotePublicKey"] == open["publicKey"] }
        try context.expect(open["remotePublicKey"] == listening["publicKey"], "the client is connected to another key")
        try context.expect(open["handshakeHash"] == incoming["handshakeHash"], "the two ends have different handshake hashes")
        try context.expect(
            open["initiator"]?.bool == true && incoming["initiator"]?.bool == false, "the roles are not initiator and responder")
        let short = Array("hello conformance".utf8)
        try context.second.request("write", ["stream": .integer(stream), "data": .string(Hex.encode(short))])
        try context.second.request("write", ["stream": .integer(stream), "generate": 100_000])
        let expected = short + ScenarioContext.generated(100_000)
        try context.expectDigest(context.second, stream, bytes: expected.count, sha256: SHA256.hash(expected).description, "the echo")
        try context.second.request("end", ["stream": .integer(stream)])
        let closed = try context.second.event("close") { $0["stream"]?.integer == Int64(stream) }
        try context.expect(closed["error"]?.isNull == true, "the connection ends with an error: \(closed["error"]?.text() ?? "")")
    }

    /// The stream of a `connect` that must come to nothing; returns the error's code.
    @discardableResult
    private static func expectFailure(_ context: ScenarioContext, _ dial: JSON) throws -> String {
        let stream = Int64(try context.integer(dial, "stream"))
        let closed = try context.second.event("close", seconds: 40) { $0["stream"]?.integer == stream }
        try context.expect(context.second.pendingEvent("open") { $0["stream"]?.integer == stream } == nil, "the refused connection opened")
        guard let code = closed["error"]?["code"]?.string else {
            throw ScenarioFailure(description: "the refused connection closed without an error")
        }
        return code
    }
}
