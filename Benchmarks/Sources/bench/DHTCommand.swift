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
            "The client is one process, the network of 20 nodes (with a server) another; the CPU of both is given. With --node-modules the reference is measured too, each figure beside ours within seconds."
    )

    @Option(help: "Seconds for each figure.") var seconds = 3.0
    @Option(help: "Idle connections.") var idle = 500
    @Option(help: "Where the reference's packages are laid out.") var nodeModules: String?
    @Option(help: .hidden) var role: String?
    @Option(help: .hidden) var port: UInt16 = 0
    @Option(help: .hidden) var key: String = ""
    @Option(help: "Measure only these: served, lookups, announces, connects, idle.", transform: { Figures($0) }) var only = Figures("")
    @Option(help: .hidden) var figure: String = ""

    func run() async throws {
        switch role {
        case "network": return try await DHTRoles.network(20)
        case "server": return try await DHTRoles.server(.loopback(port))
        case "client": return try await client()
        case "idle": return try await DHTRoles.idle(.loopback(port), try publicKey(), idle)
        default: break
        }
        var sides = [Side("Swift") { try ChildProcess.again(["dht", "--role"] + $0) }]
        if let nodeModules {
            sides.append(
                Side("Node") { arguments in
                    try ChildProcess(
                        "node",
                        ["node", "--expose-gc", ChildProcess.nodeScript("bench-dht.mjs"), "--node-modules", nodeModules]
                            + DHTCommand.forNode(arguments))
                })
        }
        for side in sides { try side.startNetwork() }
        if only.contains("served") {
            for (name, command) in [("served", Flood.findNode), ("lookups served", Flood.lookup)] {
                for side in sides { try side.flood(name, command, seconds) }
            }
        }
        for name in Figures.ofClients where only.contains(name) {
            for side in sides { try side.client(name, seconds) }
        }
        if only.contains("idle") { for side in sides { try side.idle(idle) } }
        for side in sides { side.network?.finish() }
        show(Dictionary(uniqueKeysWithValues: sides.map { ($0.name, $0.result) }))
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
        case "client": return ["--client", value("--port"), value("--key"), "--figure", value("--figure"), "--seconds", value("--seconds")]
        default: return ["--connect", value("--port"), value("--key"), "--idle", value("--idle")]
        }
    }

    private func client() async throws {
        let dht = try await DHTRoles.node(.loopback(port))
        let bootstrap = try await dht.info().rpcStatistics.requestsTotal
        let key = try publicKey()
        let topics = Topics()
        let body: @Sendable () async throws -> Void =
            if figure.hasPrefix("lookups") {
                { _ = try await dht.lookup(await topics.next()) }
            } else if figure.hasPrefix("announces") {
                { try await dht.announce(await topics.next()) }
            } else {
                { try await dht.connect(to: key).destroy() }
            }
        let rate = try await Rate.measure(seconds: seconds, width: figure.hasSuffix("32") ? 32 : 1, body)
        say(
            "{\"bootstrapRequests\":\(bootstrap),\"count\":\(rate.count),\"perSecond\":\(rate.perSecond),\"cpuMilliseconds\":\(rate.cpuMilliseconds)}"
        )
        await dht.destroy(force: true)
    }

    private func show(_ columns: [String: [String: Double]]) {
        var table = Table("DHT over loopback", "Swift", "CPU each", "network", "Node", "CPU each", "network", "times")
        func row(_ title: String, _ name: String, cpu unit: String) {
            let own = columns["Swift"]?[name] ?? .nan
            let other = columns["Node"]?[name] ?? .nan
            func cost(_ column: String, _ part: String) -> String {
                columns[column]?[name + part].map { text($0, unit == "us" ? 1 : 2) + " " + unit } ?? "-"
            }
            guard own.isFinite else { return }
            table.add(
                title, text(own), cost("Swift", " cpu"), cost("Swift", " network"), text(other), cost("Node", " cpu"),
                cost("Node", " network"), text(own / other, 1))
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
            guard let column = columns[name], only.contains("idle") else { continue }
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
