import CompactEncoding
import Conformance
import HyperCrypto
import HyperDHT
import SansIO
import StrictJSON

/// The golden vectors of HyperDHT: messages both ways, signatures, boxes, addresses.
enum HyperDHTVectors {
    static let checks: [Check] = [
        Check("hyperdht.messages", ["HDHT-20", "HDHT-76"], .vector, .codec) { exam in
            try VectorFile("hyperdht-messages", in: exam.corpus).examine(exam, message)
            refusals(exam)
        },
        Check("hyperdht.signatures", ["HDHT-7", "HDHT-21", "HDHT-24"], .vector, .codec) { exam in
            try VectorFile("hyperdht-signatures", in: exam.corpus).examine(exam) { try signature(exam, $0) }
        },
        Check("hyperdht.holepunch-payload", ["HDHT-46"], .vector, .codec) { exam in
            try VectorFile("holepunch-payload", in: exam.corpus).examine(exam) { try box(exam, $0) }
        },
        Check("hyperdht.address", ["HDHT-72"], .vector, .codec) { exam in
            try VectorFile("hyperdht-address", in: exam.corpus).examine(exam) { try address(exam, $0) }
        },
    ]

    // MARK: JSON forms

    static func json(_ endpoint: Endpoint) -> JSON {
        ["host": .string("\(endpoint.address)"), "port": .integer(endpoint.port)]
    }

    /// Compares a node that is null or an {host, port} object.
    private static func expect(_ node: VectorNode, _ endpoint: Endpoint?) throws {
        guard let endpoint, !node.isNull else { return node.compare(endpoint.map(json) ?? .null) }
        try node["host"].expect("\(endpoint.address)")
        try node["port"].expect(endpoint.port)
    }

    private static func expect(_ node: VectorNode, _ endpoints: [Endpoint]?) throws {
        guard let endpoints, !node.isNull else { return node.compare(endpoints.map { .array($0.map(json)) } ?? .null) }
        let elements = try node.elements()
        guard elements.count == endpoints.count else { return node.compare(.array(endpoints.map(json))) }
        for (element, endpoint) in zip(elements, endpoints) { try expect(element, endpoint) }
    }

    static func endpoint(_ node: VectorNode) throws -> Endpoint? {
        if node.isNull { return nil }
        guard let host = IPAddress(try node["host"].string()) else { return nil }
        return Endpoint(host, UInt16(truncatingIfNeeded: try node["port"].uint()))
    }

    private static func endpoints(_ node: VectorNode) throws -> [Endpoint]? {
        node.isNull ? nil : try node.elements().compactMap { try endpoint($0) }
    }

    private static func bytes(_ node: VectorNode) throws -> [UInt8]? { node.isNull ? nil : try node.bytes() }
    private static func bytes32(_ node: VectorNode) throws -> Bytes32? { node.isNull ? nil : try node.bytes32() }
    private static func expect(_ node: VectorNode, _ bytes: [UInt8]?) {
        node.isNull && bytes == nil ? node.expect(bytes) : node.expect(bytes)
    }

    // MARK: Messages

    /// Encodes the value and compares the bytes; decodes the bytes and compares every field.
    private static func message(_ node: VectorNode) throws {
        let value = try node["value"]
        let encoded = try node["encoded"].bytes()
        let decoded = try node["decoded"]
        switch try node["type"].string() {
        case "handshake":
            let built = HandshakeMessage(
                mode: RelayMode(rawValue: try value["mode"].uint()), noise: try value["noise"].bytes(),
                peerAddress: try endpoint(value["peerAddress"]), relayAddress: try endpoint(value["relayAddress"]))
            try node["encoded"].expect(built.encoded)
            let read = try HandshakeMessage(decoding: encoded)
            try decoded["mode"].expect(read.mode.rawValue)
            try decoded["noise"].expect(read.noise)
            try expect(decoded["peerAddress"], read.peerAddress)
            try expect(decoded["relayAddress"], read.relayAddress)
        case "holepunch":
            let built = HolepunchMessage(
                mode: RelayMode(rawValue: try value["mode"].uint()), id: try value["id"].uint(), payload: try value["payload"].bytes(),
                peerAddress: try endpoint(value["peerAddress"]))
            try node["encoded"].expect(built.encoded)
            let read = try HolepunchMessage(decoding: encoded)
            try decoded["mode"].expect(read.mode.rawValue)
            try decoded["id"].expect(read.id)
            try decoded["payload"].expect(read.payload)
            try expect(decoded["peerAddress"], read.peerAddress)
        case "noisePayload":
            try node["encoded"].expect(try noisePayload(value).encoded)
            try expectNoisePayload(decoded, try NoisePayload(decoding: encoded))
        case "holepunchPayload":
            try node["encoded"].expect(try holepunchPayload(value).encoded)
            try expectHolepunchPayload(decoded, try HolepunchPayload(decoding: encoded))
        case "peer":
            try node["encoded"].expect(try peer(value).encoded)
            try expectPeer(decoded, try PeerRecord(decoding: encoded))
        case "announce":
            let built = AnnounceMessage(
                peer: try value["peer"].isNull ? nil : try peer(value["peer"]), refresh: try bytes32(value["refresh"]),
                signature: try bytes(value["signature"]), bump: try value["bump"].uint())
            try node["encoded"].expect(built.encoded)
            let read = try AnnounceMessage(decoding: encoded)
            if let peer = read.peer, try !decoded["peer"].isNull { try expectPeer(decoded["peer"], peer) }
            if read.peer == nil { try decoded["peer"].compare(.null) }
            try decoded["refresh"].expect(read.refresh)
            try decoded["signature"].expect(read.signature)
            try decoded["bump"].expect(read.bump)
        case "lookupRawReply":
            let built = LookupReply(peers: try value["peers"].elements().map(peer), bump: try value["bump"].uint())
            try node["encoded"].expect(built.encoded)
            let read = try LookupReply(decoding: encoded)
            let peers = try decoded["peers"].elements()
            guard peers.count == read.peers.count else { return try decoded["peers"].compare(.array([])) }
            for (element, peer) in zip(peers, read.peers) { try expectPeer(element, peer) }
            try decoded["bump"].expect(read.bump)
        case "mutableSignable":
            try node["encoded"].expect(MutableSignable(seq: try value["seq"].uint(), value: try value["value"].bytes()).encoded)
            let read = try MutableSignable(decoding: encoded)
            try decoded["seq"].expect(read.seq)
            try decoded["value"].expect(read.value)
        case "mutablePutRequest":
            let built = MutablePutRequest(
                publicKey: try value["publicKey"].bytes32(), seq: try value["seq"].uint(), value: try value["value"].bytes(),
                signature: try value["signature"].bytes())
            try node["encoded"].expect(built.encoded)
            let read = try MutablePutRequest(decoding: encoded)
            try decoded["publicKey"].expect(read.publicKey)
            try decoded["seq"].expect(read.seq)
            try decoded["value"].expect(read.value)
            try decoded["signature"].expect(read.signature)
        case "mutableGetResponse":
            let built = MutableRecord(
                seq: try value["seq"].uint(), value: try value["value"].bytes(), signature: try value["signature"].bytes())
            try node["encoded"].expect(built.encoded)
            let read = try MutableRecord(decoding: encoded)
            try decoded["seq"].expect(read.seq)
            try decoded["value"].expect(read.value)
            try decoded["signature"].expect(read.signature)
        case "pluginRequest":
            let built = PluginMessage(
                plugin: try value["plugin"].string(), version: try value["version"].uint(), command: try value["command"].uint(),
                value: try bytes(value["value"]))
            try node["encoded"].expect(built.encoded)
            let read = try PluginMessage(decoding: encoded)
            try decoded["plugin"].expect(read.plugin)
            try decoded["version"].expect(read.version)
            try decoded["command"].expect(read.command)
            try decoded["value"].expect(read.value)
        case let type:
            throw CorpusError("no codec for the type \"\(type)\"", file: "vectors/hyperdht-messages.json")
        }
    }

    private static func peer(_ node: VectorNode) throws -> PeerRecord {
        PeerRecord(publicKey: try node["publicKey"].bytes32(), relayAddresses: try endpoints(node["relayAddresses"]) ?? [])
    }

    private static func expectPeer(_ node: VectorNode, _ peer: PeerRecord) throws {
        try node["publicKey"].expect(peer.publicKey)
        try expect(node["relayAddresses"], peer.relayAddresses)
    }

    private static func noisePayload(_ node: VectorNode) throws -> NoisePayload {
        var payload = NoisePayload(
            error: PeerErrorCode(rawValue: try node["error"].uint()), firewall: Firewall(rawValue: try node["firewall"].uint()),
            addresses4: try endpoints(node["addresses4"]) ?? [], addresses6: try endpoints(node["addresses6"]) ?? [],
            relayAddresses: try endpoints(node["relayAddresses"]))
        let holepunch = try node["holepunch"]
        if !holepunch.isNull {
            payload.holepunch = NoisePayload.HolepunchInfo(
                id: try holepunch["id"].uint(),
                relays: try holepunch["relays"].elements().compactMap {
                    guard let relay = try endpoint($0["relayAddress"]), let peer = try endpoint($0["peerAddress"]) else { return nil }
                    return NoisePayload.HolepunchInfo.Relay(relayAddress: relay, peerAddress: peer)
                })
        }
        let udx = try node["udx"]
        if !udx.isNull {
            payload.udx = NoisePayload.UDXInfo(
                reusableSocket: try udx["reusableSocket"].bool(), id: try udx["id"].uint(), seq: try udx["seq"].uint())
        }
        let secretStream = try node["secretStream"]
        if !secretStream.isNull {
            try secretStream.note()
            payload.secretStream = NoisePayload.SecretStreamInfo()
        }
        let relayThrough = try node["relayThrough"]
        if !relayThrough.isNull {
            payload.relayThrough = NoisePayload.RelayThroughInfo(
                publicKey: try relayThrough["publicKey"].bytes32(), token: try relayThrough["token"].bytes32())
        }
        return payload
    }

    private static func expectNoisePayload(_ node: VectorNode, _ payload: NoisePayload) throws {
        try node["version"].expect(payload.version)
        try node["error"].expect(payload.error.rawValue)
        try node["firewall"].expect(payload.firewall.rawValue)
        let holepunch = try node["holepunch"]
        if let read = payload.holepunch, !holepunch.isNull {
            try holepunch["id"].expect(read.id)
            let relays = try holepunch["relays"].elements()
            if relays.count != read.relays.count { try holepunch["relays"].compare(.array([])) }
            for (element, relay) in zip(relays, read.relays) {
                try expect(element["relayAddress"], relay.relayAddress)
                try expect(element["peerAddress"], relay.peerAddress)
            }
        } else {
            holepunch.compare(payload.holepunch == nil ? .null : .string("present"))
        }
        try expect(node["addresses4"], payload.addresses4)
        try expect(node["addresses6"], payload.addresses6)
        let udx = try node["udx"]
        if let read = payload.udx, !udx.isNull {
            try udx["version"].expect(read.version)
            try udx["reusableSocket"].expect(read.reusableSocket)
            try udx["id"].expect(read.id)
            try udx["seq"].expect(read.seq)
        } else {
            udx.compare(payload.udx == nil ? .null : .string("present"))
        }
        let secretStream = try node["secretStream"]
        if let read = payload.secretStream, !secretStream.isNull {
            try secretStream["version"].expect(read.version)
        } else {
            secretStream.compare(payload.secretStream == nil ? .null : .string("present"))
        }
        let relayThrough = try node["relayThrough"]
        if let read = payload.relayThrough, !relayThrough.isNull {
            try relayThrough["version"].expect(read.version)
            try relayThrough["publicKey"].expect(read.publicKey)
            try relayThrough["token"].expect(read.token)
        } else {
            relayThrough.compare(payload.relayThrough == nil ? .null : .string("present"))
        }
        try expect(node["relayAddresses"], payload.relayAddresses)
    }

    private static func holepunchPayload(_ node: VectorNode) throws -> HolepunchPayload {
        HolepunchPayload(
            error: PeerErrorCode(rawValue: try node["error"].uint()), firewall: Firewall(rawValue: try node["firewall"].uint()),
            round: try node["round"].uint(), connected: try node["connected"].bool(), punching: try node["punching"].bool(),
            addresses: try endpoints(node["addresses"]), remoteAddress: try endpoint(node["remoteAddress"]),
            token: try bytes32(node["token"]), remoteToken: try bytes32(node["remoteToken"]))
    }

    private static func expectHolepunchPayload(_ node: VectorNode, _ payload: HolepunchPayload) throws {
        try node["error"].expect(payload.error.rawValue)
        try node["firewall"].expect(payload.firewall.rawValue)
        try node["round"].expect(payload.round)
        try node["connected"].expect(payload.connected)
        try node["punching"].expect(payload.punching)
        try expect(node["addresses"], payload.addresses)
        try expect(node["remoteAddress"], payload.remoteAddress)
        try node["token"].expect(payload.token)
        try node["remoteToken"].expect(payload.remoteToken)
    }

    /// What decoders must accept or refuse, beyond the file.
    private static func refusals(_ exam: Examination) {
        let key = [UInt8](repeating: 7, count: 32)
        // HDHT-20. A LOOKUP reply that ends before its bump.
        let old = try? LookupReply(decoding: [1] + key + [0])
        exam.equal("lookup without bump, peers", old?.peers.count, 1)
        exam.equal("lookup without bump, bump", old?.bump, 0)
        // HDHT-76. Values that can't be decoded.
        exam.refuses("record cut short") { _ = try PeerRecord(decoding: key) }
        exam.refuses("lookup with more records promised") { _ = try LookupReply(decoding: [2] + key + [0]) }
        exam.refuses("lookup with an absurd count") { _ = try LookupReply(decoding: [0xfe, 0xff, 0xff, 0xff, 0xff]) }
    }

    // MARK: Signatures

    private static func signature(_ exam: Examination, _ node: VectorNode) throws {
        guard let keyPair = KeyPair(secretKey: try node["secretKey"].bytes()) else {
            throw CorpusError("a secret key has 64 bytes", file: "vectors/hyperdht-signatures.json")
        }
        // The key pair is consistent: the seed half gives the public half.
        exam.bytes("secretKey", KeyPair(seed: Array(keyPair.secretKey.prefix(32)))?.secretKey, try node["secretKey"].bytes())
        let kind = try node["kind"].string()
        switch kind {
        case "mutable":
            let seq = try node["seq"].uint()
            let value = try node["value"].bytes()
            try node["publicKey"].expect(keyPair.publicKey)
            let signature = RecordSignature.signMutable(seq: seq, value: value, keyPair: keyPair)
            try node["signature"].expect(signature)
            let recorded = try node["signature"].bytes()
            exam.require(
                "the recorded signature verifies",
                RecordSignature.verifyMutable(seq: seq, value: value, signature: recorded, publicKey: keyPair.publicKey))
            exam.require(
                "another seq does not",
                !RecordSignature.verifyMutable(seq: seq + 1, value: value, signature: recorded, publicKey: keyPair.publicKey))
        case "announce", "unannounce":
            let purpose: RecordSignature.Purpose = kind == "announce" ? .announce : .unannounce
            let peer = try peer(node["peer"])
            try node["peer"]["publicKey"].expect(keyPair.publicKey)
            let target = try node["target"].bytes32()
            let token = try node["token"].bytes32()
            let nodeID = try node["nodeId"].bytes32()
            let refresh = try bytes32(node["refresh"])
            try node["signature"].expect(
                RecordSignature.sign(
                    purpose, target: target, token: token, nodeID: nodeID, peer: peer, refresh: refresh, keyPair: keyPair))
            let message = AnnounceMessage(peer: peer, refresh: refresh, signature: try node["signature"].bytes())
            exam.require(
                "the recorded signature verifies",
                RecordSignature.verify(purpose, message, target: target, token: token, nodeID: nodeID))
            exam.require(
                "not for the other command",
                !RecordSignature.verify(
                    purpose == .announce ? .unannounce : .announce, message, target: target, token: token, nodeID: nodeID))
            exam.require(
                "not for another node", !RecordSignature.verify(purpose, message, target: target, token: token, nodeID: target))
            exam.require(
                "not for another token", !RecordSignature.verify(purpose, message, target: target, token: target, nodeID: nodeID))
        default:
            throw CorpusError("unknown kind \"\(kind)\"", file: "vectors/hyperdht-signatures.json")
        }
    }

    // MARK: Boxes and addresses

    private static func box(_ exam: Examination, _ node: VectorNode) throws {
        if let hash = node.optional("handshakeHash") {
            try node["sharedSecret"].expect(HolepunchBox(handshakeHash: try hash.bytes()).secret)
            return
        }
        let box = HolepunchBox(secret: try node["sharedSecret"].bytes32())
        let payload = try holepunchPayload(node["payload"])
        try node["plaintext"].expect(payload.encoded)
        try node["encrypted"].expect(box.seal(payload, nonce: try node["nonce"].bytes()))
        let encrypted = try node["encrypted"].bytes()
        exam.equal("opened", box.openPayload(encrypted), payload)
        var damaged = encrypted
        if !damaged.isEmpty { damaged[damaged.count - 1] ^= 1 }
        exam.equal("a damaged box", box.open(damaged), nil)
        exam.equal("a box cut short", box.open(Array(encrypted.prefix(40))), nil)
    }

    private static func address(_ exam: Examination, _ node: VectorNode) throws {
        let address = PeerAddress(publicKey: try node["key"].bytes32(), nodes: try endpoints(node["nodes"]) ?? [])
        try node["encoded"].expect(address.encoded)
        exam.equal("decoded", try PeerAddress(decoding: try node["encoded"].bytes()), address)
        exam.equal("a bare key", try PeerAddress(decoding: address.publicKey.bytes), PeerAddress(publicKey: address.publicKey))
        exam.equal(
            "z-base-32", PeerAddress(text: ZBase32.encode(address.publicKey.bytes))?.publicKey, address.publicKey)
        exam.equal("hexadecimal", PeerAddress(text: "\(address.publicKey)")?.publicKey, address.publicKey)
    }
}
