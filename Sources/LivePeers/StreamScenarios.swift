import CompactEncoding
import HyperCrypto
import StrictJSON

extension Scenario {
    static let streams: [Scenario] = [
        Scenario("secret-stream-xx", layers: ["secret-stream"], commands: ["secretStream.listen", "secretStream.connect"]) { context in
            let listening = try context.first.request("secretStream.listen", ["seed": context.seedHex("responder"), "receive": "echo"])
            guard let port = listening["address"]?["port"] else { throw ScenarioFailure(description: "the listener has no port") }
            let stream = try context.integer(
                try context.second.request(
                    "secretStream.connect",
                    ["host": "127.0.0.1", "port": port, "seed": context.seedHex("initiator"), "receive": "digest"]), "stream")
            let open = try context.second.event("open") { $0["stream"]?.integer == Int64(stream) }
            try context.expect(open["remotePublicKey"] == listening["publicKey"], "the authenticated key is another than the listener's")
            var expected: [UInt8] = []
            for size in [5, 1_000, 70_000] {
                let bytes = ScenarioContext.generated(size)
                try context.second.request("write", ["stream": .integer(stream), "generate": .integer(size)])
                expected += bytes
            }
            try context.expectDigest(context.second, stream, bytes: expected.count, sha256: SHA256.hash(expected).description, "the echo")
            try context.second.request("end", ["stream": .integer(stream)])
            let closed = try context.second.event("close") { $0["stream"]?.integer == Int64(stream) }
            try context.expect(closed["error"]?.isNull == true, "the stream closes with \(closed["error"]?.text() ?? "")")
        },
        Scenario("secret-stream-messages", layers: ["dht"], commands: ["listen", "connect", "send"]) { context in
            let (bootstrap, _) = try context.network(4)
            let (server, client) = try pair(context, bootstrap, server: ["ephemeral": false, "firewalled": false])
            let listening = try context.first.request("listen", ["node": server, "receive": "echo"])
            let stream = Int64(
                try context.integer(
                    try context.second.request("connect", ["node": client, "publicKey": listening["publicKey"] ?? .null]), "stream"))
            _ = try context.second.event("open") { $0["stream"]?.integer == stream }
            _ = try context.first.event("connection")
            // Both directions of the stream are up before a message goes out: those that come earlier may be dropped.
            try context.second.request("write", ["stream": .integer(stream), "data": "00"])
            _ = try context.second.event("data") { $0["stream"]?.integer == stream }
            for number in 0..<5 {
                let data = JSON.string(Hex.encode(Array("unordered \(number)".utf8)))
                try context.second.request("send", ["stream": .integer(stream), "data": data])
                let got = try context.second.event("message") { $0["stream"]?.integer == stream }
                try context.expect(got["data"] == data, "an unordered message comes back changed")
            }
            try context.second.request("end", ["stream": .integer(stream)])
            let closed = try context.second.event("close") { $0["stream"]?.integer == stream }
            try context.expect(closed["error"]?.isNull == true, "the connection closes with \(closed["error"]?.text() ?? "")")
        },
        Scenario("protomux", layers: ["secret-stream", "protomux"], commands: ["secretStream.listen", "channel.open", "channel.send"]) {
            context in
            let channels: JSON = [
                ["protocol": "conformance/echo", "channelId": "6f6e65", "handshake": "0768656c6c6f2061", "messages": 2],
                ["protocol": "conformance/second", "channelId": .null, "handshake": .null, "messages": 1],
            ]
            let listening = try context.first.request(
                "secretStream.listen", ["seed": context.seedHex("responder"), "receive": "protomux", "channels": channels])
            guard let port = listening["address"]?["port"] else { throw ScenarioFailure(description: "the listener has no port") }
            let stream = try context.integer(
                try context.second.request(
                    "secretStream.connect",
                    ["host": "127.0.0.1", "port": port, "seed": context.seedHex("initiator"), "receive": "protomux", "channels": channels]),
                "stream")
            _ = try context.second.event("open") { $0["stream"]?.integer == Int64(stream) }
            var ids: [String: (first: Int64, second: Int64)] = [:]
            for name in ["conformance/echo", "conformance/second"] {
                let a = try context.first.event("channel") { $0["protocol"]?.string == name }
                let b = try context.second.event("channel") { $0["protocol"]?.string == name }
                ids[name] = (Int64(try context.integer(a, "channel")), Int64(try context.integer(b, "channel")))
            }
            for (_, pair) in ids.sorted(by: { $0.key < $1.key }) {
                _ = try context.first.event("channelOpen") { $0["channel"]?.integer == pair.first }
                let opened = try context.second.event("channelOpen") { $0["channel"]?.integer == pair.second }
                if pair == ids["conformance/echo"] ?? (0, 0) {
                    try context.expect(opened["handshake"]?.string == "0768656c6c6f2061", "a channel's handshake arrives changed")
                }
            }
            guard let echo = ids["conformance/echo"], let second = ids["conformance/second"] else { return }
            try context.second.request("channel.cork", ["stream": .integer(stream)])
            for number in 0..<3 {
                try context.second.request(
                    "channel.send",
                    ["channel": .integer(echo.second), "type": .integer(number % 2), "data": .string(Hex.encode([UInt8(number), 7]))])
            }
            try context.second.request("channel.send", ["channel": .integer(second.second), "data": "ff"])
            try context.second.request("channel.uncork", ["stream": .integer(stream)])
            for number in 0..<3 {
                let got = try context.first.event("channelMessage") { $0["channel"]?.integer == echo.first }
                try context.expect(
                    got["data"]?.string == Hex.encode([UInt8(number), 7]), "channel messages arrive changed or out of order")
                try context.expect(got["type"]?.integer == Int64(number % 2), "a channel message has another type")
            }
            let other = try context.first.event("channelMessage") { $0["channel"]?.integer == second.first }
            try context.expect(other["data"]?.string == "ff", "the second channel's message arrives changed")
            try context.second.request("channel.close", ["channel": .integer(echo.second)])
            let closed = try context.first.event("channelClose") { $0["channel"]?.integer == echo.first }
            try context.expect(closed["remote"]?.bool == true, "a channel closed by the peer is not reported as such")
            try context.second.request("end", ["stream": .integer(stream)])
            _ = try context.second.event("close") { $0["stream"]?.integer == Int64(stream) }
        },
    ]
}
