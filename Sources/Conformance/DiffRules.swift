import Dissection

/// What may differ between two runs of one scenario, field by field. In a copy of one recording everything is exact.
enum DiffRules {
    private static let time = "timing"
    private static let whoKnows = "which nodes know which, and when, depends on ids and timing"
    private static let keys = "the peer's key pair"

    /// The rule of a value. `pattern` is a path without values of indices ("peers[].publicKey").
    static func value(_ layer: Layer, _ unit: String, _ pattern: String) -> Variance {
        switch layer {
        case .dhtRPC: dhtRPC(unit, pattern)
        case .hyperDHT: hyperDHT(pattern)
        case .noise: noise(pattern)
        case .noisePayload: noisePayload(pattern)
        case .holepunch: holepunch(pattern)
        case .udx: udx(pattern)
        case .blindRelay: blindRelay(pattern)
        case .message: pattern == "plaintext" ? .exact : .fresh
        case .secretStream: secretStream(pattern)
        // The pair of a relay has a token and stream ids of its own; its message is compared by itself.
        case .protomux where unit.contains("\"blind-relay\"") && (pattern == "id" || pattern == "payload"):
            .linked("the relayed pair's own message")
        case .protomux, .kadepy, .raw, .marker: .exact
        }
    }

    /// The rule for a field that only one of two messages has.
    static func presence(_ layer: Layer, _ unit: String, _ pattern: String) -> Variance {
        switch (layer, pattern) {
        case (.dhtRPC, "id"): .free("a node tells its id once it knows that it can be reached")
        case (.dhtRPC, "closerNodes.count"), (.dhtRPC, "closerNodes[]"): .free(whoKnows)
        case (.dhtRPC, "value") where unit.hasSuffix("response"): .free("which nodes hold a record depends on ids")
        case (.dhtRPC, "token") where unit.hasSuffix("response"): .free("a node answers with a token once its id is settled")
        case (.noisePayload, _) where pattern.hasPrefix("addresses4"): .bounded("as many addresses as the peer had learnt")
        case (.hyperDHT, _) where pattern.contains("relayAddresses[]"), (.noisePayload, _) where pattern.contains("ddresses"):
            .bounded("at most three relays, in whatever order they answered")
        case (.noisePayload, _) where pattern.hasPrefix("holepunch.relays[]"):
            .bounded("at most three relays, in whatever order they answered")
        case (.hyperDHT, _) where pattern.hasPrefix("peers[]"): .free(whoKnows)
        case (.udx, _) where pattern.hasPrefix("sacks"): .free(time)
        case (.udx, "payload"): .linked("the stream's bytes, which are compared as a stream; END may ride on the last of them")
        case (.hyperDHT, "peerAddress"): .linked("the server's address, where a node in between answers in its place")
        default: .exact
        }
    }

    private static func dhtRPC(_ unit: String, _ pattern: String) -> Variance {
        switch pattern {
        case "tid": .linked("drawn for the request, repeated by the response")
        case "flags": .linked("which fields follow")
        case "to", "node": .linked("the address of the node that it names")
        case "id": .linked("the hash of the sender's address")
        case "token": .linked("the hash of the requester's address with the node's secret")
        case "target": .linked("the hash of a key, topic or value of the run, or drawn at random")
        case "closerNodes.count", "closerNodes[]": .free(whoKnows)
        case "port": .linked("the port of the requester's other socket")
        default: .exact
        }
    }

    private static func hyperDHT(_ pattern: String) -> Variance {
        if pattern == "peers[].publicKey" { return .free("which records a node holds, and in what order") }
        if pattern.hasSuffix("publicKey") { return .linked(keys) }
        if pattern.hasSuffix("relayAddresses[]") { return .linked("nodes that the peer announced at") }
        switch pattern {
        case "payload": return .fresh
        case "flags": return .linked("which fields follow")
        case "signature": return .linked("signs the other fields with the peer's key")
        case "peerAddress", "relayAddress": return .linked("the address of the party that it names")
        case "peer.relayAddresses.count", "peers[].relayAddresses.count", "relayAddresses.count":
            return .bounded("at most three relays, as many as had answered")
        case "peers.count": return .free(whoKnows)
        default: return .exact
        }
    }

    private static func noise(_ pattern: String) -> Variance {
        switch pattern {
        case "e", "encryptedStatic", "encryptedPayload": .fresh
        default: .exact
        }
    }

    private static func noisePayload(_ pattern: String) -> Variance {
        switch pattern {
        case "firewall": .bounded("unknown until the node has learnt what its NAT does")
        case "addresses4.count": .bounded("as many addresses as the peer had learnt")
        case "relayAddresses.count", "holepunch.relays.count": .bounded("at most three relays, as many as had answered")
        case "udx.id": .linked("drawn for the stream, in its packets")
        case "relayThrough.token": .fresh
        case "relayThrough.publicKey": .linked(keys)
        default:
            pattern.hasSuffix("ddresses4[]") || pattern.hasSuffix("Addresses[]") || pattern.hasSuffix("Address")
                ? .linked("addresses of the parties") : .exact
        }
    }

    private static func holepunch(_ pattern: String) -> Variance {
        switch pattern {
        case "token", "remoteToken": .linked("made from the local secret and the address")
        case "addresses.count", "addresses[]", "remoteAddress": .linked("addresses of the parties")
        case "flags": .linked("which fields follow")
        default: .exact
        }
    }

    private static func udx(_ pattern: String) -> Variance {
        switch pattern {
        case "streamID": .linked("the id that the receiver chose")
        case "seq", "ack": .linked("counts packets of the stream; how bytes are cut into packets follows path MTU and timing")
        case "window": .bounded("what is left of the receive buffer")
        case "type", "dataOffset": .free("which packets carry selective acknowledgements follows timing")
        case "payload": .linked("the stream's bytes, which are compared as a stream")
        default: pattern.hasPrefix("sacks") ? .free(time) : .exact
        }
    }

    private static func blindRelay(_ pattern: String) -> Variance {
        switch pattern {
        case "token": .linked("drawn for the pair, in the handshake's relayThrough")
        case "id", "streamID": .linked("the id that the receiver chose")
        default: .exact
        }
    }

    private static func secretStream(_ pattern: String) -> Variance {
        switch pattern {
        case "mac", "ciphertext", "encryptedTag", "header", "id": .fresh
        default: .exact
        }
    }

    /// Whether two values keep a rule's limits, where the rule has some that can be computed.
    static func isWithin(_ layer: Layer, _ pattern: String, _ a: String, _ b: String) -> Bool {
        switch (layer, pattern) {
        case (.noisePayload, "firewall"): a == "0" || b == "0"
        case (.noisePayload, "relayAddresses.count"), (.noisePayload, "holepunch.relays.count"), (.hyperDHT, "relayAddresses.count"),
            (.hyperDHT, "peer.relayAddresses.count"), (.hyperDHT, "peers[].relayAddresses.count"):
            (Int(a) ?? 99) <= 3 && (Int(b) ?? 99) <= 3
        case (.udx, "window"): (UInt32(a) ?? 0) > 0 && (UInt32(b) ?? 0) > 0
        default: true
        }
    }

    /// How many exchanges of a command two runs may have. nil: exactly as many.
    static func count(_ command: String) -> (rule: Variance, slack: (Int) -> Int)? {
        switch command {
        case "PING", "PING_NAT", "DOWN_HINT":
            (
                .bounded("up to half as many more or fewer: nodes check each other as time passes, a puncher samples at four of them"),
                { max(4, $0 / 2) }
            )
        case "FIND_PEER":
            (
                .bounded(
                    "up to half as many more or fewer: a query asks whom it comes to know, and a second one is cut short by the connection"),
                { max(3, $0 / 2) }
            )
        case "FIND_NODE", "LOOKUP", "MUTABLE_GET", "IMMUTABLE_GET":
            (.bounded("up to a quarter more or fewer: a query asks whom it comes to know"), { max(3, $0 / 4) })
        case "PEER_HOLEPUNCH":
            (.bounded("up to as many again: rounds go on until a path is open"), { max(3, $0 / 2) })
        case "PEER_HANDSHAKE":
            (
                .bounded(
                    "up to a quarter more or fewer between the same peers, who may cross, and three for each pair: a second way, through a node, while the first is being answered"
                ),
                { $0 / 4 }
            )
        default: nil
        }
    }
}
