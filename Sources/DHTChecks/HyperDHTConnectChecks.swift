import CompactEncoding
import Conformance
import HyperCrypto
import HyperDHT
import NetworkSimulator
import SansIO

/// Whole nodes on a simulated network: what two users see.
enum HyperDHTConnectChecks {
    static let checks: [Check] = [
        Check("hyperdht.connect-open", ["HDHT-62a", "HDHT-40"], .simulation) { exam in
            let network = HyperDHTSimulation(seed: exam.seed)
            try network.start(core: 6)
            let key = try keyPair(1)
            let server = network.nodes[4]
            let client = network.nodes[5]
            let id = try network.command(server) { try $0.listen(key) }
            exam.require("listening", try network.run(seconds: 10) { server.isListening(id) })
            try echo(exam, network, client: client, server: server, key: key.publicKey)
        },
        Check("hyperdht.connect-consistent", ["HDHT-52", "HDHT-53", "HDHT-58", "HDHT-59"], .simulation) { exam in
            try nat(exam, client: .consistent, server: .consistent, connects: true)
        },
        Check("hyperdht.connect-random-client", ["HDHT-61"], .simulation) { exam in
            try nat(exam, client: .random, server: .consistent, connects: true)
        },
        Check("hyperdht.connect-random-server", ["HDHT-61"], .simulation) { exam in
            try nat(exam, client: .consistent, server: .random, connects: true)
        },
        Check("hyperdht.connect-random-both", ["HDHT-60"], .simulation) { exam in
            try nat(exam, client: .random, server: .random, connects: false)
        },
    ]

    static func keyPair(_ byte: UInt8) throws -> KeyPair {
        guard let pair = KeyPair(seed: [UInt8](repeating: byte, count: 32)) else {
            throw CorpusError("a seed has 32 bytes", file: "")
        }
        return pair
    }

    /// Two users behind NATs of these kinds.
    static func nat(_ exam: Examination, client: NATBehaviour, server: NATBehaviour, connects: Bool) throws {
        let network = HyperDHTSimulation(seed: exam.seed)
        try network.start(core: 8)
        let first = network.simulation.addNAT(server, outside: HyperDHTSimulation.address(200))
        let second = network.simulation.addNAT(client, outside: HyperDHTSimulation.address(201))
        let serverNode = network.addUser(on: first, address: .v4(0x0a00_0002))
        let clientNode = network.addUser(on: second, address: .v4(0xc0a8_0102))
        try network.run(seconds: 30) { serverNode.node.isReady && clientNode.node.isReady }
        let key = try keyPair(1)
        let id = try network.command(serverNode) { try $0.listen(key) }
        exam.require("listening", try network.run(seconds: 10) { serverNode.isListening(id) })
        if connects {
            try echo(exam, network, client: clientNode, server: serverNode, key: key.publicKey)
        } else {
            let connection = network.command(clientNode) { $0.connect(key.publicKey) }
            exam.require("it ends", try network.run(seconds: 120) { clientNode.closure(of: connection) != nil })
            exam.equal("reason", clientNode.closure(of: connection) ?? nil, .holepunchAborted)
        }
    }

    /// Connects, sends both ways, ends both ways.
    static func echo(
        _ exam: Examination, _ network: HyperDHTSimulation, client: HyperDHTSimulatedNode, server: HyperDHTSimulatedNode, key: Bytes32,
        options: ConnectOptions = ConnectOptions()
    ) throws {
        let connection = network.command(client) { node in
            let id = node.connect(key, options: options)
            node.write(id, Array("hello".utf8))
            return id
        }
        exam.require(
            "the server takes a connection", try network.run(seconds: 120) { server.accepted.contains { !server.data(of: $0).isEmpty } },
            "closed: \(String(describing: client.closure(of: connection)))")
        guard let accepted = server.accepted.last else { return }
        exam.equal("the server reads", server.data(of: accepted), [Array("hello".utf8)])
        network.command(server) { $0.write(accepted, Array("back".utf8)) }
        exam.require("the client reads", try network.run(seconds: 10) { !client.data(of: connection).isEmpty })
        exam.equal("what the client reads", client.data(of: connection), [Array("back".utf8)])
        let hashes = [client.node.info(of: connection)?.handshakeHash, server.node.info(of: accepted)?.handshakeHash]
        exam.bytes("one handshake hash", hashes[0], hashes[1] ?? [])
        network.command(client) { $0.end(connection) }
        network.command(server) { $0.end(accepted) }
        exam.require(
            "both sides close",
            try network.run(seconds: 30) { client.closure(of: connection) != nil && server.closure(of: accepted) != nil })
        exam.equal("the client's reason", client.closure(of: connection) ?? nil, nil)
        exam.equal("the server's reason", server.closure(of: accepted) ?? nil, nil)
    }
}
