import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

/// Something that an application should have seen, and did not.
public struct ScenarioFailure: Error, Sendable, CustomStringConvertible {
    public let description: String
}

/// What a scenario's script works with: the two peers under test, and nodes of a network that one of them hosts.
///
/// Seeds follow from the scenario's name, so that two runs use the same keys.
public final class ScenarioContext {
    /// Hosts the network and listens.
    public let first: PeerProcess
    /// Joins and dials.
    public let second: PeerProcess
    public let scenario: String
    /// For the bundle's manifest.
    public private(set) var manifestPeers = JSONObject()
    public private(set) var comparisons = 0

    public init(first: PeerProcess, second: PeerProcess, scenario: String) {
        self.first = first
        self.second = second
        self.scenario = scenario
    }

    /// 32 bytes that belong to `role` in this scenario.
    public func seed(_ role: String) -> [UInt8] { Blake2b.hash256(Array("hyperconform \(scenario) \(role)".utf8)).bytes }
    public func seedHex(_ role: String) -> JSON { .string(Hex.encode(seed(role))) }

    public func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
        comparisons += 1
        if !condition { throw ScenarioFailure(description: sentence()) }
    }

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

    // MARK: Nodes

    /// Starts a node or swarm and enters it in the manifest.
    public func start(_ peer: PeerProcess, _ name: String, _ arguments: JSONObject) throws -> JSON {
        var object = JSONObject()
        object.set("host", "127.0.0.1")
        object.set("port", 0)
        for member in arguments.members { object.set(member.key, member.value) }
        let reply = try peer.request("start", object)
        var entry = JSONObject()
        if let seed = object["seed"] {
            entry.set("seed", seed)
            entry.set("publicKey", reply["publicKey"] ?? .null)
        }
        entry.set("host", reply["address"]?["host"] ?? "127.0.0.1")
        entry.set("serverPort", reply["address"]?["port"] ?? .null)
        entry.set("clientPort", reply["clientPort"] ?? .null)
        entry.set("firewalled", reply["firewalled"] ?? .null)
        entry.set("ephemeral", reply["ephemeral"] ?? .null)
        if let id = reply["nodeId"], !id.isNull { entry.set("nodeId", id) }
        manifestPeers.set(name, .object(entry))
        return reply
    }

    /// A small network of persistent nodes in the first peer's process; returns what to bootstrap from, and the nodes' handles.
    public func network(_ count: Int = 5) throws -> (bootstrap: JSON, nodes: [Int]) {
        let port = try freePort()
        let root = try start(first, "dht0", ["bootstrap": [], "bootstrapper": true, "port": .integer(port)])
        let bootstrap: JSON = [["host": "127.0.0.1", "port": root["address"]?["port"] ?? .null]]
        var nodes = [try integer(root, "node")]
        for number in 1..<count {
            let reply = try start(
                first, "dht\(number)", ["bootstrap": bootstrap, "ephemeral": false, "firewalled": false])
            nodes.append(try integer(reply, "node"))
        }
        return (bootstrap, nodes)
    }

    /// A UDP port that is free now.
    public func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard descriptor >= 0, bound else { throw ScenarioFailure(description: "no free UDP port on 127.0.0.1") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    // MARK: Streams

    public func note(udx name: String, port: Int, streamID: Int) {
        manifestPeers.set(name, ["host": "127.0.0.1", "port": .integer(port), "streamId": .integer(streamID)])
    }

    /// Waits until a stream has received `bytes` bytes, and compares their digest.
    public func expectDigest(_ peer: PeerProcess, _ stream: Int, bytes: Int, sha256: String, _ what: String, seconds: Double = 30) throws {
        let deadline = Date(timeIntervalSinceNow: seconds)
        var last = 0
        while Date() < deadline {
            let reply = try peer.request("digest", ["stream": .integer(stream)])
            last = try integer(reply, "bytes")
            if last >= bytes {
                try expect(last == bytes, "\(what): \(last) bytes arrived, \(bytes) were sent")
                let digest = try string(reply, "sha256")
                try expect(
                    digest == sha256, "\(what): the bytes that arrived are not those that were sent (SHA-256 \(digest), not \(sha256))")
                return
            }
            usleep(20_000)
        }
        throw PeerFailure(
            kind: .hang, peer: peer.name, message: "\(what): \(last) of \(bytes) bytes arrived in \(Int(seconds)) s", code: nil)
    }

    /// The bytes of `generate`: contract section 5.
    public static func generated(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 + ($0 >> 8) + ($0 >> 16)) } }
}
