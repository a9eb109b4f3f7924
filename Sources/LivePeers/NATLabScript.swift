import CompactEncoding
import Foundation
import HyperCrypto
import StrictJSON

/// What the peers of a cell do: a public network comes up, the server listens, the client dials and has a message echoed, or is given up.
struct NATLabScript {
    let lab: NATLab
    /// The public nodes' process, the server's, the client's, in this order.
    var peers: [PeerProcess] = []
    private(set) var manifest = JSONObject()
    private(set) var comparisons = 0

    init(_ lab: NATLab) { self.lab = lab }

    /// Returns what happened in a few words; throws what went wrong.
    mutating func run() throws -> String {
        for peer in peers { try peer.request("hello", ["contract": 1], seconds: 30) }
        let (network, serverPeer, clientPeer) = (peers[0], peers[1], peers[2])
        let port = 49_737
        let root = lab.dhtAddresses[0]
        try start(network, "dht0", root, ["bootstrap": [], "bootstrapper": true, "host": .string(root), "port": .integer(port)])
        let bootstrap: JSON = [["host": .string(root), "port": .integer(port)]]
        for (index, address) in lab.dhtAddresses.enumerated().dropFirst() {
            try start(
                network, "dht\(index)", address,
                ["bootstrap": bootstrap, "host": .string(address), "port": .integer(port), "ephemeral": false, "firewalled": false])
        }
        var relayKey: JSON?
        if lab.cell.hasRelay {
            let node = try start(
                network, "relay", NATLab.relayAddress,
                [
                    "bootstrap": bootstrap, "host": .string(NATLab.relayAddress), "port": .integer(port), "ephemeral": false,
                    "firewalled": false, "seed": seed("relay"),
                ])
            relayKey = try network.request("relay", ["node": node])["publicKey"]
        }
        let serverNode = try start(
            serverPeer, "server", lab.server.publicAddress,
            ["bootstrap": bootstrap, "host": "0.0.0.0", "port": .integer(port), "seed": seed("server")])
        var listen: JSONObject = ["node": serverNode, "receive": "echo"]
        if let relayKey { listen.set("relayThrough", relayKey) }
        let listening = try serverPeer.request("listen", listen)
        let clientNode = try start(
            clientPeer, "client", lab.client.publicAddress,
            ["bootstrap": bootstrap, "host": "0.0.0.0", "port": .integer(port), "seed": seed("client")])
        var connect: JSONObject = ["node": clientNode, "publicKey": listening["publicKey"] ?? .null, "receive": "digest"]
        if let relayKey { connect.set("relayThrough", relayKey) }
        let before = Date()
        let dial = try clientPeer.request("connect", connect)
        guard let stream = dial["stream"]?.integer else { throw ScenarioFailure(description: "connect replies without a stream") }
        func seconds() -> String { String(format: "%.2f s", Date().timeIntervalSince(before)) }

        switch lab.cell.expectation {
        case .aborts:
            let closed = try clientPeer.event("close", seconds: 90) { $0["stream"]?.integer == stream }
            let opened = clientPeer.pendingEvent("open") { $0["stream"]?.integer == stream }
            try expect(opened == nil, "two random NATs were crossed, which the rule forbids to try")
            let code = closed["error"]?["code"]?.string ?? "no error"
            // HDHT: the application hears HOLEPUNCH_ABORTED; the other name is the inner reason of the same rule.
            try expect(
                code == "HOLEPUNCH_ABORTED" || code == "HOLEPUNCH_DOUBLE_RANDOMIZED_NATS",
                "given up with \(code), not HOLEPUNCH_ABORTED")
            return "aborted with \(code) after \(seconds())"
        case .connects:
            let open = try clientPeer.event("open", or: "close", seconds: 90) { $0["stream"]?.integer == stream }
            try expect(
                open["event"]?.string == "open",
                "not connected: closed with \(open["error"]?["code"]?.string ?? "no error"), \(open["error"]?["message"]?.string ?? "")")
            let story = "connected to \(open["remoteAddress"]?["host"]?.string ?? "a relay") in \(seconds())"
            let incoming = try serverPeer.event("connection") { $0["remotePublicKey"] == open["publicKey"] }
            try expect(open["remotePublicKey"] == listening["publicKey"], "the client is connected to another key")
            try expect(open["handshakeHash"] == incoming["handshakeHash"], "the two ends have different handshake hashes")
            try expectPath(open)
            try echo(clientPeer, stream)
            try clientPeer.request("end", ["stream": .integer(stream)])
            let closed = try clientPeer.event("close") { $0["stream"]?.integer == stream }
            try expect(closed["error"]?.isNull == true, "the connection ends with an error: \(closed["error"]?.text() ?? "")")
            return story
        }
    }

    /// The other host must be reached where this arrangement has it: in the same network by its own address, else by its router's.
    private mutating func expectPath(_ open: JSON) throws {
        guard !lab.cell.hasRelay, let host = open["remoteAddress"]?["host"]?.string else { return }
        let wanted = lab.cell.isLAN ? lab.server.address : lab.server.publicAddress
        try expect(host == wanted, "the connection goes to \(host), not to \(wanted)")
    }

    private mutating func echo(_ client: PeerProcess, _ stream: Int64) throws {
        let message = Array("hello across the NATs".utf8)
        try client.request("write", ["stream": .integer(stream), "data": .string(Hex.encode(message))])
        try client.request("write", ["stream": .integer(stream), "generate": 100_000])
        let bytes = message + ScenarioContext.generated(100_000)
        let deadline = Date(timeIntervalSinceNow: 40)
        var last: JSON = [:]
        repeat {
            last = try client.request("digest", ["stream": .integer(stream)])
            if (last["bytes"]?.integer ?? 0) >= Int64(bytes.count) { break }
            usleep(20_000)
        } while Date() < deadline
        try expect(
            last["sha256"]?.string == SHA256.hash(bytes).description,
            "the echo is not what was sent: \(last["bytes"]?.integer ?? 0) of \(bytes.count) bytes, SHA-256 \(last["sha256"]?.string ?? "none")"
        )
    }

    private func seed(_ role: String) -> JSON {
        .string(Hex.encode(Blake2b.hash256(Array("hyperconform nat-\(lab.cell.name) \(role)".utf8)).bytes))
    }

    private mutating func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
        comparisons += 1
        if !condition { throw ScenarioFailure(description: sentence()) }
    }

    /// Starts a node and enters it in the manifest as others see it.
    @discardableResult
    private mutating func start(_ peer: PeerProcess, _ name: String, _ host: String, _ arguments: JSONObject) throws -> JSON {
        let reply = try peer.request("start", arguments)
        var entry: JSONObject = [
            "host": .string(host), "serverPort": reply["address"]?["port"] ?? .null, "clientPort": reply["clientPort"] ?? .null,
            "firewalled": reply["firewalled"] ?? .null, "ephemeral": reply["ephemeral"] ?? .null,
        ]
        if let id = reply["nodeId"], !id.isNull { entry.set("nodeId", id) }
        if let seed = arguments["seed"] {
            entry.set("seed", seed)
            entry.set("publicKey", reply["publicKey"] ?? .null)
        }
        manifest.set(name, .object(entry))
        return reply["node"] ?? .null
    }
}
