import CompactEncoding
import HyperCrypto
import StrictJSON

extension Scenario {
    static let dht: [Scenario] = [
        Scenario("dht-bootstrap", layers: ["dht"], commands: ["start", "info"]) { context in
            let (bootstrap, nodes) = try context.network(6)
            for node in nodes {
                let info = try context.first.request("info", ["node": .integer(node)])
                try context.expect(info["nodeId"]?.string != nil, "a node of the network has no id")
            }
            let joined = try context.start(context.second, "joiner", ["bootstrap": bootstrap, "ephemeral": true])
            try context.expect(joined["bootstrapped"]?.bool == true, "the joining node is not bootstrapped")
            try context.expect(joined["nodeId"]?.isNull == true, "an ephemeral node tells an id")
        },
        Scenario("dht-rpc-commands", layers: ["dht"], commands: ["ping", "delayedPing", "findNode", "request"]) { context in
            let (bootstrap, _) = try context.network(4)
            let client = try context.start(context.second, "client", ["bootstrap": bootstrap, "ephemeral": true])
            let node = JSON.integer(try context.integer(client, "node"))
            guard let target = bootstrap.array?.first, let port = target["port"] else { throw ScenarioFailure(description: "no network") }
            let ping = try context.second.request("ping", ["node": node, "host": "127.0.0.1", "port": port])
            try context.expect(ping["from"]?["port"] == port, "the answer to a ping is from elsewhere")
            try context.second.request("ping", ["node": node, "host": "127.0.0.1", "port": port, "size": 500])
            let delayed = try context.second.request(
                "delayedPing", ["node": node, "host": "127.0.0.1", "port": port, "delayMilliseconds": 300])
            try context.expect((delayed["rttMilliseconds"]?.integer ?? 0) >= 295, "a delayed ping came back too early")
            let found = try context.second.request("findNode", ["node": node, "target": context.seedHex("target")])
            try context.expect((found["closestNodes"]?.array?.count ?? 0) >= 3, "a query ends with fewer than three nodes")
            let unknown = try context.second.request(
                "request",
                ["node": node, "host": "127.0.0.1", "port": port, "number": 99, "internal": true, "target": context.seedHex("target")])
            try context.expect(unknown["errorCode"]?.integer == 1, "an unknown command is not answered with UNKNOWN_COMMAND")
            let wrong = try context.second.request(
                "request",
                ["node": node, "host": "127.0.0.1", "port": port, "number": 0, "internal": true, "token": context.seedHex("token")])
            try context.expect(wrong["errorCode"]?.integer == 2, "a wrong token is not answered with INVALID_TOKEN")
            try context.expect(wrong["token"]?.string != nil, "INVALID_TOKEN brings no fresh token")
            do {
                let dead = try context.freePort()
                try context.second.request("ping", ["node": node, "host": "127.0.0.1", "port": .integer(dead)])
                throw ScenarioFailure(description: "a ping of nobody succeeds")
            } catch let failure as PeerFailure where failure.kind == .refused {
                try context.expect(failure.code == "REQUEST_TIMEOUT", "a ping of nobody ends with \(failure.code ?? "?")")
            }
        },
        Scenario("announce-lookup", layers: ["dht"], commands: ["announce", "lookup", "unannounce"]) { context in
            let (bootstrap, _) = try context.network(6)
            let announcer = try context.start(
                context.second, "announcer", ["bootstrap": bootstrap, "ephemeral": true, "seed": context.seedHex("announcer")])
            let seeker = try context.start(context.first, "seeker", ["bootstrap": bootstrap, "ephemeral": true])
            let key = try context.string(announcer, "publicKey")
            let node = JSON.integer(try context.integer(announcer, "node"))
            let seekerNode = JSON.integer(try context.integer(seeker, "node"))
            let topic = context.seedHex("topic")
            func peers() throws -> [String] {
                let found = try context.first.request("lookup", ["node": seekerNode, "topic": topic])
                return (found["results"]?.array ?? []).flatMap { $0["peers"]?.array ?? [] }.compactMap { $0["publicKey"]?.string }
            }
            try context.second.request("announce", ["node": node, "topic": topic])
            try context.expect(try peers().contains(key), "the announced key is not found")
            try context.second.request("announce", ["node": node, "topic": topic, "bump": 1_700_000_000_000])
            try context.expect(try Set(peers()) == [key], "a second announce leaves other records than one key's")
            try context.second.request("unannounce", ["node": node, "topic": topic])
            try context.expect(try peers().isEmpty, "the key is found after its unannounce")
        },
        Scenario("mutable-immutable", layers: ["dht"], commands: ["mutablePut", "mutableGet", "immutablePut", "immutableGet"]) { context in
            let (bootstrap, _) = try context.network(6)
            let writer = try context.start(context.second, "writer", ["bootstrap": bootstrap, "ephemeral": true])
            let reader = try context.start(context.first, "reader", ["bootstrap": bootstrap, "ephemeral": true])
            let (writerNode, readerNode) = (
                JSON.integer(try context.integer(writer, "node")), JSON.integer(try context.integer(reader, "node"))
            )
            var key = JSON.null
            for (sequence, text) in [(1, "first"), (2, "second")] {
                let put = try context.second.request(
                    "mutablePut",
                    [
                        "node": writerNode, "seed": context.seedHex("record"), "value": .string(Hex.encode(Array(text.utf8))),
                        "seq": .integer(sequence),
                    ])
                key = put["publicKey"] ?? .null
                let got = try context.first.request("mutableGet", ["node": readerNode, "publicKey": key])
                try context.expect(got["found"]?.bool == true, "the mutable record is not found")
                try context.expect(got["value"]?.string == Hex.encode(Array(text.utf8)), "another value than the one put")
                try context.expect(got["seq"]?.integer == Int64(sequence), "another seq than the one put")
            }
            let later = try context.first.request("mutableGet", ["node": readerNode, "publicKey": key, "seq": 3])
            try context.expect(later["found"]?.bool == false, "a record older than asked for is found")
            for size in [1, 100, 900] {
                let value = JSON.string(Hex.encode(ScenarioContext.generated(size)))
                let put = try context.second.request("immutablePut", ["node": writerNode, "value": value])
                let hash = Blake2b.hash256(ScenarioContext.generated(size)).description
                try context.expect(put["hash"]?.string == hash, "the hash of an immutable value is another")
                let got = try context.first.request("immutableGet", ["node": readerNode, "hash": .string(hash)])
                try context.expect(got["found"]?.bool == true && got["value"] == value, "an immutable value of \(size) bytes is not found")
            }
        },
    ]
}
