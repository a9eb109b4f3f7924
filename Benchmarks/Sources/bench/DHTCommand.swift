import ArgumentParser
import CompactEncoding
import DHTRPC
import HyperDHT
import Hyperswarm
import SansIO

/// What nodes of the DHT do: serve, look up, announce, connect, and what an idle connection holds.
struct DHTCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dht", abstract: "Requests, lookups, announces and connects a second, and the memory of an idle connection.",
        discussion:
            "The client is one process, the network of 20 nodes (with a server) another. With --node-modules the reference is measured too."
    )

    @Option(help: "Seconds for each figure.") var seconds = 3.0
    @Option(help: "Idle connections.") var idle = 500
    @Option(help: "Where the reference's packages are laid out.") var nodeModules: String?
    @Option(help: "The Node side.") var script = "harness/node/bench-dht.mjs"
    @Option(help: .hidden) var role: String?
    @Option(help: .hidden) var port: UInt16 = 0
    @Option(help: .hidden) var key: String = ""

    func run() async throws {
        switch role {
        case "network": return try await DHTRoles.network(20)
        case "server": return try await DHTRoles.server(.loopback(port))
        case "client": return try await client()
        case "idle": return try await DHTRoles.idle(.loopback(port), try publicKey(), idle)
        default: break
        }
        var columns = ["Swift": try await measure { try ChildProcess.again(["dht", "--role"] + $0) }]
        if let nodeModules {
            columns["Node"] = try await measure { arguments in
                try ChildProcess("node", ["node", "--expose-gc", script, "--node-modules", nodeModules] + DHTCommand.forNode(arguments))
            }
        }
        show(columns)
    }

    private func publicKey() throws -> Bytes32 {
        guard let bytes = Hex.decode(key), let key = Bytes32(bytes) else { throw ValidationError("no key") }
        return key
    }

    private static func forNode(_ arguments: [String]) -> [String] {
        func value(_ name: String) -> String { arguments.firstIndex(of: name).map { arguments[$0 + 1] } ?? "" }
        switch arguments[0] {
        case "network": return ["--network", "20"]
        case "server": return ["--listen", value("--port")]
        case "client": return ["--client", value("--port"), value("--key"), "--seconds", value("--seconds")]
        default: return ["--connect", value("--port"), value("--key"), "--idle", value("--idle")]
        }
    }

    /// One implementation's figures by name.
    private func measure(_ start: ([String]) throws -> ChildProcess) async throws -> [String: Double] {
        let network = try start(["network"])
        guard let ready = network.line(), let port = Words.number(ready, "port"), let key = Words.text(ready, "publicKey") else {
            throw ValidationError("the network did not start")
        }
        var result: [String: Double] = [:]
        for (name, command) in [("served", Flood.findNode), ("lookups served", Flood.lookup)] {
            let flood = try Flood(to: UInt16(port))
            let cpu = ProcessTimes.seconds(of: network.pid)
            let answered = flood.run(seconds: seconds, command)
            let spent = ProcessTimes.seconds(of: network.pid) - cpu
            result[name] = Double(answered) / seconds
            result[name + " cpu"] = spent * 1e6 / Double(max(1, answered))
        }
        let client = try start(["client", "--port", "\(Int(port))", "--key", key, "--seconds", "\(seconds)"])
        guard let line = client.line() else { throw ValidationError("the client failed") }
        result["bootstrap"] = Words.number(line, "bootstrapRequests")
        for name in ["lookups1", "lookups32", "announces1", "announces32", "connects1", "connects32"] {
            result[name] = Words.number(line, "perSecond", after: name)
            result[name + " cpu"] = Words.number(line, "cpuMilliseconds", after: name)
        }
        client.finish()
        let server = try start(["server", "--port", "\(Int(port))"])
        guard let line = server.line(), let key = Words.text(line, "publicKey") else { throw ValidationError("the server did not start") }
        server.send("memory")
        let before = server.line().flatMap { Words.number($0, "resident") } ?? 0
        let holder = try start(["idle", "--port", "\(Int(port))", "--key", key, "--idle", "\(idle)"])
        if let line = holder.line(), let open = Words.number(line, "open"), open > 0 {
            server.send("memory")
            let after = server.line().flatMap { Words.number($0, "resident") } ?? 0
            result["idle client"] = ((Words.number(line, "after") ?? 0) - (Words.number(line, "before") ?? 0)) / open
            result["idle server"] = (after - before) / open
            result["idle open"] = open
        }
        holder.finish()
        server.finish()
        network.finish()
        return result
    }

    private func client() async throws {
        var parts: [String] = []
        let dht = try await DHTRoles.node(.loopback(port))
        parts.append("\"bootstrapRequests\":\(try await dht.info().rpcStatistics.requestsTotal)")
        let key = try publicKey()
        let topics = Topics()
        func add(_ name: String, _ width: Int, _ body: @escaping @Sendable () async throws -> Void) async throws {
            let rate = try await Rate.measure(seconds: seconds, width: width, body)
            parts.append("\"\(name)\":{\"perSecond\":\(rate.perSecond),\"cpuMilliseconds\":\(rate.cpuMilliseconds)}")
        }
        for width in [1, 32] { try await add("lookups\(width)", width) { _ = try await dht.lookup(await topics.next()) } }
        for width in [1, 32] { try await add("announces\(width)", width) { try await dht.announce(await topics.next()) } }
        for width in [1, 32] { try await add("connects\(width)", width) { try await dht.connect(to: key).destroy() } }
        say("{" + parts.joined(separator: ",") + "}")
        await dht.destroy(force: true)
    }

    private func show(_ columns: [String: [String: Double]]) {
        var table = Table("DHT over loopback", "Swift", "CPU each", "Node", "CPU each", "times")
        func row(_ title: String, _ name: String, cpu unit: String) {
            let own = columns["Swift"]?[name] ?? .nan
            let other = columns["Node"]?[name] ?? .nan
            func cost(_ column: String) -> String {
                columns[column]?[name + " cpu"].map { text($0, unit == "us" ? 1 : 2) + " " + unit } ?? "-"
            }
            table.add(title, text(own), cost("Swift"), text(other), cost("Node"), text(own / other, 1))
        }
        row("FIND_NODE served/s by one node of 20", "served", cpu: "us")
        row("LOOKUP served/s by one node of 20", "lookups served", cpu: "us")
        row("lookups/s, one at a time", "lookups1", cpu: "ms")
        row("lookups/s, 32 at a time", "lookups32", cpu: "ms")
        row("announces/s, one at a time", "announces1", cpu: "ms")
        row("announces/s, 32 at a time", "announces32", cpu: "ms")
        row("connects/s, one at a time", "connects1", cpu: "ms")
        row("connects/s, 32 at a time", "connects32", cpu: "ms")
        table.show()
        for name in columns.keys.sorted(by: >) {
            guard let column = columns[name] else { continue }
            print(
                "\(name): \(text(column["idle client"] ?? .nan, 1)) KiB (client) and \(text(column["idle server"] ?? .nan, 1)) KiB (server) an idle connection, "
                    + "\(text(column["idle open"] ?? .nan)) of them; \(text(column["bootstrap"] ?? .nan)) requests to bootstrap")
        }
    }
}

/// Just enough to read one flat line of JSON that this program or the Node side wrote.
enum Words {
    private static func value(_ line: String, _ name: String, after: String?) -> Substring? {
        var rest = Substring(line)
        for word in [after, name].compactMap({ $0 }) {
            guard let found = find("\"\(word)\":", in: rest) else { return nil }
            rest = rest[found...]
        }
        return rest
    }

    private static func find(_ pattern: String, in text: Substring) -> Substring.Index? {
        var start = text.startIndex
        while start < text.endIndex {
            if text[start...].hasPrefix(pattern) { return text.index(start, offsetBy: pattern.count) }
            start = text.index(after: start)
        }
        return nil
    }

    static func number(_ line: String, _ name: String, after: String? = nil) -> Double? {
        value(line, name, after: after).flatMap { Double($0.prefix { "0123456789.e+-".contains($0) }) }
    }

    static func text(_ line: String, _ name: String) -> String? {
        value(line, name, after: nil).map { String($0.dropFirst().prefix { $0 != "\"" }) }
    }
}
