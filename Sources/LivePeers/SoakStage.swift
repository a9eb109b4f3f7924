import CompactEncoding
import Foundation
import HyperCrypto
import SansIO
import StrictJSON

/// The rounds of a soak. Each leaves nothing open behind it.
final class SoakStage {
    private let network: PeerProcess
    private let a: PeerProcess
    private let b: PeerProcess
    private let command: PeerCommand
    private let bootstrap: JSON
    private let nodeA: JSON
    private let nodeB: JSON
    private let socket: JSON
    private let ports: [JSON]
    private var entropy: SeededEntropy
    private var number: UInt64 = 0

    init(network: PeerProcess, a: PeerProcess, b: PeerProcess, command: PeerCommand, seed: UInt64) throws {
        self.network = network
        self.a = a
        self.b = b
        self.command = command
        entropy = SeededEntropy(seed: seed)
        func start(_ peer: PeerProcess, _ arguments: JSONObject) throws -> JSON { try peer.request("start", arguments) }
        let root = try start(network, ["bootstrap": [], "ephemeral": false, "firewalled": false])
        bootstrap = [["host": "127.0.0.1", "port": root["address"]?["port"] ?? .null]]
        var ports = [root["address"]?["port"] ?? .null]
        for _ in 1..<8 {
            let node = try start(network, ["bootstrap": bootstrap, "ephemeral": false, "firewalled": false, "port": 0])
            ports.append(node["address"]?["port"] ?? .null)
        }
        self.ports = ports
        nodeA = try start(a, ["bootstrap": bootstrap, "port": 0])["node"] ?? .null
        nodeB = try start(b, ["bootstrap": bootstrap, "port": 0])["node"] ?? .null
        socket = try b.request("udx.bind")["socket"] ?? .null
    }

    private func fresh(_ count: Int = 32) -> [UInt8] {
        number += 1
        return Array(entropy.bytes(count, for: EntropyLabel(.keyPair, number)).prefix(count))
    }

    private func hex(_ count: Int = 32) -> JSON { .string(Hex.encode(fresh(count))) }
    private func size(_ range: ClosedRange<Int>) -> Int { range.lowerBound + (Int(fresh(1)[0]) << 8 | Int(fresh(1)[0])) % range.count }

    // MARK: Connections

    /// A server of its own on `a`, a connection from `b`; `body` gets the stream's handle, the server goes afterwards.
    private func connected(_ body: (_ stream: JSON, _ incoming: JSON) throws -> Void) throws {
        let listening = try a.request("listen", ["node": nodeA, "seed": hex(), "receive": "echo"])
        defer { _ = try? a.request("close", ["server": listening["server"] ?? .null]) }
        let stream =
            try b.request(
                "connect", ["node": nodeB, "publicKey": listening["publicKey"] ?? .null, "receive": "digest", "seed": hex()])["stream"]
            ?? .null
        _ = try b.event("open") { $0["stream"] == stream }
        let incoming = try a.event("connection") { $0["server"] == listening["server"] }
        try body(stream, incoming["stream"] ?? .null)
    }

    private func echo(_ peer: PeerProcess, _ stream: JSON, _ count: Int, seconds: Double = 30) throws {
        try peer.request("write", ["stream": stream, "generate": .integer(count)])
        let deadline = Date(timeIntervalSinceNow: seconds)
        while true {
            let reply = try peer.request("digest", ["stream": stream])
            let bytes = reply["bytes"]?.integer ?? 0
            if bytes >= count {
                guard bytes == count, reply["sha256"]?.string == SHA256.hash(ScenarioContext.generated(count)).description else {
                    throw ScenarioFailure(description: "\(bytes) bytes came back, which are not the \(count) that were sent")
                }
                return
            }
            if Date() > deadline { throw ScenarioFailure(description: "\(bytes) of \(count) bytes came back in \(Int(seconds)) s") }
            usleep(10_000)
        }
    }

    private func finish(_ stream: JSON) throws {
        try b.request("end", ["stream": stream])
        let closed = try b.event("close") { $0["stream"] == stream }
        guard closed["error"]?.isNull == true else {
            throw ScenarioFailure(description: "the stream closes with \(closed["error"]?.text() ?? "")")
        }
    }

    func connect() throws {
        try connected { stream, _ in
            try echo(b, stream, size(1_000...300_000))
            try finish(stream)
        }
    }

    func destroy() throws {
        try connected { stream, incoming in
            try b.request("write", ["stream": stream, "generate": 500_000])
            try b.request("destroy", ["stream": stream])
            _ = try a.event("close") { $0["stream"] == incoming }
        }
    }

    func notFound() throws {
        let key = JSON.string(KeyPair(seed: fresh())?.publicKey.description ?? "")
        let stream = try b.request("connect", ["node": nodeB, "publicKey": key])["stream"] ?? .null
        let closed = try b.event("close") { $0["stream"] == stream }
        guard closed["error"]?["code"]?.string == "PEER_NOT_FOUND" else {
            throw ScenarioFailure(description: "a key that nobody has ends with \(closed["error"]?.text() ?? "nothing")")
        }
    }

    // MARK: Swarms

    /// A swarm on each side that finds the other by a topic of its own.
    private func swarms(_ body: (_ first: JSON, _ second: JSON, _ stream: JSON) throws -> Void) throws {
        let topic = hex()
        let arguments: JSONObject = ["kind": "swarm", "bootstrap": bootstrap, "port": 0]
        var server = arguments
        server.set("receive", "echo")
        var client = arguments
        client.set("receive", "digest")
        let first = try a.request("start", server)["node"] ?? .null
        let second = try b.request("start", client)["node"] ?? .null
        defer {
            _ = try? b.request("close", ["node": second])
            _ = try? a.request("close", ["node": first])
        }
        try a.request("join", ["node": first, "topic": topic, "client": false])
        try a.request("flush", ["node": first, "topic": topic])
        try b.request("join", ["node": second, "topic": topic, "server": false])
        let stream = try b.event("connection") { $0["node"] == second }["stream"] ?? .null
        try body(first, second, stream)
        try b.request("leave", ["node": second, "topic": topic])
    }

    func swarm() throws { try swarms { _, _, stream in try echo(b, stream, size(1_000...100_000)) } }

    func suspend() throws {
        try swarms { first, second, stream in
            try a.request("suspend", ["node": first])
            _ = try b.event("close") { $0["stream"] == stream }
            try a.request("resume", ["node": first])
            let again = try b.event("connection", seconds: 40) { $0["node"] == second }["stream"] ?? .null
            try echo(b, again, 2_000)
        }
    }

    /// A third process joins, is connected, and is cut off.
    func kill() throws {
        let victim = try PeerProcess(name: "victim", command: command.words, keepsTranscript: false)
        var isGone = false
        defer { if !isGone { victim.kill() } }
        try victim.request("hello", ["contract": 1], seconds: 20)
        let listening = try a.request("listen", ["node": nodeA, "seed": hex(), "receive": "echo"])
        defer { _ = try? a.request("close", ["server": listening["server"] ?? .null]) }
        let node = try victim.request("start", ["bootstrap": bootstrap, "port": 0])["node"] ?? .null
        let stream = try victim.request("connect", ["node": node, "publicKey": listening["publicKey"] ?? .null])["stream"] ?? .null
        _ = try victim.event("open") { $0["stream"] == stream }
        let incoming = try a.event("connection") { $0["server"] == listening["server"] }["stream"] ?? .null
        try victim.request("write", ["stream": stream, "generate": 100_000])
        victim.kill()
        isGone = true
        // Silence is noticed late: the server side does not wait for it.
        try a.request("destroy", ["stream": incoming])
        _ = try a.event("close") { $0["stream"] == incoming }
    }

    // MARK: Records

    /// Nodes keep records for up to two days, as they should. What is stored goes round among a few names, so that it is not taken for a leak.
    private static let names = 16
    private var stored: [(topic: JSON, seed: JSON, immutable: JSON)] = []
    private var storing = 0

    func records() throws {
        if stored.isEmpty { stored = (0..<SoakStage.names).map { _ in (hex(), hex(), hex(200)) } }
        let (topic, seed, immutable) = stored[storing % SoakStage.names]
        storing += 1
        try a.request("announce", ["node": nodeA, "topic": topic, "seed": seed])
        let found = try b.request("lookup", ["node": nodeB, "topic": topic])
        guard found["results"]?.array?.isEmpty == false else { throw ScenarioFailure(description: "an announced topic is not found") }
        try a.request("unannounce", ["node": nodeA, "topic": topic, "seed": seed])
        let value = hex(200)
        let put = try a.request("mutablePut", ["node": nodeA, "seed": seed, "value": value, "seq": .integer(storing)])
        let got = try b.request("mutableGet", ["node": nodeB, "publicKey": put["publicKey"] ?? .null])
        guard got["value"] == value else { throw ScenarioFailure(description: "a mutable record is not found as it was put") }
        let kept = try a.request("immutablePut", ["node": nodeA, "value": immutable])
        let same = try b.request("immutableGet", ["node": nodeB, "hash": kept["hash"] ?? .null])
        guard same["value"] == immutable else { throw ScenarioFailure(description: "an immutable value is not found as it was put") }
    }

    // MARK: Faults

    /// Every 20th datagram is lost while a connection is made and used. Without nftables the round is a plain one.
    func loss() throws {
        try connected { stream, _ in
            let transfer = { try self.echo(self.b, stream, self.size(20_000...200_000), seconds: 60) }
            do { try PacketDropping.run("udp length gt 8 numgen inc mod 20 3 drop", transfer) } catch is ScenarioNotRun { try transfer() }
            try finish(stream)
        }
    }

    /// Datagrams that mean nothing, to every node of the network.
    func junk() throws {
        for port in ports {
            for _ in 0..<4 {
                try b.request(
                    "udx.socketSend", ["socket": socket, "host": "127.0.0.1", "port": port, "data": hex(size(1...1200))])
            }
        }
        let target = try network.request("info", ["node": 1])
        guard target["ephemeral"] != nil else { throw ScenarioFailure(description: "the network does not answer after junk") }
    }
}
