import CompactEncoding
import HyperCrypto
import StrictJSON

/// The scripts of the recordings `secret-stream-*` and `protomux`.
extension Scenario {
    static let streams: [Scenario] = [
        Scenario("secret-stream-xx", layers: ["secret-stream"], commands: ["secretStream.listen", "secretStream.connect"]) { context in
            for name in ["initiator", "responder"] {
                context.note(keyPair: name, .string(KeyPair(seed: context.bytes(name))?.publicKey.description ?? ""))
            }
            let listening = try context.first.request("secretStream.listen", ["port": 40010, "seed": context.hex("responder")])
            let stream = try context.integer(
                try context.second.request(
                    "secretStream.connect", ["host": "127.0.0.1", "port": 40010, "seed": context.hex("initiator")]), "stream")
            let sent: [[UInt8]] = [Array("hello".utf8), [], context.bytes("big", 70_000)]
            for message in sent {
                try context.post(context.second, "write", ["stream": .integer(stream), "data": .string(Hex.encode(message))])
            }
            let incoming = try context.first.event("connection")
            let other = try context.integer(incoming, "stream")
            for message in sent {
                let got = try context.first.event("data") { $0["stream"]?.integer == Int64(other) }
                try context.expect(got["data"]?.string == Hex.encode(message), "a message of \(message.count) bytes arrives changed")
                let answer = Hex.encode(Array("re:".utf8) + message)
                try context.post(context.first, "write", ["stream": .integer(other), "data": .string(answer)])
            }
            for message in sent {
                let got = try context.second.event("data") { $0["stream"]?.integer == Int64(stream) }
                try context.expect(got["data"]?.string == Hex.encode(Array("re:".utf8) + message), "an answer arrives changed")
            }
            let open = try context.second.event("open") { $0["stream"]?.integer == Int64(stream) }
            try context.expect(open["remotePublicKey"] == listening["publicKey"], "the authenticated key is another than the listener's")
            try context.expect(open["handshakeHash"] == incoming["handshakeHash"], "the two ends have different handshake hashes")
            try context.second.request("end", ["stream": .integer(stream)])
            _ = try context.first.event("end") { $0["stream"]?.integer == Int64(other) }
            try context.first.request("end", ["stream": .integer(other)])
            try expectGoodClose(context, context.second, stream)
            try context.first.request("close", ["server": listening["server"] ?? .null])
        },
        Scenario("secret-stream-messages", layers: ["dht"], commands: ["listen", "connect", "send"]) { context in
            try context.network(5)
            let (stream, other, listening) = try connected(context, listen: JSONObject(), connect: JSONObject())
            let sync = JSON.string(Hex.encode(Array("sync".utf8)))
            try context.second.request("write", ["stream": .integer(stream), "data": sync])
            let data = try context.first.event("data") { $0["stream"]?.integer == Int64(other) }
            try context.expect(data["data"] == sync, "stream bytes arrive changed")
            try context.first.request("write", ["stream": .integer(other), "data": sync])
            _ = try context.second.event("data") { $0["stream"]?.integer == Int64(stream) }
            for number in 0..<5 {
                let text = JSON.string(Hex.encode(Array("msg \(number)".utf8)))
                try context.post(context.second, "send", ["stream": .integer(stream), "data": text])
            }
            for number in 0..<5 {
                let got = try context.first.event("message") { $0["stream"]?.integer == Int64(other) }
                try context.expect(got["data"]?.string == Hex.encode(Array("msg \(number)".utf8)), "an unordered message arrives changed")
                let answer = JSON.string(Hex.encode(Array("re:msg \(number)".utf8)))
                try context.post(context.first, "send", ["stream": .integer(other), "data": answer])
            }
            for number in 0..<5 {
                let got = try context.second.event("message") { $0["stream"]?.integer == Int64(stream) }
                try context.expect(got["data"]?.string == Hex.encode(Array("re:msg \(number)".utf8)), "an answer arrives changed")
            }
            try context.second.request("end", ["stream": .integer(stream)])
            _ = try context.first.event("end") { $0["stream"]?.integer == Int64(other) }
            try context.first.request("end", ["stream": .integer(other)])
            try expectGoodClose(context, context.second, stream)
            try context.first.request("close", ["server": listening["server"] ?? .null])
        },
        Scenario("protomux", layers: ["dht", "protomux"], commands: ["listen", "connect", "channel.open", "channel.send"]) { context in
            try context.network(5)
            func text(_ string: String) -> [UInt8] { [UInt8(string.utf8.count)] + Array(string.utf8) }
            func channels(_ who: String) -> JSON {
                .array(
                    ["one", "two"].map { id -> JSON in
                        [
                            "protocol": "conformance/echo", "channelId": .string(Hex.encode(Array(id.utf8))),
                            "handshake": .string(Hex.encode(text("hello from \(who)"))), "messages": 2,
                        ]
                    })
            }
            let (stream, other, listening) = try connected(
                context, listen: ["receive": "protomux", "channels": channels("server")],
                connect: ["receive": "protomux", "channels": channels("client")])
            var here: [Int64] = []
            var there: [Int64] = []
            for id in ["one", "two"] {
                let matches = { (json: JSON) in json["channelId"]?.string == Hex.encode(Array(id.utf8)) }
                there.append(Int64(try context.integer(try context.first.event("channel", where: matches), "channel")))
                here.append(Int64(try context.integer(try context.second.event("channel", where: matches), "channel")))
            }
            for index in 0..<2 {
                let opened = try context.second.event("channelOpen") { $0["channel"]?.integer == here[index] }
                try context.expect(
                    opened["handshake"]?.string == Hex.encode(text("hello from server")), "a channel's handshake arrives changed")
            }
            // Each waits for its answer: the contract puts no order between requests of different handles.
            func send(_ peer: PeerProcess, _ channel: Int64, _ type: Int, _ bytes: [UInt8]) throws {
                try peer.request(
                    "channel.send", ["channel": .integer(Int(channel)), "type": .integer(type), "data": .string(Hex.encode(bytes))])
            }
            func number(_ value: Int) -> [UInt8] { value <= 0xfc ? [UInt8(value)] : [0xfd, UInt8(value & 0xff), UInt8(value >> 8)] }
            try send(context.second, here[0], 0, text("a"))
            try context.second.request("channel.cork", ["stream": .integer(stream)])
            for index in 0..<5 {
                try send(context.second, here[0], 1, number(index * 100))
                try send(context.second, here[1], 0, text("batched \(index)"))
            }
            try context.second.request("channel.uncork", ["stream": .integer(stream)])
            func arrives(_ peer: PeerProcess, _ channel: Int64, _ type: Int, _ bytes: [UInt8]) throws {
                let got = try peer.event("channelMessage") { $0["channel"]?.integer == channel }
                try context.expect(got["data"]?.string == Hex.encode(bytes), "channel messages arrive changed or out of order")
                try context.expect(got["type"]?.integer == Int64(type), "a channel message has another type")
            }
            try arrives(context.first, there[0], 0, text("a"))
            try send(context.first, there[0], 0, text("re:a"))
            // What answers one batch leaves as one batch.
            try context.first.request("channel.cork", ["stream": .integer(other)])
            for index in 0..<5 {
                try arrives(context.first, there[0], 1, number(index * 100))
                try arrives(context.first, there[1], 0, text("batched \(index)"))
                try send(context.first, there[1], 0, text("re:batched \(index)"))
            }
            try context.first.request("channel.uncork", ["stream": .integer(other)])
            try arrives(context.second, here[0], 0, text("re:a"))
            for index in 0..<5 { try arrives(context.second, here[1], 0, text("re:batched \(index)")) }
            context.wait(milliseconds: 500)
            for index in [1, 0] {
                try context.second.request("channel.close", ["channel": .integer(Int(here[index]))])
                let closed = try context.first.event("channelClose") { $0["channel"]?.integer == there[index] }
                try context.expect(closed["remote"]?.bool == true, "a channel closed by the peer is not reported as such")
                context.wait(milliseconds: 300)
            }
            try context.second.request("end", ["stream": .integer(stream)])
            try expectGoodClose(context, context.second, stream)
            try context.first.request("close", ["server": listening["server"] ?? .null])
        },
    ]

    /// A public server `server` and a client `client`, connected.
    private static func connected(
        _ context: ScenarioContext, listen: JSONObject, connect: JSONObject
    ) throws -> (stream: Int, other: Int, listening: JSON) {
        let host = JSON.integer(try context.start(context.first, "server", ["ephemeral": false, "firewalled": false]))
        let guest = JSON.integer(try context.start(context.second, "client"))
        var listenArguments: JSONObject = ["node": host]
        for member in listen.members { listenArguments.set(member.key, member.value) }
        let listening = try context.first.request("listen", listenArguments)
        var arguments: JSONObject = ["node": guest, "publicKey": listening["publicKey"] ?? .null]
        for member in connect.members { arguments.set(member.key, member.value) }
        let stream = try context.integer(try context.second.request("connect", arguments), "stream")
        _ = try context.second.event("open") { $0["stream"]?.integer == Int64(stream) }
        let other = try context.integer(try context.first.event("connection"), "stream")
        return (stream, other, listening)
    }
}
