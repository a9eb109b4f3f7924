import CompactEncoding
import HyperCrypto
import StrictJSON

/// The scripts of the recordings `dht-*`, `announce-lookup` and `mutable-immutable`: same nodes, calls and order.
extension Scenario {
    static let dht: [Scenario] = [
        Scenario("dht-bootstrap", layers: ["dht"], commands: ["start", "info"]) { context in
            try context.network(6)
            let joiner = try context.start(context.second, "joiner")
            let info = try context.second.request("info", ["node": .integer(joiner)])
            try context.expect(info["bootstrapped"]?.bool == true, "the joining node is not bootstrapped")
            try context.expect(info["nodeId"]?.isNull == true, "an ephemeral node tells an id")
        },
        Scenario("dht-rpc-commands", layers: ["dht"], commands: ["ping", "delayedPing", "findNode", "request"]) { context in
            try context.network(6)
            let node = JSON.integer(try context.start(context.second, "client"))
            let peer = context.second
            let port = try context.port(of: "dht2")
            let to: JSONObject = ["node": node, "host": "127.0.0.1", "port": port]
            func adding(_ members: JSONObject) -> JSONObject {
                var object = to
                for member in members.members { object.set(member.key, member.value) }
                return object
            }
            let ping = try peer.request("ping", to)
            try context.expect(ping["from"]?["port"] == port, "the answer to a ping is from elsewhere")
            try peer.request("ping", adding(["size": 512]))
            let delayed = try peer.request("delayedPing", adding(["delayMilliseconds": 200]))
            try context.expect((delayed["rttMilliseconds"]?.integer ?? 0) >= 195, "a delayed ping came back too early")
            let found = try peer.request("findNode", ["node": node, "target": context.hex("target")])
            try context.expect(
                found["replies"]?.array?.count == 6, "a query of six nodes has \(found["replies"]?.array?.count ?? 0) replies")
            let unknown = try peer.request(
                "request", adding(["number": 99, "target": context.hex("unknown"), "value": .string(Hex.encode(Array("what".utf8)))]))
            try context.expect(unknown["errorCode"]?.integer == 1, "an unknown command is not answered with UNKNOWN_COMMAND")
            let wrong = try peer.request(
                "request",
                adding([
                    "number": 8, "target": context.hex("bad"), "token": .string(Hex.encode([UInt8](repeating: 7, count: 32))),
                    "value": .string(Hex.encode(Array("v".utf8))),
                ]))
            try context.expect(wrong["errorCode"]?.integer == 2, "a wrong token is not answered with INVALID_TOKEN")
            try context.expect(wrong["token"]?.string != nil, "INVALID_TOKEN brings no fresh token")
            try context.describe()
            try context.close("dht4")
            let later = try peer.request("findNode", ["node": node, "target": context.hex("with a dead node")])
            try context.expect(later["replies"]?.array?.count == 5, "a query beside a dead node has not five replies")
        },
        Scenario("announce-lookup", layers: ["dht"], commands: ["announce", "lookup", "unannounce"]) { context in
            try context.network(8)
            let announcer = JSON.integer(try context.start(context.second, "announcer"))
            let looker = JSON.integer(try context.start(context.first, "looker"))
            let key = try context.string(try context.second.request("info", ["node": announcer]), "publicKey")
            let topic = context.hex("topic")
            let relays: JSON = .array(
                try ["dht1", "dht2"].map { JSON.object(["host": "127.0.0.1", "port": try context.port(of: $0)]) })
            func peers() throws -> [JSON] {
                let found = try context.first.request("lookup", ["node": looker, "topic": topic])
                return (found["results"]?.array ?? []).flatMap { $0["peers"]?.array ?? [] }
            }
            func expectFound(_ when: String) throws {
                let found = try peers()
                try context.expect(!found.isEmpty, "\(when): the announced key is not found")
                for peer in found {
                    try context.expect(peer["publicKey"]?.string == key, "\(when): a record of another key is found")
                    try context.expect(peer["relayAddresses"] == relays, "\(when): a record has other relay addresses")
                }
            }
            let arguments: JSONObject = ["node": announcer, "topic": topic, "relayAddresses": relays]
            try context.second.request("announce", arguments)
            try expectFound("after the announce")
            var bump = arguments
            bump.set("bump", .integer(context.inputs.bump.map { Int(clamping: $0) } ?? Int(ScenarioContext.milliseconds)))
            try context.second.request("announce", bump)
            try expectFound("after the bump")
            try context.second.request("unannounce", ["node": announcer, "topic": topic])
            try context.expect(try peers().isEmpty, "the key is found after its unannounce")
        },
        Scenario("mutable-immutable", layers: ["dht"], commands: ["mutablePut", "mutableGet", "immutablePut", "immutableGet"]) { context in
            try context.network(8)
            let writer = JSON.integer(try context.start(context.second, "writer"))
            let reader = JSON.integer(try context.start(context.first, "reader"))
            var key = JSON.null
            for (sequence, text) in [(1, "first"), (5, "fifth"), (5, "fifth but different"), (3, "too low")] {
                let put = try context.second.request(
                    "mutablePut",
                    [
                        "node": writer, "seed": context.hex("writer"), "value": .string(Hex.encode(Array(text.utf8))),
                        "seq": .integer(sequence),
                    ])
                key = put["publicKey"] ?? .null
            }
            let got = try context.first.request("mutableGet", ["node": reader, "publicKey": key])
            try context.expect(got["value"]?.string == Hex.encode(Array("fifth".utf8)), "another value than the first with the highest seq")
            try context.expect(got["seq"]?.integer == 5, "another seq than the highest that was put")
            let later = try context.first.request("mutableGet", ["node": reader, "publicKey": key, "seq": 6])
            try context.expect(later["found"]?.bool == false, "a record older than asked for is found")
            for size in [0, 1, 252, 253, 999, 1000] {
                let bytes = context.bytes("value \(size)", size)
                let value = JSON.string(Hex.encode(bytes))
                let hash = Blake2b.hash256(bytes).description
                do {
                    let put = try context.second.request("immutablePut", ["node": writer, "value": value])
                    try context.expect(size > 0, "an empty immutable value is stored: nodes take no empty value")
                    try context.expect(put["hash"]?.string == hash, "the hash of an immutable value is another")
                } catch let failure as PeerFailure where failure.kind == .refused && size == 0 {
                    try context.expect(failure.code == "REQUEST_TIMEOUT", "an empty immutable value ends with \(failure.code ?? "?")")
                    continue
                }
                let found = try context.first.request("immutableGet", ["node": reader, "hash": .string(hash)])
                try context.expect(
                    found["found"]?.bool == true && found["value"] == value, "an immutable value of \(size) bytes is not found")
            }
            let nowhere = Blake2b.hash256(context.bytes("nowhere")).description
            let miss = try context.first.request("immutableGet", ["node": reader, "hash": .string(nowhere)])
            try context.expect(miss["found"]?.bool == false, "a value that nobody stored is found")
        },
    ]
}
