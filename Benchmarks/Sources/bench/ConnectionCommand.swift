import ArgumentParser
import CompactEncoding
import DHTRPC
import Hyperswarm
import SansIO

/// An encrypted stream end to end over HyperDHT, and how many connections a second are made.
struct ConnectionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connection",
        abstract: "An encrypted stream over HyperDHT, in one process and in two; connections a second; Node's figures beside them.")

    @Option(help: "How much is sent, in MB.") var megabytes = 200
    @Option(help: "How many connections are made, one after the other.") var connections = 50
    @Option(help: "A folder of Node's packages: the same is measured with them.") var nodeModules: String?
    @Option(name: .customLong("serve"), help: .hidden) var bootstrap: String?

    func run() async throws {
        if let bootstrap { return try await serve(bootstrap) }
        let network = try await LocalNetwork(count: 4)
        let client = try await node(network.bootstrap, isServer: false)
        var table = Table("encrypted stream over HyperDHT", "MB/s", "CPU s/GiB", "connections/s")

        let here = try await node(network.bootstrap, isServer: true)
        let server = try await here.createServer()
        let serving = Task { await ConnectionCommand.answer(server) }
        let one = try await throughput(client, server.publicKey)
        let perSecond = try await dial(client, server.publicKey)
        table.add("one process", text(one.rate), text(one.cpu, 2), text(perSecond))
        serving.cancel()

        let child = try ChildProcess.again(["connection", "--serve", "\(network.bootstrap)", "--megabytes", "\(megabytes)"])
        guard let word = child.line(), let key = Hex.decode(word).flatMap({ Bytes32($0) }) else {
            throw ValidationError("the server did not start")
        }
        let two = try await throughput(client, key)
        child.send("report")
        let otherCPU = child.line().flatMap { Double($0) } ?? .nan
        child.finish()
        table.add("two processes", text(two.rate), text(two.cpu + otherCPU * 1073.741824 / Double(megabytes), 2), "")

        if let nodeModules { try addNode(nodeModules, &table) }
        table.show()
        await client.destroy(force: true)
        await here.destroy(force: true)
        await network.stop()
    }

    private func node(_ bootstrap: Endpoint, isServer: Bool) async throws -> HyperDHT {
        var options = HyperDHTOptions()
        options.bootstrap = [BootstrapEntry(bootstrap)]
        options.host = .loopback
        options.port = 0
        if isServer {
            options.node.rpc.persistence = .atStart
            options.node.rpc.firewalled = false
        }
        let dht = try await HyperDHT(options)
        try await dht.ready()
        return dht
    }

    /// Takes what comes and throws it away; says "done" at the end of each.
    private static func answer(_ server: HyperDHTServer) async {
        for await connection in server.connections {
            Task {
                do {
                    for try await _ in connection {}
                    try await connection.write(Array("done".utf8))
                    try await connection.finish()
                } catch {}
            }
        }
    }

    private func serve(_ address: String) async throws {
        let parts = address.split(separator: ":")
        guard parts.count == 2, let host = IPAddress(parts[0]), let port = UInt16(parts[1]) else { throw ValidationError("address:port") }
        let dht = try await node(Endpoint(host, port), isServer: true)
        let server = try await dht.createServer()
        say("\(server.publicKey)")
        let before = Usage.now
        let serving = Task { await ConnectionCommand.answer(server) }
        // On a thread of the pool: this process has nothing else to do with it.
        _ = readLine()
        say("\(Usage.now.cpu(since: before))")
        serving.cancel()
        await dht.destroy(force: true)
    }

    /// From the first byte written to the word of the other side that it has had the last. MB/s, and our CPU seconds for a GiB.
    private func throughput(_ client: HyperDHT, _ key: Bytes32) async throws -> (rate: Double, cpu: Double) {
        let stream = try await client.connect(to: key)
        _ = try await stream.opened()
        let before = Usage.now
        let start = SystemClock.now
        for _ in 0..<(megabytes * 1_000_000 + 65_535) / 65_536 { try await stream.write(UDXCommand.piece) }
        try await stream.finish()
        for try await word in stream where word == Array("done".utf8) { break }
        let seconds = Double((SystemClock.now - start).microseconds) / 1e6
        let cpu = Usage.now.cpu(since: before)
        stream.destroy()
        return (Double(megabytes) / seconds, cpu * 1073.741824 / Double(megabytes))
    }

    private func dial(_ client: HyperDHT, _ key: Bytes32) async throws -> Double {
        let start = SystemClock.now
        for _ in 0..<connections {
            let stream = try await client.connect(to: key)
            _ = try await stream.opened()
            stream.destroy()
        }
        return Double(connections) / (Double((SystemClock.now - start).microseconds) / 1e6)
    }

    private func addNode(_ modules: String, _ table: inout Table) throws {
        let child = try ChildProcess(
            "node",
            [
                "node", ChildProcess.nodeScript("bench.mjs"), "--node-modules", modules, "--megabytes", "\(megabytes)", "--connections",
                "\(connections)",
            ])
        let line = child.line() ?? ""
        child.finish()
        func number(_ key: String) -> Double {
            guard let range = line.firstRange(of: "\"\(key)\":") else { return .nan }
            return Double(line[range.upperBound...].prefix { $0.isNumber || $0 == "." }) ?? .nan
        }
        table.add("Node, one process", text(number("oneProcessMegabytesPerSecond")), "", text(number("connectionsPerSecond")))
        table.add("Node, two processes", text(number("twoProcessesMegabytesPerSecond")), "", "")
    }
}
