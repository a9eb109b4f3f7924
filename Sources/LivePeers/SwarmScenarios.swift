import CompactEncoding
import Foundation
import StrictJSON

/// The scripts of the recordings `swarm-*`.
extension Scenario {
    static let swarms: [Scenario] = [
        Scenario("swarm-topic", layers: ["dht", "swarm"], commands: ["join", "flush"]) { context in
            try context.network(8)
            var party = try SwarmParty(context, [("a", context.first), ("b", context.second)], greeting: "hello from ")
            let topic = context.hex("topic")
            try party.join("a", topic, ["client": false])
            try party.flush(["a"], topic)
            try party.join("b", topic, ["server": false])
            try party.flush(["b"])
            try party.serve(milliseconds: 300)
            try party.expectConnections(["a": 1, "b": 1])
            try context.expect(party.members[1].dialled == 1 && party.members[0].dialled == 0, "the client did not dial")
            try party.close(["b", "a"])
        },
        Scenario("swarm-crossing", layers: ["dht", "swarm"], commands: ["join", "flush"]) { context in
            try context.network(8)
            var party = try SwarmParty(
                context, [("a", context.first), ("b", context.second), ("c", context.first)], greeting: "hi from ")
            let topic = context.hex("topic")
            for name in ["a", "b", "c"] { try party.join(name, topic) }
            try party.flush(["a", "b", "c"], topic)
            // All are announced and nobody has seen the others: looking again at once makes everybody dial everybody.
            for name in ["a", "b", "c"] { try party.join(name, topic) }
            try party.flush(["a", "b", "c"])
            try party.serve(milliseconds: 3000)
            try party.meet(["a": 2, "b": 2, "c": 2])
            try party.close(["a", "b", "c"])
        },
        Scenario("swarm-suspend-resume", layers: ["dht", "swarm"], commands: ["join", "suspend", "resume"]) { context in
            try context.network(8)
            var party = try SwarmParty(context, [("a", context.first), ("b", context.second)], greeting: "x", isNamed: false)
            let topic = context.hex("topic")
            try party.join("a", topic)
            try party.flush(["a"], topic)
            try party.join("b", topic)
            try party.flush(["b"])
            try party.serve(milliseconds: 800)
            try context.first.request("suspend", ["node": .integer(party.members[0].node)])
            try party.serve(milliseconds: 1500)
            try context.expect(party.members[1].closed == 1, "the peer of a suspended swarm has not lost its connection")
            try context.first.request("resume", ["node": .integer(party.members[0].node)])
            try party.serve(milliseconds: 15_000)
            try party.expectConnections(["a": 1, "b": 1])
            try context.expect(party.members[0].opened == 2, "\(party.members[0].opened) connections in all, not one before and one after")
            try party.close(["b", "a"])
        },
    ]
}

/// Swarms that greet whomever they are connected to, as the recorded ones do.
struct SwarmParty {
    struct Member {
        let name: String
        let peer: PeerProcess
        let node: Int
        var opened = 0
        /// How many of them this one dialled.
        var dialled = 0
        var closed = 0
        var streams: Set<Int64> = []
    }

    private(set) var members: [Member] = []
    private let context: ScenarioContext
    private let greeting: String
    /// Whether the greeting ends with the name of who sends it.
    private let isNamed: Bool

    init(_ context: ScenarioContext, _ names: [(String, PeerProcess)], greeting: String, isNamed: Bool = true) throws {
        self.context = context
        self.isNamed = isNamed
        self.greeting = greeting
        for (name, peer) in names {
            let node = try context.start(peer, name, ["kind": "swarm", "wait": false])
            members.append(Member(name: name, peer: peer, node: node))
        }
    }

    func join(_ name: String, _ topic: JSON, _ options: JSONObject = JSONObject()) throws {
        for member in members where member.name == name {
            var arguments: JSONObject = ["node": .integer(member.node), "topic": topic]
            for option in options.members { arguments.set(option.key, option.value) }
            try context.post(member.peer, "join", arguments)
        }
    }

    /// Flushes all the named at once, greeting meanwhile.
    mutating func flush(_ names: [String], _ topic: JSON? = nil) throws {
        var waiting: [(PeerProcess, Int)] = []
        for member in members where names.contains(member.name) {
            var arguments: JSONObject = ["node": .integer(member.node)]
            if let topic { arguments.set("topic", topic) }
            waiting.append((member.peer, try member.peer.send("flush", arguments)))
        }
        let deadline = Date(timeIntervalSinceNow: 60)
        while !waiting.isEmpty {
            try serveOnce()
            waiting = try waiting.filter { try $0.0.pendingReply(to: $0.1, "flush") == nil }
            if Date() > deadline { throw ScenarioFailure(description: "a flush is not done after 60 s") }
            usleep(500)
        }
    }

    /// Greets whoever comes, for a while.
    mutating func serve(milliseconds: Int) throws {
        let end = Date(timeIntervalSinceNow: Double(milliseconds) / 1000)
        while Date() < end {
            try serveOnce()
            usleep(500)
        }
    }

    private mutating func serveOnce() throws {
        for index in members.indices {
            let member = members[index]
            while let event = member.peer.pendingEvent("connection", where: { $0["node"]?.integer == Int64(member.node) }) {
                let stream = try context.integer(event, "stream")
                // A connection that lost against a crossing one is closed already: then this is refused, and nobody minds.
                _ = try member.peer.send(
                    "write",
                    ["stream": .integer(stream), "data": .string(Hex.encode(Array((greeting + (isNamed ? member.name : "")).utf8)))])
                members[index].opened += 1
                if event["client"]?.bool == true { members[index].dialled += 1 }
                members[index].streams.insert(Int64(stream))
            }
            while let event = member.peer.pendingEvent("close", where: { members[index].streams.contains($0["stream"]?.integer ?? -1) }) {
                members[index].streams.remove(event["stream"]?.integer ?? -1)
                members[index].closed += 1
            }
        }
    }

    func expectConnections(_ expected: [String: Int]) throws {
        for member in members {
            let count = try connections(of: member)
            try context.expect(
                count == expected[member.name] ?? 0, "\(member.name) has \(count) connections, not \(expected[member.name] ?? 0)")
        }
    }

    private func connections(of member: Member) throws -> Int {
        try context.integer(try member.peer.request("stats", ["node": .integer(member.node)]), "connections")
    }

    /// Everybody has so many connections; who lacks some is given a minute, which the capture must account for.
    mutating func meet(_ expected: [String: Int]) throws {
        func lacking(_ members: [Member]) throws -> String? {
            for member in members {
                let (count, wanted) = (try connections(of: member), expected[member.name] ?? 0)
                try context.expect(count <= wanted, "\(member.name) has \(count) connections, not \(wanted)")
                if count < wanted { return "\(member.name) had \(count) connections, not \(wanted)" }
            }
            return nil
        }
        guard let first = try lacking(members) else { return }
        let start = Date()
        while Date().timeIntervalSince(start) < 60 {
            try serve(milliseconds: 500)
            if try lacking(members) == nil {
                return context.note(delay: first, milliseconds: Int(Date().timeIntervalSince(start) * 1000))
            }
        }
        try expectConnections(expected)
    }

    func close(_ names: [String]) throws {
        try context.settle()
        try context.describe()
        for name in names { try context.close(name) }
    }
}
