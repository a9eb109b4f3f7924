import CompactEncoding
import Foundation
import StrictJSON

extension Scenario {
    static let swarms: [Scenario] = [
        Scenario("swarm-topic", layers: ["dht", "swarm"], commands: ["join", "flush"]) { context in
            let (bootstrap, _) = try context.network(5)
            let swarms = try startSwarms(context, bootstrap)
            let topic = context.seedHex("topic")
            try context.first.request("join", ["node": swarms.first, "topic": topic, "client": false])
            try context.first.request("flush", ["node": swarms.first, "topic": topic])
            try context.second.request("join", ["node": swarms.second, "topic": topic, "server": false])
            let (a, b) = try meet(context)
            try context.expect(b["client"]?.bool == true && a["client"]?.bool == false, "the client did not dial")
            try context.expect(b["topics"]?.array?.contains(topic) == true, "the client's connection does not name its topic")
            try talk(context, a, b)
        },
        Scenario("swarm-crossing", layers: ["dht", "swarm"], commands: ["join", "flush"]) { context in
            let (bootstrap, _) = try context.network(5)
            let swarms = try startSwarms(context, bootstrap)
            let topic = context.seedHex("topic")
            try context.first.request("join", ["node": swarms.first, "topic": topic])
            try context.second.request("join", ["node": swarms.second, "topic": topic])
            try context.first.request("flush", ["node": swarms.first])
            try context.second.request("flush", ["node": swarms.second])
            try context.second.request("join", ["node": swarms.second, "topic": topic])
            let (a, b) = try meet(context)
            try talk(context, a, b)
            for (peer, node) in [(context.first, swarms.first), (context.second, swarms.second)] {
                let stats = try peer.request("stats", ["node": node])
                try context.expect(
                    stats["connections"]?.integer == 1, "\(peer.name) has \(stats["connections"]?.text() ?? "no") connections to one peer")
            }
        },
        Scenario("swarm-suspend-resume", layers: ["dht", "swarm"], commands: ["join", "suspend", "resume"]) { context in
            let (bootstrap, _) = try context.network(5)
            let swarms = try startSwarms(context, bootstrap)
            let topic = context.seedHex("topic")
            try context.first.request("join", ["node": swarms.first, "topic": topic, "client": false])
            try context.first.request("flush", ["node": swarms.first, "topic": topic])
            try context.second.request("join", ["node": swarms.second, "topic": topic, "server": false])
            let (_, b) = try meet(context)
            let stream = try context.integer(b, "stream")
            try context.first.request("suspend", ["node": swarms.first])
            _ = try context.second.event("close") { $0["stream"]?.integer == Int64(stream) }
            try context.first.request("resume", ["node": swarms.first])
            try context.first.request("flush", ["node": swarms.first, "topic": topic])
            let (again, other) = try meet(context, seconds: 60)
            try talk(context, again, other)
        },
    ]

    private static func startSwarms(_ context: ScenarioContext, _ bootstrap: JSON) throws -> (first: JSON, second: JSON) {
        let first = try context.start(
            context.first, "server", ["kind": "swarm", "bootstrap": bootstrap, "seed": context.seedHex("server"), "receive": "echo"])
        let second = try context.start(
            context.second, "client", ["kind": "swarm", "bootstrap": bootstrap, "seed": context.seedHex("client")])
        return (.integer(try context.integer(first, "node")), .integer(try context.integer(second, "node")))
    }

    private static func meet(_ context: ScenarioContext, seconds: Double = 30) throws -> (JSON, JSON) {
        let b = try context.second.event("connection", seconds: seconds)
        let a = try context.first.event("connection", seconds: seconds) { $0["handshakeHash"] == b["handshakeHash"] }
        return (a, b)
    }

    /// The first peer echoes; what the second one writes comes back.
    private static func talk(_ context: ScenarioContext, _ a: JSON, _ b: JSON) throws {
        let stream = try context.integer(b, "stream")
        try context.expect(a["remotePublicKey"] == b["publicKey"], "the two ends name different keys")
        try context.second.request("write", ["stream": .integer(stream), "data": "68656c6c6f"])
        let data = try context.second.event("data") { $0["stream"]?.integer == Int64(stream) && $0["data"]?.string?.isEmpty == false }
        try context.expect(data["data"]?.string == "68656c6c6f", "the echo is another text")
    }
}
