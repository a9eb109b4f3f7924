import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

/// The scripts of the recordings `udx-*`: stream 1001 on port 40001, stream 2002 on port 40002.
extension Scenario {
    static let udx: [Scenario] = [
        Scenario("udx-bulk", layers: ["udx"], commands: commands) { context in try oneWay(context, 1 << 20) },
        Scenario("udx-lossy", layers: ["udx"], commands: commands) { context in
            // The kernel drops after the capture point: every 20th datagram towards 40002, from the fourth on.
            try PacketDropping.run { try oneWay(context, 600_000) }
        },
        Scenario("udx-both-ways", layers: ["udx"], commands: commands) { context in
            let ends = try open(context, receive: "events")
            let (fromA, fromB) = (context.bytes("from a", 200_000), context.bytes("from b", 150_000))
            for (peer, stream, data, piece) in [(context.first, ends.a, fromA, 5000), (context.second, ends.b, fromB, 333)] {
                for start in stride(from: 0, to: data.count, by: piece) {
                    let part = Hex.encode(data[start..<min(start + piece, data.count)])
                    try context.post(peer, "write", ["stream": .integer(stream), "data": .string(part)])
                }
                try context.post(peer, "end", ["stream": .integer(stream)])
            }
            // Both sides have ended: their streams are gone with the last byte, and can't be asked for a digest.
            for (peer, stream, data) in [(context.first, ends.a, fromB), (context.second, ends.b, fromA)] {
                _ = try peer.event("end") { $0["stream"]?.integer == Int64(stream) }
                var got: [UInt8] = []
                while let piece = peer.pendingEvent("data", where: { $0["stream"]?.integer == Int64(stream) }) {
                    got += Hex.decode(piece["data"]?.string ?? "") ?? []
                }
                try context.expect(
                    got == data, "\(got.count) bytes arrived at \(peer.name), which are not the \(data.count) that were sent")
            }
            context.wait(milliseconds: 200)
            try finish(context, ends)
        },
        Scenario("udx-messages", layers: ["udx"], commands: ["udx.stream", "send"]) { context in
            let ends = try open(context, receive: "events")
            for number in 0..<20 {
                try context.post(
                    context.first, "send",
                    ["stream": .integer(ends.a), "data": .string(Hex.encode(Array("unordered \(number)".utf8)))])
            }
            try context.post(context.first, "write", ["stream": .integer(ends.a), "data": .string(Hex.encode(Array("ordered".utf8)))])
            let data = try context.second.event("data") { $0["stream"]?.integer == Int64(ends.b) }
            try context.expect(data["data"]?.string == Hex.encode(Array("ordered".utf8)), "stream bytes beside messages arrive changed")
            context.wait(milliseconds: 100)
            for number in 0..<20 {
                guard let got = context.second.pendingEvent("message", where: { $0["stream"]?.integer == Int64(ends.b) }) else {
                    throw ScenarioFailure(description: "unordered message \(number) has not arrived")
                }
                try context.expect(
                    got["data"]?.string == Hex.encode(Array("unordered \(number)".utf8)), "an unordered message arrives changed")
            }
            try context.post(context.first, "end", ["stream": .integer(ends.a)])
            try context.post(context.second, "end", ["stream": .integer(ends.b)])
            context.wait(milliseconds: 200)
            try finish(context, ends)
        },
        Scenario("udx-destroy", layers: ["udx"], commands: ["udx.stream", "destroy"]) { context in
            let ends = try open(context, receive: "events")
            try context.post(
                context.first, "write", ["stream": .integer(ends.a), "data": .string(Hex.encode(Array("some data first".utf8)))])
            _ = try context.second.event("data") { $0["stream"]?.integer == Int64(ends.b) }
            try context.first.request("destroy", ["stream": .integer(ends.a)])
            let closed = try context.second.event("close") { $0["stream"]?.integer == Int64(ends.b) }
            try context.expect(
                closed["error"]?["code"]?.string == "ECONNRESET",
                "the peer of a destroyed stream closes with \(closed["error"]?.text() ?? "nothing")")
        },
        Scenario("udx-half-open", layers: ["udx"], commands: commands) { context in
            let ends = try open(context, receive: "events")
            try context.post(context.first, "write", ["stream": .integer(ends.a), "data": .string(Hex.encode(Array("bye".utf8)))])
            try context.post(context.first, "end", ["stream": .integer(ends.a)])
            let bye = try context.second.event("data") { $0["stream"]?.integer == Int64(ends.b) }
            try context.expect(bye["data"]?.string == Hex.encode(Array("bye".utf8)), "the bytes before the end arrive changed")
            _ = try context.second.event("end") { $0["stream"]?.integer == Int64(ends.b) }
            context.wait(milliseconds: 300)
            let text = JSON.string(Hex.encode(Array("still here".utf8)))
            try context.post(context.second, "write", ["stream": .integer(ends.b), "data": text])
            let answer = try context.first.event("data") { $0["stream"]?.integer == Int64(ends.a) }
            try context.expect(answer["data"] == text, "the bytes after the other side's end arrive changed")
            try context.post(context.second, "end", ["stream": .integer(ends.b)])
            context.wait(milliseconds: 100)
            try finish(context, ends)
        },
    ]

    private static let commands = ["udx.bind", "udx.stream", "udx.connect", "digest"]

    struct Ends {
        let a: Int
        let b: Int
    }

    /// Streams 1001 and 2002, connected to each other.
    private static func open(_ context: ScenarioContext, receive: JSON) throws -> Ends {
        let ends = [("a", 40001, 1001, context.first), ("b", 40002, 2002, context.second)]
        var sockets: [JSON] = []
        var streams: [Int] = []
        for (name, port, id, peer) in ends {
            sockets.append(try peer.request("udx.bind", ["port": .integer(port)])["socket"] ?? .null)
            streams.append(try context.integer(try peer.request("udx.stream", ["localId": .integer(id), "receive": receive]), "stream"))
            context.note(udx: name, port: port, streamID: id)
        }
        for (index, end) in ends.enumerated() {
            let other = ends[1 - index]
            try end.3.request(
                "udx.connect",
                [
                    "stream": .integer(streams[index]), "socket": sockets[index], "remoteId": .integer(other.2), "host": "127.0.0.1",
                    "port": .integer(other.1),
                ])
        }
        return Ends(a: streams[0], b: streams[1])
    }

    private static func finish(_ context: ScenarioContext, _ ends: Ends) throws {
        try context.settle()
        try expectGoodClose(context, context.first, ends.a)
        try expectGoodClose(context, context.second, ends.b)
    }

    private static func oneWay(_ context: ScenarioContext, _ count: Int) throws {
        let ends = try open(context, receive: "digest")
        let data = context.bytes("data", count)
        try context.post(context.first, "write", ["stream": .integer(ends.a), "data": .string(Hex.encode(data))])
        try context.post(context.first, "end", ["stream": .integer(ends.a)])
        try context.expectReceived(context.second, ends.b, data)
        try context.post(context.second, "end", ["stream": .integer(ends.b)])
        context.wait(milliseconds: 200)
        try finish(context, ends)
    }
}

/// A lossy path, made by the kernel behind the capture point.
enum PacketDropping {
    private static let table = "hyperconform_lossy"

    /// Runs `body` while datagrams are dropped; by default as in the recording `udx-lossy`.
    static func run(_ rule: String = "udp dport 40002 numgen inc mod 20 3 drop", _ body: () throws -> Void) throws {
        let rules = "table ip \(table) { chain in { type filter hook input priority 0; \(rule); }; }"
        guard geteuid() == 0, nft(rules) else { throw ScenarioNotRun(reason: "a lossy path needs nftables and the right to use them") }
        defer { _ = nft("delete table ip \(table)") }
        try body()
    }

    private static func nft(_ rules: String) -> Bool {
        var process: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = ["nft", rules].map { (word: String) in strdup(word) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var status: Int32 = 0
        guard posix_spawnp(&process, "nft", nil, nil, &arguments, environ) == 0, waitpid(process, &status, 0) == process else {
            return false
        }
        return status == 0
    }
}
