import CompactEncoding
import Conformance
import HyperCrypto
import HyperDHT
import Noise
import SansIO

/// Derivations and storage that no golden exchange shows.
enum HyperDHTMachineChecks {
    private static let tester = Endpoint(.loopback, 40200)

    static let checks: [Check] = [
        Check("hyperdht.key-pair", ["HDHT-1"], .vector, .codec) { exam in
            let pair = KeyPair(seed: [UInt8](repeating: 1, count: 32))
            exam.equal(
                "publicKey", pair?.publicKey.description, "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
            exam.equal(
                "target", pair.map { Blake2b.hash256($0.publicKey.bytes).description },
                "c5e21ab1c9f6022d81c3b25e3436cb7f1df77f9652ae3e1310c28e621dd87b4c")
            exam.equal("a seed of 31 bytes", KeyPair(seed: [UInt8](repeating: 1, count: 31)), nil)
        },
        Check("hyperdht.namespaces", ["HDHT-2"], .vector, .codec) { exam in
            let expected: [(String, Bytes32, String)] = [
                ("NS_ANNOUNCE", Namespace.announce, "36386adddf9f6fd60db83a6f42fc159d1146aa8644037664230aaa1f0179d497"),
                ("NS_UNANNOUNCE", Namespace.unannounce, "ded293cd93fb395e756ecf5fff426529e72c36eacc22e5ed944d9099a2561e32"),
                ("NS_MUTABLE_PUT", Namespace.mutablePut, "668e823edd5ce7f5338d68bf1161f4a3c28ce437ee2ab49efd30d99366039b1e"),
                ("NS_PEER_HANDSHAKE", Namespace.peerHandshake, "14d6d4b49214ab1033ed204976caa258bae9e1e8543b9ad1fd996a910b0c4e3a"),
                ("NS_PEER_HOLEPUNCH", Namespace.peerHolepunch, "f1191cd5e67b10b54a507033280ed1ff0e12278268d5679c8f93d417210d168b"),
                ("NS_PLUGIN", Namespace.plugin, "6b8a2a8623f28c6c02a1e22abe515ce31cafd9af61d4b69970639aa7eb96a8d5"),
            ]
            for (name, value, text) in expected { exam.equal(name, value.description, text) }
        },
        Check("hyperdht.later-record", ["HDHT-15a", "HDHT-15b"], .machine) { exam in
            let bench = HyperDHTBench(seed: exam.seed)
            let pair = try HyperDHTConnectChecks.keyPair(7)
            let topic = Blake2b.hash256(Array("example topic".utf8))
            let first = Endpoint(.v4(0x0a01_0101), 1)
            let second = Endpoint(.v4(0x0a01_0102), 2)
            exam.equal("first", bench.announce(pair, target: topic, relayAddresses: [first], from: tester)?.error, 0)
            exam.equal("second", bench.announce(pair, target: topic, relayAddresses: [second], from: tester)?.error, 0)
            let found = try bench.lookup(topic, from: tester)
            exam.equal("records", found?.peers.count, 1)
            exam.equal("relayAddresses", found?.peers.first?.relayAddresses, [second])
        },
        Check("hyperdht.fixed-handshake", ["HDHT-46"], .vector, .codec, run: fixedHandshake),
        Check("hyperdht.examples", ["HDHT-46", "HDHT-7", "HDHT-21", "HDHT-24"], .vector, .codec, run: examples),
    ]

    private static let sub = Endpoint(.v4(0xc633_6409), 41000)
    private static let node = Endpoint(.v4(0x0a01_0101), 49737)
    private static let other = Endpoint(.v4(0x0a01_0102), 49738)

    private static let clientPayload = NoisePayload(
        addresses4: [Endpoint(.v4(0xc0a8_010a), 49737)], udx: NoisePayload.UDXInfo(id: 0x0102_0304),
        secretStream: NoisePayload.SecretStreamInfo())
    private static let serverPayload = NoisePayload(
        holepunch: NoisePayload.HolepunchInfo(
            id: 0,
            relays: [
                NoisePayload.HolepunchInfo.Relay(relayAddress: node, peerAddress: sub),
                NoisePayload.HolepunchInfo.Relay(relayAddress: other, peerAddress: sub),
            ]), addresses4: [Endpoint(.v4(0xc0a8_0714), 49737)], udx: NoisePayload.UDXInfo(id: 0x0a0b_0c0d),
        secretStream: NoisePayload.SecretStreamInfo(), relayAddresses: [node, other])

    /// The whole handshake of hyperdht.md section 22: keys, ephemerals and payloads are fixed, so every byte is.
    private static func fixedHandshake(_ exam: Examination) throws {
        exam.bytes("client payload", clientPayload.encoded, hex("011a000001c0a8010a49c20100fe040302010001"))
        exam.bytes(
            "server payload", serverPayload.encoded,
            hex(
                "015b000000020a01010149c2c633640928a00a0101024ac2c633640928a001c0a8071449c20100fe0d0c0b0a0001020a01010149c20a0101024ac2"))
        let server = try HyperDHTConnectChecks.keyPair(1)
        let client = try HyperDHTConnectChecks.keyPair(2)
        let initiator = try HandshakeState(
            pattern: .ik, isInitiator: true, prologue: Namespace.peerHandshake.bytes, staticKeys: client, remoteStatic: server.publicKey,
            ephemeral: try HyperDHTConnectChecks.keyPair(3))
        let responder = try HandshakeState(
            pattern: .ik, isInitiator: false, prologue: Namespace.peerHandshake.bytes, staticKeys: server,
            ephemeral: try HyperDHTConnectChecks.keyPair(4))
        let first = try initiator.write(payload: clientPayload.encoded)
        exam.bytes(
            "message 1", first,
            hex(
                "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1eb98e814d9b061b59c29cb8a24bd293ee473e09abb37a0a40f29c9113dab177d939149ef1d5cb5e8eafb3b626eba3288d748bd565b35331091d541ce4b5b1ce3478be475ff120e7f9cac298e53350eda982a826e"
            ))
        exam.bytes("payload of message 1", try responder.read(first), clientPayload.encoded)
        let second = try responder.write(payload: serverPayload.encoded)
        exam.bytes(
            "message 2", second,
            hex(
                "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7cf0c769ebb2cb0a7300f996e5b5cda874b72db0d33b6b6c79a0d234acf4aae3816aa26a20cf9dbbd7a4af45ea1c40c058f9c31fe16059d306a04211f207360d7fcca24147354e58819dd69b"
            ))
        exam.bytes("payload of message 2", try initiator.read(second), serverPayload.encoded)
        guard let result = initiator.result else { return exam.report("result", expected: "a finished handshake", actual: "none") }
        exam.bytes(
            "handshakeHash", result.hash,
            hex(
                "b2c47074793a38eeb5e082bb1724253b22bf63d519d4695f48f5c3e8d067ad9a3e165e4b2cf12362ccf549d7d3d0580018ca77716fc1706bde35379a4a306ff6"
            ))
        exam.bytes("tx", result.tx, hex("88f41322c8efc67f344de059727676294ec96ff366637cc0db4d57a58a03c3a1"))
        exam.bytes("rx", result.rx, hex("2d9e8726cff2116154a33281bfb730696d45a7dbc01ec0c702f82e9c83002685"))
        exam.equal("responder's keys", responder.result.map { [$0.tx, $0.rx] }, [result.rx, result.tx])
        exam.equal(
            "holepunchSecret", HolepunchBox(handshakeHash: result.hash).secret.description,
            "2fa027b83e92bba072a95b9c76f04d742f178af2b38460b67e301f5da50b182e")
    }

    /// Values of hyperdht.md section 22, byte for byte.
    private static func examples(_ exam: Examination) throws {
        let server = try HyperDHTConnectChecks.keyPair(1)
        let target = Blake2b.hash256(server.publicKey.bytes)
        guard let token = Bytes32((0..<32).map { UInt8($0) }),
            let nodeID = Bytes32(hex("da44256f86f129f43b51064b72fea547fac7d983bab51feab1f52b6ea6b179f4"))
        else { return exam.report("token", expected: "32 bytes", actual: "other") }
        var own = AnnounceMessage(peer: PeerRecord(publicKey: server.publicKey))
        let record = PeerRecord(publicKey: server.publicKey)
        own.signature = RecordSignature.sign(.announce, target: target, token: token, nodeID: nodeID, peer: record, keyPair: server)
        exam.bytes(
            "self ANNOUNCE", own.encoded,
            hex("05") + server.publicKey.bytes + [0]
                + hex(
                    "deba49670bd6c6d884fe67f26e27af89f1989b7c92a5f012edb2174c464abae64e11eae303e0ef1af19edffa71eaaeba16ebfa93575e86b8bae4f5f89699af04"
                ))
        own.signature = RecordSignature.sign(.unannounce, target: target, token: token, nodeID: nodeID, peer: record, keyPair: server)
        exam.bytes(
            "UNANNOUNCE", own.encoded,
            hex("05") + server.publicKey.bytes + [0]
                + hex(
                    "b84b3f816571a4528b2ee6171f094a325c6056b8482c1e8117e919bd8b1dd8eeae1b7b25a1fb1eeffbf16ce72c570c8b438e9803fa1e40fc800a355313322004"
                ))
        exam.bytes(
            "mutable signable", RecordSignature.mutableSignable(seq: 1, value: Array("hello".utf8)),
            hex(
                "668e823edd5ce7f5338d68bf1161f4a3c28ce437ee2ab49efd30d99366039b1eaa1b682ba34869f178c04f6b3864203a9da6e538b590c482c21bd8938c297b54"
            ))
        let probe = HolepunchPayload(remoteAddress: sub)
        exam.bytes("round 0", probe.encoded, hex("08000000c633640928a0"))
        let box = HolepunchBox(
            secret: Bytes32(hex("2fa027b83e92bba072a95b9c76f04d742f178af2b38460b67e301f5da50b182e")) ?? .zero)
        exam.bytes(
            "round 0, sealed", box.seal(probe, nonce: (0..<24).map { UInt8($0) }),
            hex("000102030405060708090a0b0c0d0e0f1011121314151617afc2c22434d56fcb9348c73dbf1ff7bc27b3e717844e247c30b0"))
        exam.equal(
            "token", HolepunchBox.token(localSecret: [UInt8](repeating: 5, count: 32), host: .v4(0xcb00_7107)).description,
            "cfeee3d7a75ebdd09feb1bf4f68a03940953e95aa064bb2996329cd2785c2a9e")
        exam.bytes("plugin", PluginMessage(plugin: "demo", version: 1, command: 0, value: [1, 2]).encoded, hex("0464656d6f010001020102"))
    }

    private static func hex(_ text: String) -> [UInt8] { Hex.decode(text) ?? [] }
}
