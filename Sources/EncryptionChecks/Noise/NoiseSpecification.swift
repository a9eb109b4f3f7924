import CompactEncoding
import Conformance
import HyperCrypto
import Noise

/// noise.md sections 5 and 12, with every intermediate value: where a transcript first differs is where the bug is.
enum NoiseSpecification {
    static let checks: [Check] = [
        Check("noise.ik-transcript", ["NOISE-1", "NOISE-3", "NOISE-24", "NOISE-25"], .vector, .codec, run: ik),
        Check("noise.xx-transcript", ["NOISE-2", "NOISE-3", "NOISE-22"], .vector, .codec, run: xx),
        Check("noise.shared-points", ["NOISE-4"], .vector, .codec, run: sharedPoints),
        Check("noise.key-derivation", ["NOISE-5"], .vector, .codec, run: keyDerivation),
    ]

    private static func ik(_ exam: Examination) throws {
        let initiator = try NoiseKeys.initiator(isTracing: true)
        let responder = try NoiseKeys.responder(isTracing: true)
        let first = try initiator.write(payload: [1, 0])
        exam.bytes(
            "msg1", first,
            NoiseKeys.hex(
                """
                ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1
                605c88a9067c5f85bd7499907d5c869548dd90bed5350bb2e7cb47efe61f60bc315838e49205f95b5a618d7c8c212eeb
                f0e7c17596e30a12d7181c036351e76d8626
                """))
        exam.bytes("payload 1", try responder.read(first), [1, 0])
        let second = try responder.write(payload: [2, 0])
        exam.bytes(
            "msg2", second,
            NoiseKeys.hex("ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7cf5d8ba698f1df57b5b5c3d6bd6e6983d7056"))
        exam.bytes("payload 2", try initiator.read(second), [2, 0])
        for (name, side) in [("initiator", initiator), ("responder", responder)] {
            try exam.at(name) {
                trace(exam, side, 0, "h0", hash: NoiseKeys.hex(name0("IK")))
                trace(
                    exam, side, 1, "prologue",
                    hash: NoiseKeys.hex(
                        "3fe4fd6ab7c8da0acc84b8c5592bc137fc9421fb475b8078383b5a0e05c7b6dea760fad38c1fcbeb4806372ed4e8029e67a19024fa33c92ae89a66b63bf055e7"
                    ))
                trace(
                    exam, side, 2, "rs",
                    hash: NoiseKeys.hex(
                        "c790644db568c8ae7f0132299e4720b8181e1ad03317d9b245ebecdc01d27c378963e8709830f7f50cdffbd297cef921bf5d7a290d282cc055252457b616e708"
                    ))
                trace(
                    exam, side, 3, "e",
                    hash: NoiseKeys.hex(
                        "fa0682a5eb54c5060df4559a2240d0409e4d2789f556306a09ba7c8c2db54f334d70e9f8f9adf5d2417925129e6870c6e2777217a8258ef2dc5b8295781cd84c"
                    ))
                trace(
                    exam, side, 4, "es",
                    chainingKey: NoiseKeys.hex(
                        "adb02260848380e4f2427c8e6f4c19187a088a112522d15d15eadbf69749b015a83192ae09dc0bdb5ed7a3532b1be7a52ff6f184f51dd5b82a0e151f46da4760"
                    ),
                    key: NoiseKeys.hex("727368d69f8f149c4725b37d1bc9fe0b9ad5de7e0fc33f0b922d41598e6901fe"))
                trace(
                    exam, side, 6, "ss",
                    chainingKey: NoiseKeys.hex(
                        "bb60501787e6c8d3cda509ac5de40e8664059a1a773f6480b2429bdd078a003578fb882e0d4b92cefb5eba2b6e075428678f7f38cc4021b34ec08fa9105b7a7b"
                    ),
                    key: NoiseKeys.hex("58896dcc49171851b70019b3e7f77507547df677d200d207a612a23ce3aa6153"))
                trace(
                    exam, side, 7, "payload",
                    hash: NoiseKeys.hex(
                        "5c52f7cbbbab4ac631aa941e5fdb6d49f9a4693c9e9f40d720669c1cba288cf451cec5ceed8b41eb4d030d0aae990deefe41867053717d6f9edd1eede6029b77"
                    ))
                trace(
                    exam, side, 10, "se",
                    chainingKey: NoiseKeys.hex(
                        "b3c504a7788640fad5f1bdd677bda9cbcdfcc322a908f49490623834ea6487090ab1519d128ea0f91f026442a527fb840be29814deba89871456a490c6b2d935"
                    ),
                    key: NoiseKeys.hex("8002bb66a123aec8f4886c8a777217940f1a1a42762ddd52f5531ae394da5475"))
                try result(
                    exam, side,
                    hash:
                        "1a85999f6026e9ec49f42c58ee38efe308c9cf3c4a25edfe3a460f1e2fb6e97bfed3336340290d638a6556e4673a14e5a55739e0a7428b12480278212ddd88e5",
                    initiatorTx: "cc00d99bd3a15a6779df38fd42fd25a84d73264023e7c1da95cf3bcbdce9c210",
                    initiatorRx: "78dd48ecef5d11fd953197694a8ee2d9f8d86d49d56d856e3dd7c8e78047826b")
                exam.equal(
                    "holepunchSecret", side.result?.holepunchSecret.description,
                    "00fc65f4e213f8e35d9899a55f415a20ea3d98b97687064d72344ebb14ff7fae")
            }
        }
    }

    private static func xx(_ exam: Examination) throws {
        let initiator = try NoiseKeys.xx(true, isTracing: true)
        let responder = try NoiseKeys.xx(false, isTracing: true)
        let messages = [
            "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
            """
            ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c
            8924380c5066a7dcffff1174cebcbfefc17dafd675f6dc2e688de867ff96c431a1fcb7f80997fba29d5bbc64a50e8d74
            e82bc092a89c62eacaf68db17bb5d0b5
            """,
            """
            585b6e8320c9dfc6764d48e242b912333244a85ae8769c90ee632f1d3bf6945d6d4729ee9c716f0f82946ce191158c48
            0d53f508585c93bb66354bbee6b8bdad
            """,
        ]
        for (index, text) in messages.enumerated() {
            let (sender, receiver) = index % 2 == 0 ? (initiator, responder) : (responder, initiator)
            let message = try sender.write()
            exam.bytes("msg\(index + 1)", message, NoiseKeys.hex(text))
            exam.bytes("payload \(index + 1)", try receiver.read(NoiseKeys.hex(text)), [])
        }
        for (name, side) in [("initiator", initiator), ("responder", responder)] {
            try exam.at(name) {
                trace(exam, side, 0, "h0", hash: NoiseKeys.hex(name0("XX")))
                trace(
                    exam, side, 1, "prologue",
                    hash: NoiseKeys.hex(
                        "ccb02d59b57b48c5bc64fafb7fc70680eb907d6830a9b039c39136733f44bbd6ebcddac9b202ff6bf777f1b1c8cb8cb964038751f8f11d8adb8ec976fea28f18"
                    ))
                trace(
                    exam, side, 3, "payload",
                    hash: NoiseKeys.hex(
                        "8d5639d10da79ed77cb85243e810cf27da9e8ad84c42a435ba5dbd80cb23c8f7ddfd6d505d86035d2501953bc4e906eadbe5c2a19db44eb239c10f08cd207ac8"
                    ))
                trace(
                    exam, side, 5, "ee",
                    chainingKey: NoiseKeys.hex(
                        "75803c4abfd95a03e9bdf121f35708facb2f85ae4d842ab704b7495719f8c02abe53a91f9bb14ff87e863ffcf5e3b12aa07b1f8d6a85474b22304e9a06870ec0"
                    ),
                    key: NoiseKeys.hex("d35a963239153d93ff9d269509fa895b379da65d04c949189b939003c3b1f7ef"))
                trace(exam, side, 7, "es", key: NoiseKeys.hex("9de914fa9dfa431f120716a8f848e3fb0989c71d2ccadbd0ddc58b06d60f90c6"))
                trace(
                    exam, side, 8, "payload",
                    hash: NoiseKeys.hex(
                        "831ff17dffb93cf80756527e70a2fc0d8f08f0570bb2390ec1ae66b0e616a0a27fd6b0e6333ad00e714275293e64ee3d8941ed2a583464ca50ed9619a03b78f4"
                    ))
                // NOISE-22: the static key of msg3 took nonce 1 under the key from es.
                trace(exam, side, 9, "s", key: NoiseKeys.hex("9de914fa9dfa431f120716a8f848e3fb0989c71d2ccadbd0ddc58b06d60f90c6"), nonce: 2)
                trace(
                    exam, side, 10, "se", key: NoiseKeys.hex("dd23e0243b5fafbce07d7ba70676da256723c1dea1538bc4602e005fc4e69fcd"), nonce: 0)
                try result(
                    exam, side,
                    hash:
                        "aa42bcea44d843e3803e549191ae7eac847a85dccf21ef3918a7cf228d87b7889b194cdb190b8b2cf82daf543e71e86871532b84ba1d7982489eb3040dcfc412",
                    initiatorTx: "36e72ba85cd0a2b5e7c9f44704a1757d7230c30dd39736e46f2190fcd1300c13",
                    initiatorRx: "29c4a931005b47aaf766f5ec7a119810eb15399b8612e79071f77447826dee17")
            }
        }
    }

    /// NOISE-25: 35 ASCII bytes and 29 zeros, not a hash.
    private static func name0(_ pattern: String) -> String {
        Hex.encode(Array("Noise_\(pattern)_Ed25519_ChaChaPoly_BLAKE2b".utf8)) + String(repeating: "00", count: 29)
    }

    private static func trace(
        _ exam: Examination, _ side: HandshakeState, _ index: Int, _ name: String, hash: [UInt8]? = nil, chainingKey: [UInt8]? = nil,
        key: [UInt8]? = nil, nonce: UInt64? = nil
    ) {
        guard side.trace.indices.contains(index) else { return exam.report("step \(index)", expected: name, actual: "no such step") }
        let step = side.trace[index]
        exam.equal("step \(index)", step.name, name)
        if let hash { exam.bytes("h after \(name)", step.hash, hash) }
        if let chainingKey { exam.bytes("ck after \(name)", step.chainingKey, chainingKey) }
        if let key { exam.bytes("k after \(name)", step.key, key) }
        if let nonce { exam.equal("n after \(name)", step.nonce, nonce) }
    }

    private static func result(
        _ exam: Examination, _ side: HandshakeState, hash: String, initiatorTx: String, initiatorRx: String
    ) throws {
        exam.bytes("hash", side.result?.hash, NoiseKeys.hex(hash))
        exam.bytes("tx", side.result?.tx, NoiseKeys.hex(side.isInitiator ? initiatorTx : initiatorRx))
        exam.bytes("rx", side.result?.rx, NoiseKeys.hex(side.isInitiator ? initiatorRx : initiatorTx))
        exam.equal("remote static", side.result?.remotePublicKey, try NoiseKeys.pair(side.isInitiator ? 2 : 1).publicKey)
    }

    private static func sharedPoints(_ exam: Examination) throws {
        let keys = try (1...4).map { try NoiseKeys.pair($0) }
        let publicKeys = [
            "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
            "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
            "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c",
        ]
        for (pair, text) in zip(keys, publicKeys) { exam.equal("public key", pair.publicKey.description, text) }
        for (name, a, b, text) in [
            ("es", 2, 1, "c6486a6fe639256725cf5aa11bb86028de15e038afedf17c2945bf5c6327f581"),
            ("ss", 0, 1, "5612509e82825296cbaaae306ffe1088cbbe200de8ba23dad06f67e607f861df"),
            ("ee", 2, 3, "1a8dc829b11bd3cfe852d10c138b4a786f89032c4613270b9d336dcc29b8e28f"),
            ("se", 0, 3, "4f52c01535abfc358239749eeda45ffd7396104eda46a3f7809589b1b58c81e2"),
        ] {
            let expected = NoiseKeys.hex(text)
            exam.bytes("\(name), one side", Ed25519.sharedPoint(secretKey: keys[a].secretKey, publicKey: keys[b].publicKey), expected)
            exam.bytes("\(name), other side", Ed25519.sharedPoint(secretKey: keys[b].secretKey, publicKey: keys[a].publicKey), expected)
            let converted = Ed25519.convertedX25519(secretKey: keys[a].secretKey, publicKey: keys[b].publicKey)
            exam.require("\(name): X25519 exists and differs", converted != nil && converted != expected, "equal")
        }
    }

    private static func keyDerivation(_ exam: Examination) throws {
        exam.bytes(
            "HMAC(kkkk, abc)", Blake2b.hmac512(key: Array("kkkk".utf8), Array("abc".utf8)),
            NoiseKeys.hex(
                "ab4aac19a588aa21a192f9b12eb6aaee23bc855153526f3e5287dbff23d356d7e3551fa2fbbb24652cf75f292a7a683742f371027110ff57cf3d90c76377fdcc"
            ))
        // By the definition, from the unkeyed hash alone.
        func hmac(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
            let block = (key.count > 128 ? Blake2b.hash512(key) : key) + [UInt8](repeating: 0, count: 128)
            let inner = Blake2b.hash512(block.prefix(128).map { $0 ^ 0x36 }, message)
            return Blake2b.hash512(block.prefix(128).map { $0 ^ 0x5c }, inner)
        }
        let long = [UInt8](repeating: 0x61, count: 131)
        exam.bytes("HMAC with a key above 128 bytes", Blake2b.hmac512(key: long, [1, 2, 3]), hmac(long, [1, 2, 3]))
        let chainingKey = [UInt8](repeating: 9, count: 64)
        let outputs = KeyDerivation.hkdf(chainingKey: chainingKey, input: [5, 6], count: 3)
        let root = hmac(chainingKey, [5, 6])
        let first = hmac(root, [1])
        let second = hmac(root, first + [2])
        for (index, expected) in [first, second, hmac(root, second + [3])].enumerated() {
            exam.bytes("HKDF output \(index + 1)", outputs.indices.contains(index) ? outputs[index] : nil, expected)
        }
    }
}
