import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

extension Scenario {
    static let udx: [Scenario] = [
        transfer("udx-bulk", forward: 1_000_000, back: 0),
        transfer("udx-both-ways", forward: 300_000, back: 300_000),
        transfer("udx-half-open", forward: 5_000, back: 40_000, secondEndsLast: true),
        Scenario("udx-messages", layers: ["udx"], commands: ["udx.stream", "send"]) { context in
            let ends = try open(context, receive: "events")
            for number in 0..<10 {
                let data = JSON.string(Hex.encode(Array("message \(number)".utf8)))
                try context.first.request("send", ["stream": .integer(ends.first), "data": data])
                let got = try context.second.event("message") { $0["stream"]?.integer == Int64(ends.second) }
                try context.expect(got["data"] == data, "an unordered message arrives changed")
            }
            try context.first.request("write", ["stream": .integer(ends.first), "data": .string(Hex.encode(Array("beside".utf8)))])
            let data = try context.second.event("data") { $0["stream"]?.integer == Int64(ends.second) }
            try context.expect(data["data"]?.string == Hex.encode(Array("beside".utf8)), "stream bytes beside messages arrive changed")
            try finish(context, ends)
        },
        Scenario("udx-destroy", layers: ["udx"], commands: ["udx.stream", "destroy"]) { context in
            let ends = try open(context, receive: "events")
            try context.first.request("write", ["stream": .integer(ends.first), "data": "01"])
            _ = try context.second.event("data") { $0["stream"]?.integer == Int64(ends.second) }
            try context.first.request("destroy", ["stream": .integer(ends.first)])
            let closed = try context.second.event("close") { $0["stream"]?.integer == Int64(ends.second) }
            try context.expect(
                closed["error"]?["code"]?.string == "ECONNRESET",
                "the peer of a destroyed stream closes with \(closed["error"]?.text() ?? "nothing")")
        },
    ]

    struct Ends {
        let first: Int
        let second: Int
    }

    /// Streams 1001 and 2002, connected to each other.
    static func open(_ context: ScenarioContext, receive: JSON) throws -> Ends {
        let a = try context.first.request("udx.bind")
        let b = try context.second.request("udx.bind")
        guard let portA = a["address"]?["port"]?.integer, let portB = b["address"]?["port"]?.integer else {
            throw ScenarioFailure(description: "a bound socket has no port")
        }
        context.note(udx: "a", port: Int(portA), streamID: 1001)
        context.note(udx: "b", port: Int(portB), streamID: 2002)
        let streamA = try context.integer(try context.first.request("udx.stream", ["localId": 1001, "receive": receive]), "stream")
        let streamB = try context.integer(try context.second.request("udx.stream", ["localId": 2002, "receive": receive]), "stream")
        try context.first.request(
            "udx.connect",
            ["stream": .integer(streamA), "socket": a["socket"] ?? .null, "remoteId": 2002, "host": "127.0.0.1", "port": .integer(portB)])
        try context.second.request(
            "udx.connect",
            ["stream": .integer(streamB), "socket": b["socket"] ?? .null, "remoteId": 1001, "host": "127.0.0.1", "port": .integer(portA)])
        return Ends(first: streamA, second: streamB)
    }

    private static func finish(_ context: ScenarioContext, _ ends: Ends) throws {
        try context.first.request("end", ["stream": .integer(ends.first)])
        _ = try context.second.event("end") { $0["stream"]?.integer == Int64(ends.second) }
        try context.second.request("end", ["stream": .integer(ends.second)])
        for (peer, stream) in [(context.first, ends.first), (context.second, ends.second)] {
            let closed = try peer.event("close") { $0["stream"]?.integer == Int64(stream) }
            try context.expect(closed["error"]?.isNull == true, "\(peer.name)'s stream closes with \(closed["error"]?.text() ?? "")")
        }
    }

    private static func transfer(_ name: String, forward: Int, back: Int, secondEndsLast: Bool = false) -> Scenario {
        Scenario(name, layers: ["udx"], commands: ["udx.bind", "udx.stream", "udx.connect", "digest"]) { context in
            let ends = try open(context, receive: "digest")
            if forward > 0 { try context.first.request("write", ["stream": .integer(ends.first), "generate": .integer(forward)]) }
            if secondEndsLast {
                try context.first.request("end", ["stream": .integer(ends.first)])
                _ = try context.second.event("end") { $0["stream"]?.integer == Int64(ends.second) }
            }
            if back > 0 { try context.second.request("write", ["stream": .integer(ends.second), "generate": .integer(back)]) }
            if forward > 0 {
                try context.expectDigest(
                    context.second, ends.second, bytes: forward, sha256: SHA256.hash(ScenarioContext.generated(forward)).description,
                    "the way there")
            }
            if back > 0 {
                try context.expectDigest(
                    context.first, ends.first, bytes: back, sha256: SHA256.hash(ScenarioContext.generated(back)).description, "the way back"
                )
            }
            if secondEndsLast {
                try context.second.request("end", ["stream": .integer(ends.second)])
                for (peer, stream) in [(context.first, ends.first), (context.second, ends.second)] {
                    let closed = try peer.event("close") { $0["stream"]?.integer == Int64(stream) }
                    try context.expect(
                        closed["error"]?.isNull == true, "\(peer.name)'s stream closes with \(closed["error"]?.text() ?? "")")
                }
            } else {
                try finish(context, ends)
            }
        }
    }
}
