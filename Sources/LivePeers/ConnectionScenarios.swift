import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

/// The scripts of the recordings `connect-*`.
extension Scenario {
    static let connections: [Scenario] = [
        connect("connect-direct", server: ["ephemeral": false, "firewalled": false]),
        connect("connect-firewalled"),
        connect("connect-holepunch", listen: ["shareLocalAddress": false], connect: ["localConnection": false]),
        Scenario("connect-rejected", layers: ["dht"], commands: ["listen", "connect"]) { context in
            try context.network(6)
            let server = JSON.integer(try context.start(context.first, "server"))
            let client = JSON.integer(try context.start(context.second, "client"))
            let listening = try context.first.request("listen", ["node": server, "firewall": ["allow": []]])
            let code = try failing(context, client, listening["publicKey"] ?? .null)
            try context.expect(code == "PEER_CONNECTION_FAILED", "a refused connection ends with \(code), not PEER_CONNECTION_FAILED")
            let judged = try context.first.event("firewall", seconds: 1)
            try context.expect(judged["refused"]?.bool == true, "the firewall did not refuse")
            try context.first.request("close", ["server": listening["server"] ?? .null])
        },
        Scenario("connect-not-found", layers: ["dht"], commands: ["connect"]) { context in
            try context.network(6)
            let client = JSON.integer(try context.start(context.second, "client"))
            let key = JSON.string(KeyPair(seed: context.bytes("nobody"))?.publicKey.description ?? "")
            context.note(keyPair: "nobody", key)
            let code = try failing(context, client, key)
            try context.expect(code == "PEER_NOT_FOUND", "a key that nobody has ends with \(code), not PEER_NOT_FOUND")
        },
        Scenario("connect-relayed", layers: ["dht", "relay"], commands: ["listen", "connect", "relay"]) { context in
            try context.network(6)
            let middle = JSON.integer(try context.start(context.first, "relay", ["ephemeral": false, "firewalled": false]))
            let server = JSON.integer(try context.start(context.first, "server"))
            let client = JSON.integer(try context.start(context.second, "client"))
            let relay = try context.first.request("relay", ["node": middle])
            let relayKey = relay["publicKey"] ?? .null
            let listening = try context.first.request(
                "listen", ["node": server, "receive": "echo", "relayThrough": relayKey, "shareLocalAddress": false])
            let dial = try context.second.request(
                "connect",
                [
                    "node": client, "publicKey": listening["publicKey"] ?? .null, "relayThrough": relayKey, "localConnection": false,
                    "fastOpen": false, "holepunch": false,
                ])
            let stream = try context.integer(dial, "stream")
            let text = JSON.string(Hex.encode(Array("through the relay".utf8)))
            try context.post(context.second, "write", ["stream": .integer(stream), "data": text])
            let back = try context.second.event("data") { $0["stream"]?.integer == Int64(stream) }
            try context.expect(back["data"] == text, "the echo is another text")
            try context.second.request("end", ["stream": .integer(stream)])
            try expectGoodClose(context, context.second, stream)
            try context.first.request("close", ["server": listening["server"] ?? .null])
            try context.first.request("close", ["server": relay["server"] ?? .null])
        },
    ]

    private static func connect(
        _ name: String, server: JSONObject = JSONObject(), listen: JSONObject = JSONObject(), connect: JSONObject = JSONObject()
    ) -> Scenario {
        Scenario(name, layers: ["dht"], commands: ["listen", "connect"]) { context in
            try context.network(6)
            let host = JSON.integer(try context.start(context.first, "server", server))
            let guest = JSON.integer(try context.start(context.second, "client"))
            var listenArguments: JSONObject = ["node": host, "receive": "echo"]
            for member in listen.members { listenArguments.set(member.key, member.value) }
            let listening = try context.first.request("listen", listenArguments)
            var arguments: JSONObject = ["node": guest, "publicKey": listening["publicKey"] ?? .null]
            for member in connect.members { arguments.set(member.key, member.value) }
            let stream = try context.integer(try context.second.request("connect", arguments), "stream")
            try echo(context, stream, listening)
            try context.second.request("end", ["stream": .integer(stream)])
            try expectGoodClose(context, context.second, stream)
            try context.first.request("close", ["server": listening["server"] ?? .null])
        }
    }

    /// Says hello before the stream is open, and a lot after the answer.
    private static func echo(_ context: ScenarioContext, _ stream: Int, _ listening: JSON) throws {
        let big = 100_000
        let hello = JSON.string(Hex.encode(Array("hello conformance".utf8)))
        try context.post(context.second, "write", ["stream": .integer(stream), "data": hello])
        let answer = try context.second.event("data") { $0["stream"]?.integer == Int64(stream) }
        try context.expect(answer["data"] == hello, "the echo is another text")
        let open = try context.second.event("open") { $0["stream"]?.integer == Int64(stream) }
        let incoming = try context.first.event("connection") { $0["remotePublicKey"] == open["publicKey"] }
        try context.expect(open["remotePublicKey"] == listening["publicKey"], "the client is connected to another key")
        try context.expect(open["handshakeHash"] == incoming["handshakeHash"], "the two ends have different handshake hashes")
        try context.expect(
            open["initiator"]?.bool == true && incoming["initiator"]?.bool == false, "the roles are not initiator and responder")
        try context.post(context.second, "write", ["stream": .integer(stream), "data": context.hex("big", big)])
        var got: [UInt8] = []
        while got.count < big {
            let data = try context.second.event("data") { $0["stream"]?.integer == Int64(stream) }
            got += Hex.decode(data["data"]?.string ?? "") ?? []
        }
        try context.expect(got == context.bytes("big", big), "the echo is not what was sent")
        try context.settle()
    }

    static func expectGoodClose(_ context: ScenarioContext, _ peer: PeerProcess, _ stream: Int) throws {
        let closed = try peer.event("close") { $0["stream"]?.integer == Int64(stream) }
        try context.expect(closed["error"]?.isNull == true, "\(peer.name)'s stream closes with \(closed["error"]?.text() ?? "")")
    }

    /// A `connect` that must come to nothing; returns the error's code.
    private static func failing(_ context: ScenarioContext, _ node: JSON, _ key: JSON) throws -> String {
        let dial = try context.second.request("connect", ["node": node, "publicKey": key])
        let stream = Int64(try context.integer(dial, "stream"))
        let closed = try context.second.event("close", seconds: 40) { $0["stream"]?.integer == stream }
        try context.expect(context.second.pendingEvent("open") { $0["stream"]?.integer == stream } == nil, "the refused connection opened")
        guard let code = closed["error"]?["code"]?.string else {
            throw ScenarioFailure(description: "the refused connection closed without an error")
        }
        return code
    }
}
