import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

/// Something that an application should have seen, and did not.
public struct ScenarioFailure: Error, Sendable, CustomStringConvertible {
    public let description: String
}

/// What a scenario needs is not to be had on this machine.
public struct ScenarioNotRun: Error, Sendable {
    public let reason: String
}

/// What a scenario's script works with: the two peers under test, the script's inputs, and nodes that end up in the manifest.
public final class ScenarioContext {
    /// Listens, and hosts the network unless another peer does.
    public let first: PeerProcess
    /// Joins and dials.
    public let second: PeerProcess
    /// Hosts the network's nodes.
    public let host: PeerProcess
    public let scenario: String
    public let inputs: ScriptInputs
    /// For the bundle's manifest.
    public private(set) var manifestPeers = JSONObject()
    public private(set) var comparisons = 0
    /// What swarms had to be waited for, longer than the script gives them: only a cause that the capture shows excuses it.
    public private(set) var delay: (what: String, milliseconds: Int)?
    /// What the network's nodes start from: nothing until `network` was called.
    public private(set) var bootstrap: JSON = []
    /// Nodes in the order of their start; closed last to first.
    private var nodes: [(peer: PeerProcess, name: String, handle: Int, isClosed: Bool)] = []
    private var posted: [(peer: PeerProcess, id: Int, command: String)] = []

    public init(first: PeerProcess, second: PeerProcess, host: PeerProcess? = nil, scenario: String, inputs: ScriptInputs) {
        self.first = first
        self.second = second
        self.host = host ?? first
        self.scenario = scenario
        self.inputs = inputs
    }

    public func bytes(_ name: String, _ count: Int = 32) -> [UInt8] { inputs.bytes(name, count) }
    public func hex(_ name: String, _ count: Int = 32) -> JSON { .string(Hex.encode(inputs.bytes(name, count))) }

    public func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
        comparisons += 1
        if !condition { throw ScenarioFailure(description: sentence()) }
    }

    /// Notes that the script was held up.
    func note(delay: String, milliseconds: Int) { self.delay = (delay, milliseconds) }

    public func integer(_ json: JSON, _ key: String) throws -> Int {
        guard let value = json[key]?.integer else {
            throw ScenarioFailure(description: "\"\(key)\" is missing in \(json.text().prefix(200))")
        }
        return Int(value)
    }

    public func string(_ json: JSON, _ key: String) throws -> String {
        guard let value = json[key]?.string else {
            throw ScenarioFailure(description: "\"\(key)\" is missing in \(json.text().prefix(200))")
        }
        return value
    }

    /// The script's own waits: timers of the stack run meanwhile.
    public func wait(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }

    /// Sends a request whose reply is looked at in `settle`: what a script calls without waiting.
    public func post(_ peer: PeerProcess, _ command: String, _ arguments: JSONObject) throws {
        posted.append((peer, try peer.send(command, arguments), command))
    }

    /// All requests sent by `post` must have been accepted.
    public func settle() throws {
        for entry in posted { _ = try entry.peer.reply(to: entry.id, entry.command) }
        posted.removeAll()
    }

    // MARK: Nodes

    /// Starts a node or swarm on the default ports, as an application does, and enters it in the manifest. Returns its handle.
    @discardableResult
    public func start(_ peer: PeerProcess, _ name: String, _ arguments: JSONObject = JSONObject(), isKeyed: Bool = true) throws -> Int {
        var object: JSONObject = ["bootstrap": bootstrap, "host": "127.0.0.1"]
        if isKeyed { object.set("seed", hex(name)) }
        for member in arguments.members { object.set(member.key, member.value) }
        // Whether the answer to a node's quick firewall check comes during its first query or after it depends on how processes are scheduled,
        // and much follows from it. Where it came late in the recording, the check is left to this script: after the query, hence late.
        let isLate = inputs.quickCheck(name) == .late
        if isLate { object.set("quickFirewall", false) }
        let reply = try peer.request("start", object)
        let handle = try integer(reply, "node")
        if isLate, let node = bootstrap.array?.first, let port = reply["address"]?["port"]?.integer {
            try post(
                peer, "request",
                [
                    "node": .integer(handle), "host": "127.0.0.1", "port": node["port"] ?? .null, "number": 1, "internal": true,
                    "value": .string(Hex.encode([UInt8(port & 0xff), UInt8(port >> 8 & 0xff)])),
                ])
        }
        nodes.append((peer, name, handle, false))
        note(name, reply, seed: isKeyed ? object["seed"] : nil)
        return handle
    }

    private func note(_ name: String, _ info: JSON, seed: JSON?) {
        var entry = JSONObject()
        if let seed {
            entry.set("seed", seed)
            entry.set("publicKey", info["publicKey"] ?? .null)
        }
        entry.set("host", info["address"]?["host"] ?? "127.0.0.1")
        entry.set("serverPort", info["address"]?["port"] ?? .null)
        entry.set("clientPort", info["clientPort"] ?? .null)
        entry.set("firewalled", info["firewalled"] ?? .null)
        entry.set("ephemeral", info["ephemeral"] ?? .null)
        if let id = info["nodeId"], !id.isNull { entry.set("nodeId", id) }
        manifestPeers.set(name, .object(entry))
    }

    /// A network of public nodes in one process, started one after the other, as the recorder starts them.
    public func network(_ count: Int) throws {
        for number in 0..<count {
            let handle = try start(host, "dht\(number)", ["ephemeral": false, "firewalled": false], isKeyed: false)
            if number == 0 {
                let info = try host.request("info", ["node": .integer(handle)])
                bootstrap = [["host": "127.0.0.1", "port": info["address"]?["port"] ?? .null]]
            }
        }
    }

    /// The server socket's port of a node that was started.
    public func port(of name: String) throws -> JSON {
        guard let port = manifestPeers[name]?["serverPort"], port.integer != nil else {
            throw ScenarioFailure(description: "no node \(name) was started")
        }
        return port
    }

    /// A key pair that no node has.
    public func note(keyPair name: String, _ publicKey: JSON) {
        manifestPeers.set(name, ["seed": hex(name), "publicKey": publicKey])
    }

    /// Enters in the manifest what the nodes have become.
    public func describe() throws {
        for node in nodes where !node.isClosed {
            let info = try node.peer.request("info", ["node": .integer(node.handle)])
            note(node.name, info, seed: manifestPeers[node.name]?["seed"])
        }
    }

    /// Closes a node before the end.
    public func close(_ name: String) throws {
        guard let index = nodes.firstIndex(where: { $0.name == name }) else { return }
        nodes[index].isClosed = true
        try nodes[index].peer.request("close", ["node": .integer(nodes[index].handle)])
    }

    /// The orderly end: everything that is still there is described and closed, last to first.
    public func end() throws {
        try settle()
        try describe()
        for node in nodes.reversed() where !node.isClosed { try close(node.name) }
    }

    /// Now, in milliseconds since 1970.
    static var milliseconds: Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    // MARK: Streams

    public func note(udx name: String, port: Int, streamID: Int) {
        manifestPeers.set(name, ["host": "127.0.0.1", "port": .integer(port), "streamId": .integer(streamID)])
    }

    /// Waits for the end of a stream, and compares what it brought.
    public func expectReceived(_ peer: PeerProcess, _ stream: Int, _ data: [UInt8]) throws {
        _ = try peer.event("end") { $0["stream"]?.integer == Int64(stream) }
        let reply = try peer.request("digest", ["stream": .integer(stream)])
        let (count, digest) = (try integer(reply, "bytes"), try string(reply, "sha256"))
        try expect(count == data.count, "\(count) bytes arrived, \(data.count) were sent")
        let expected = SHA256.hash(data).description
        try expect(digest == expected, "the bytes that arrived are not those that were sent (SHA-256 \(digest), not \(expected))")
    }

    /// The bytes of `generate`: contract section 5.
    public static func generated(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 + ($0 >> 8) + ($0 >> 16)) } }
}
