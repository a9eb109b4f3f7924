import CompactEncoding
import Conformance
import HyperCrypto

/// vectors/keys, namespaces, topic-hash, ed25519-dh: what is derived from what.
enum DerivationVectors {
    static let checks: [Check] = [
        Check("ground.keys", ["HDHT-1"], .vector, .codec) { exam in
            try VectorFile("keys", in: exam.corpus).examine(exam, keys)
        },
        Check("ground.namespaces", [], .vector, .codec) { exam in
            try VectorFile("namespaces", in: exam.corpus).examine(exam, namespaces)
        },
        Check("ground.topic-hash", [], .vector, .codec) { exam in
            try VectorFile("topic-hash", in: exam.corpus).examine(exam) { node in
                let name = Array(try node["name"].string().utf8)
                try node["blake2b256"].expect(Blake2b.hash256(name))
                try node["sha256"].expect(SHA256.hash(name))
            }
        },
        Check("noise.ed25519-dh", ["NOISE-4", "NOISE-9"], .vector, .codec) { exam in
            try VectorFile("ed25519-dh", in: exam.corpus).examine(exam) { try sharedPoints($0, exam) }
        },
    ]

    private static func keys(_ node: VectorNode) throws {
        guard let pair = KeyPair(seed: try node["seed"].bytes()) else {
            throw VectorNode.Mismatch(path: "\(node.path).seed", expected: "32 bytes", actual: "another length")
        }
        try node["publicKey"].expect(pair.publicKey)
        try node["secretKey"].expect(pair.secretKey)
        try node["target"].expect(pair.target)
        try node["discoveryKey"].expect(KeyPair.discoveryKey(of: pair.publicKey))
        let text = try node["z32"]
        text.expect(pair.publicKey.zBase32)
        // And back.
        try node["publicKey"].expect(Bytes32(keyText: try text.string()))
    }

    private static func namespaces(_ node: VectorNode) throws {
        let name = try node["namespace"].string()
        let index = try node["index"].uint()
        try node["output"].expect(Namespace.derive(name, UInt8(truncatingIfNeeded: index)))
        // The id says the same once more, by command name in the DHT's namespace.
        let constants: [String: Bytes32] = [
            "hyperswarm/dht:ANNOUNCE": Namespace.announce, "hyperswarm/dht:UNANNOUNCE": Namespace.unannounce,
            "hyperswarm/dht:MUTABLE_PUT": Namespace.mutablePut, "hyperswarm/dht:PEER_HANDSHAKE": Namespace.peerHandshake,
            "hyperswarm/dht:PEER_HOLEPUNCH": Namespace.peerHolepunch, "hyperswarm/dht:PLUGIN": Namespace.plugin,
            "hyperswarm/secret-stream:0": Namespace.initiator, "hyperswarm/secret-stream:1": Namespace.responder,
            "hyperswarm/secret-stream:2": Namespace.send,
        ]
        if let constant = constants[try node["id"].string()] { try node["output"].expect(constant) }
    }

    private static func sharedPoints(_ node: VectorNode, _ exam: Examination) throws {
        let a = try pair(node["secretKeyA"])
        if let comment = node.optional("comment") {
            let expected = hostilePoints[try comment.string()]
            try node["publicKeyB"].expect(expected)
            let point = try node["publicKeyB"].bytes32()
            try node["shared"].expect(Ed25519.sharedPoint(secretKey: a.secretKey, publicKey: point))
            try node["error"].expect("status: -1")
            return
        }
        let b = try pair(node["secretKeyB"])
        try node["publicKeyA"].expect(a.publicKey)
        try node["publicKeyB"].expect(b.publicKey)
        let shared = Ed25519.sharedPoint(secretKey: a.secretKey, publicKey: b.publicKey)
        try node["shared"].expect(shared)
        try node["shared"].expect(Ed25519.sharedPoint(secretKey: b.secretKey, publicKey: a.publicKey))
        exam.require(
            "\(node.path): X25519 of the converted keys",
            Ed25519.convertedX25519(secretKey: a.secretKey, publicKey: b.publicKey) != (try node["shared"].bytes()),
            "equals the Edwards product")
    }

    /// The pair of a 64-byte secret key, which must be what its seed gives.
    static func pair(_ node: VectorNode) throws -> KeyPair {
        let secret = try node.bytes()
        guard let pair = KeyPair(seed: Array(secret.prefix(32))) else {
            throw VectorNode.Mismatch(path: node.path, expected: "64 bytes", actual: "\(secret.count)")
        }
        node.expect(pair.secretKey)
        return pair
    }

    /// Points of noise.md 4.1 and the vectors, by name. NOISE-9.
    static let hostilePoints: [String: Bytes32] = {
        var points: [String: Bytes32] = [:]
        for (name, text) in [
            ("identity", "01" + String(repeating: "00", count: 31)),
            ("order 2", "ec" + String(repeating: "ff", count: 30) + "7f"),
            ("zero (order 4)", String(repeating: "00", count: 32)),
            ("order 8", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            ("another of order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            ("non-canonical zero", "ed" + String(repeating: "ff", count: 30) + "7f"),
            ("non-canonical y", String(repeating: "ff", count: 31) + "7f"),
            ("off curve", "02" + String(repeating: "00", count: 31)),
        ] {
            points[name] = Hex.decode(text).flatMap { Bytes32($0) }
        }
        return points
    }()
}
