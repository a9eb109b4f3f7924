import ArgumentParser
import CompactEncoding
import HyperCrypto
import HyperDHT
import Hyperswarm
import SansIO
import StrictJSON

struct NodeAnnounceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "announce", abstract: "Announces a public key under a topic. An announce lasts about 20 minutes.")

    @Argument(help: "The topic: 64 hexadecimal digits, or any name, which is hashed.")
    var topic: String

    @Option(name: .long, help: ArgumentHelp("Seed of the key pair, 64 hexadecimal digits. Default: a new key pair.", valueName: "hex"))
    var seed: String?

    @OptionGroup var node: NodeOptions

    func run() async throws {
        try await node.run(seed: seed) { dht in
            let result = try await dht.announce(NodeText.topic(topic))
            let key = dht.defaultKeyPair.publicKey
            node.show(
                [
                    "topic": .string(NodeText.topic(topic).description), "publicKey": .string(key.description),
                    "closestNodes": .array(result.closestNodes.map { NodeText.json($0) }),
                ],
                ["topic       \(NodeText.topic(topic))", "public key  \(key)", "announced at \(result.closestNodes.count) nodes"])
        }
    }
}

struct NodeLookupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "lookup", abstract: "Finds who announced a topic.")

    @Argument(help: "The topic: 64 hexadecimal digits, or any name, which is hashed.")
    var topic: String

    @OptionGroup var node: NodeOptions

    func run() async throws {
        try await node.run { dht in
            var order: [Bytes32] = []
            var relays: [Bytes32: [Endpoint]] = [:]
            for try await peer in dht.peers(of: NodeText.topic(topic)) {
                order.append(peer.publicKey)
                relays[peer.publicKey] = peer.relayAddresses
            }
            node.show(
                [
                    "topic": .string(NodeText.topic(topic).description),
                    "peers": .array(
                        order.map {
                            ["publicKey": .string($0.description), "relayAddresses": .array((relays[$0] ?? []).map { NodeText.json($0) })]
                        }),
                ], order.isEmpty ? ["nobody announced this topic"] : order.map(\.description))
        }
    }
}

struct NodePutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Stores a value: under its hash, or with --seed as a signed record that can be changed.")

    @Argument(help: "The value, at most about 1000 bytes.")
    var value: String

    @Option(name: .long, help: ArgumentHelp("Seed of the key that signs the record, 64 hexadecimal digits.", valueName: "hex"))
    var seed: String?

    @Option(name: .long, help: ArgumentHelp("The record's sequence number; each new value needs a higher one.", valueName: "n"))
    var seq: UInt64 = 0

    @OptionGroup var node: NodeOptions

    func run() async throws {
        try await node.run { dht in
            if let seed {
                let pair = try NodeText.keyPair(seed)
                let closest = try await dht.mutablePut(pair, seq: seq, value: Array(value.utf8))
                node.show(
                    [
                        "publicKey": .string(pair.publicKey.description), "seq": .integer(seq),
                        "closestNodes": .array(closest.map { NodeText.json($0) }),
                    ],
                    ["\(pair.publicKey)"])
            } else {
                let stored = try await dht.immutablePut(Array(value.utf8))
                node.show(
                    ["hash": .string(stored.hash.description), "closestNodes": .array(stored.closestNodes.map { NodeText.json($0) })],
                    ["\(stored.hash)"])
            }
        }
    }
}

struct NodeGetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Reads a value by its hash, or with --mutable a record by its key.")

    @Argument(help: "The hash or the public key.")
    var name: String

    @Flag(name: .long, help: "The argument is the public key of a signed record.")
    var mutable = false

    @OptionGroup var node: NodeOptions

    func run() async throws {
        let key = try NodeText.key(name)
        try await node.run { dht in
            if mutable {
                guard let found = try await dht.mutableGet(key) else { throw NodeFailure("nobody has a record of this key") }
                node.show(
                    [
                        "value": .string(Hex.encode(found.record.value)), "seq": .integer(found.record.seq),
                        "signature": .string(Hex.encode(found.record.signature)), "from": NodeText.json(found.from),
                    ], [NodeText.value(found.record.value)])
            } else {
                guard let found = try await dht.immutableGet(key) else { throw NodeFailure("nobody has a value with this hash") }
                node.show(["value": .string(Hex.encode(found.value)), "from": NodeText.json(found.from)], [NodeText.value(found.value)])
            }
        }
    }
}

struct NodePingCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ping", abstract: "Asks a node whether it is there, and how it sees us.")

    @Argument(help: "The node, as address:port.")
    var target: String

    @OptionGroup var node: NodeOptions

    func run() async throws {
        let endpoint = try NodeText.endpoint(target)
        try await node.run { dht in
            let pong = try await dht.ping(endpoint)
            node.show(
                [
                    "from": NodeText.json(pong.from), "to": NodeText.json(pong.to),
                    "id": pong.nodeID.map { .string($0.description) } ?? .null,
                    "rttMilliseconds": .integer(pong.roundTrip.milliseconds),
                ],
                [
                    "\(pong.from) answers after \(Double(pong.roundTrip.microseconds) / 1000) ms and sees us at \(pong.to)",
                    pong.nodeID.map { "id \($0)" } ?? "it is ephemeral: no id",
                ])
        }
    }
}
