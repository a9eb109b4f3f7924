import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO
import StrictJSON

/// HyperDHT's records from the outside: announces, lookups, puts and gets, with every form that must be refused.
enum RecordProbes {
    static let probes: [Probe] = asking + announcing + topics + mutable + immutable + clients

    private static func probe(
        _ slug: String, _ requirement: String, needs: [String] = [], _ run: @escaping @Sendable (RecordProbing) throws -> Void
    ) -> Probe {
        .dht("hyperdht", slug, [requirement], needs: needs) { dht in try run(RecordProbing(dht)) }
    }

    private static let asking: [Probe] = [
        probe("find-peer-unknown", "HDHT-3") { it in
            let known = try it.dht.context.tester()
            let node = try it.dht.bootstrapper(knows: [known])
            let response = try it.expect("FIND_PEER", it.ask(node, .findPeer, target: it.topic))
            it.exam.equal("error", response.error, 0)
            it.exam.require("token", response.token != nil, "none")
            it.exam.equal("closerNodes", response.closerNodes, [known.endpoint])
            it.exam.require("value", response.value == nil, "present")
        },
        probe("find-peer-without-target", "HDHT-4") { it in
            let node = try it.dht.bootstrapper()
            try it.expectSilence("FIND_PEER", node, .findPeer, target: nil)
        },
        probe("ephemeral-node", "HDHT-5") { it in
            let known = try it.dht.context.tester()
            let node = try it.dht.start(["bootstrap": [], "ephemeral": true, "port": 0])
            try it.dht.introduce([known], to: node)
            for command in [HyperDHTCommand.findPeer, .lookup, .mutablePut, .immutablePut] {
                let response = try it.expect(command.description, it.ask(node, command, target: it.topic, value: [1, 2, 3]))
                it.exam.equal("\(command) error", response.error, 1)
                it.exam.equal("\(command) closerNodes", response.closerNodes, [known.endpoint])
                it.exam.require("\(command) token", response.token == nil, "present")
            }
        },
        probe("unknown-command", "HDHT-6") { it in
            let node = try it.dht.bootstrapper()
            let response = try it.expect("command 11", it.ask(node, HyperDHTCommand(rawValue: 11), target: it.topic))
            it.exam.equal("error", response.error, 1)
        },
        probe("plugins", "HDHT-33") { it in
            let node = try it.dht.bootstrapper()
            let value = PluginMessage(plugin: "nobody-has-this", version: 1, command: 0).encoded
            try it.expectSilence("PLUGIN", node, .plugin, target: it.topic, value: value)
        },
    ]

    private static let announcing: [Probe] = [
        probe("self-announce", "HDHT-7") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            let response = try it.expect("ANNOUNCE", it.announce(node, key, target: key.target))
            it.dht.isPlainOK(response, "ANNOUNCE")
            let found = try it.expect("FIND_PEER", it.ask(node, .findPeer, target: key.target))
            it.exam.bytes("FIND_PEER value", found.value, key.publicKey.bytes + [0])
        },
        probe("bad-signature", "HDHT-8") { it in
            try it.refused { $0.signature?[10] ^= 1 }
        },
        probe("another-nodes-id", "HDHT-9") { it in
            try it.refused(nodeID: Blake2b.hash256([1]))
        },
        probe("wrong-namespace", "HDHT-10") { it in
            try it.refused(purpose: .unannounce)
        },
        probe("token-missing-or-wrong", "HDHT-11") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            let token = try it.token(node)
            let message = it.announcement(node, key, target: key.target, token: token)
            try it.expectSilence("without token", node, .announce, target: key.target, value: message.encoded)
            let wrong = try it.expect(
                "with a wrong token",
                it.ask(node, .announce, target: key.target, value: message.encoded, token: Blake2b.hash256([9])))
            it.exam.equal("error", wrong.error, 2)
            try it.expectNoRecord(node, key)
        },
        probe("no-signature", "HDHT-12") { it in
            try it.refused { $0.signature = nil }
        },
        probe("another-target", "HDHT-13") { it in
            try it.refused(signedTarget: Blake2b.hash256([3]))
        },
        probe("unannounce", "HDHT-21") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            for (target, command) in [(key.target, HyperDHTCommand.findPeer), (it.topic, .lookup)] {
                _ = try it.expect("ANNOUNCE", it.announce(node, key, target: target))
                let before = try it.expect("\(command)", it.ask(node, command, target: target))
                it.exam.require("\(command) before", before.value != nil, "no record")
                let token = try it.token(node)
                let message = it.announcement(node, key, target: target, token: token, purpose: .unannounce)
                let response = try it.expect(
                    "UNANNOUNCE", it.ask(node, .unannounce, target: target, value: message.encoded, token: token))
                it.exam.equal("UNANNOUNCE error", response.error, 0)
                let after = try it.expect("\(command) afterwards", it.ask(node, command, target: target))
                it.exam.require("\(command) afterwards", after.value == nil, "still a record")
            }
        },
        probe("unannounce-by-another", "HDHT-22") { it in
            let node = try it.dht.bootstrapper()
            let (key, other) = (it.key(1), it.key(2))
            _ = try it.expect("ANNOUNCE", it.announce(node, key, target: key.target))
            let token = try it.token(node)
            let peer = PeerRecord(publicKey: key.publicKey)
            let message = AnnounceMessage(
                peer: peer,
                signature: RecordSignature.sign(
                    .unannounce, target: key.target, token: token, nodeID: node.id ?? .zero, peer: peer, keyPair: other))
            try it.expectSilence("UNANNOUNCE", node, .unannounce, target: key.target, value: message.encoded, token: token)
            let after = try it.expect("FIND_PEER", it.ask(node, .findPeer, target: key.target))
            it.exam.require("the record", after.value != nil, "gone")
        },
        probe("refresh", "HDHT-23") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            let h0 = Blake2b.hash256([5])
            let h1 = Blake2b.hash256(h0.bytes)
            _ = try it.expect("ANNOUNCE", it.announce(node, key, target: it.topic, refresh: h1))
            let token = try it.token(node)
            let refreshed = try it.expect(
                "refresh", it.ask(node, .announce, target: it.topic, value: AnnounceMessage(refresh: h0).encoded, token: token))
            it.exam.equal("refresh error", refreshed.error, 0)
            try it.expectSilence(
                "unknown refresh", node, .announce, target: it.topic, value: AnnounceMessage(refresh: Blake2b.hash256([6])).encoded,
                token: token)
        },
    ]

    private static let topics: [Probe] = [
        probe("relay-addresses", "HDHT-14") { it in
            let node = try it.dht.bootstrapper()
            let relays = (1...5).map { Endpoint(.v4(0x0a00_0000 + UInt32($0)), 1000 + UInt16($0)) }
            it.dht.isPlainOK(try it.expect("ANNOUNCE", it.announce(node, it.key(1), target: it.topic, relays: relays)), "ANNOUNCE")
            let reply = try it.lookup(node)
            it.exam.equal("peers", reply?.peers, [PeerRecord(publicKey: it.key(1).publicKey, relayAddresses: Array(relays.prefix(3)))])
        },
        probe("one-record-a-key", "HDHT-15a") { it in
            let reply = try it.announceTwice()
            it.exam.equal("records", reply?.peers.count, 1)
        },
        probe("the-later-record", "HDHT-15b") { it in
            let reply = try it.announceTwice()
            it.exam.equal("relay addresses", reply?.peers.first?.relayAddresses, [Endpoint(.v4(0x0a00_0002), 1002)])
        },
        probe("twenty-records", "HDHT-16") { it in
            let node = try it.dht.bootstrapper()
            for number in 1...25 { _ = try it.expect("ANNOUNCE", it.announce(node, it.key(UInt8(number)), target: it.topic)) }
            let reply = try it.lookup(node)
            it.exam.equal("records", reply?.peers.count, 20)
            it.exam.equal("different keys", Set(reply?.peers.map(\.publicKey) ?? []).count, 20)
        },
        probe("bump", "HDHT-17", needs: ["clock"]) { it in
            let node = try it.dht.bootstrapper()
            let now = try it.milliseconds()
            for bump in [now, now - 5000] {
                _ = try it.expect("ANNOUNCE", it.announce(node, it.key(1), target: it.topic, bump: bump))
                it.exam.equal("bump", try it.lookup(node)?.bump, now)
            }
        },
        probe("bump-of-the-future", "HDHT-18", needs: ["clock"]) { it in
            let node = try it.dht.bootstrapper()
            let now = try it.milliseconds()
            _ = try it.expect("ANNOUNCE", it.announce(node, it.key(1), target: it.topic, bump: now))
            let response = try it.expect("ANNOUNCE", it.announce(node, it.key(1), target: it.topic, bump: now + 3_600_000))
            it.exam.equal("error", response.error, 0)
            it.exam.equal("bump", try it.lookup(node)?.bump, now)
        },
        probe("empty-topic", "HDHT-19") { it in
            let node = try it.dht.bootstrapper()
            let response = try it.expect("LOOKUP", it.ask(node, .lookup, target: it.topic))
            it.exam.require("value", response.value == nil, "present")
            it.exam.require("token", response.token != nil, "none")
        },
        probe("own-record-kept", "HDHT-74", needs: ["listen"]) { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(193)
            try it.dht.peer.request("listen", ["node": node.handle, "seed": .string(Hex.encode([UInt8](repeating: 193, count: 32)))])
            let before = try it.expect("FIND_PEER", it.ask(node, .findPeer, target: key.target))
            let token = try it.token(node)
            let message = it.announcement(
                node, key, target: key.target, token: token, relays: [Endpoint(.v4(0x0a00_0001), 1001)])
            _ = try it.ask(node, .announce, target: key.target, value: message.encoded, token: token, within: 600)
            let after = try it.expect("FIND_PEER", it.ask(node, .findPeer, target: key.target))
            it.exam.bytes("the record", after.value, before.value ?? [])
            it.exam.require("a record", before.value != nil, "none")
        },
    ]

    private static let mutable: [Probe] = [
        probe("mutable", "HDHT-24") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            let response = try it.expect("MUTABLE_PUT", it.put(node, key, seq: 1, value: Array("one".utf8)))
            it.exam.equal("MUTABLE_PUT error", response.error, 0)
            let got = try it.expect("MUTABLE_GET", it.ask(node, .mutableGet, target: key.target, value: MutableGetRequest(seq: 0).encoded))
            it.exam.require("token", got.token != nil, "none")
            let record = MutableRecord(
                seq: 1, value: Array("one".utf8), signature: RecordSignature.signMutable(seq: 1, value: Array("one".utf8), keyPair: key))
            it.exam.bytes("value", got.value, record.encoded)
        },
        probe("mutable-newer-wanted", "HDHT-25") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            _ = try it.expect("MUTABLE_PUT", it.put(node, key, seq: 1, value: [1]))
            let got = try it.expect("MUTABLE_GET", it.ask(node, .mutableGet, target: key.target, value: MutableGetRequest(seq: 2).encoded))
            it.exam.equal("error", got.error, 0)
            it.exam.require("value", got.value == nil, "present")
        },
        probe("mutable-get-without-value", "HDHT-26") { it in
            let node = try it.dht.bootstrapper()
            try it.expectSilence("MUTABLE_GET", node, .mutableGet, target: it.key(1).target)
        },
        probe("mutable-seq", "HDHT-27") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            for (seq, value, error): (UInt64, UInt8, UInt64) in [(5, 1, 0), (5, 1, 0), (5, 2, 16), (4, 1, 17), (6, 3, 0)] {
                let response = try it.expect("MUTABLE_PUT", it.put(node, key, seq: seq, value: [value]))
                it.exam.equal("seq \(seq) value \(value) error", response.error, error)
            }
        },
        probe("mutable-refused", "HDHT-28") { it in
            let node = try it.dht.bootstrapper()
            let key = it.key(1)
            let token = try it.token(node)
            var message = MutablePutRequest(
                publicKey: key.publicKey, seq: 1, value: [1], signature: RecordSignature.signMutable(seq: 1, value: [1], keyPair: key))
            try it.expectSilence("another target", node, .mutablePut, target: it.topic, value: message.encoded, token: token)
            try it.expectSilence("no token", node, .mutablePut, target: key.target, value: message.encoded)
            message.signature[0] ^= 1
            try it.expectSilence("bad signature", node, .mutablePut, target: key.target, value: message.encoded, token: token)
            let got = try it.expect("MUTABLE_GET", it.ask(node, .mutableGet, target: key.target, value: MutableGetRequest(seq: 0).encoded))
            it.exam.require("value", got.value == nil, "stored")
        },
    ]

    private static let immutable: [Probe] = [
        probe("immutable", "HDHT-29") { it in
            let node = try it.dht.bootstrapper()
            let value = Array("hello".utf8)
            let target = Blake2b.hash256(value)
            let token = try it.token(node)
            let response = try it.expect("IMMUTABLE_PUT", it.ask(node, .immutablePut, target: target, value: value, token: token))
            it.exam.equal("error", response.error, 0)
            let got = try it.expect("IMMUTABLE_GET", it.ask(node, .immutableGet, target: target))
            it.exam.bytes("value", got.value, value)
        },
        probe("immutable-wrong-target", "HDHT-30") { it in
            let node = try it.dht.bootstrapper()
            let token = try it.token(node)
            try it.expectSilence("IMMUTABLE_PUT", node, .immutablePut, target: it.topic, value: Array("hello".utf8), token: token)
        },
    ]

    /// The peer as client, testers as nodes.
    private static let clients: [Probe] = [
        probe("lookup-without-bump", "HDHT-20", needs: ["lookup"]) { it in
            let peer = PeerRecord(publicKey: it.key(1).publicKey)
            let whole = LookupReply(peers: [peer]).encoded
            let found = try it.client("lookup", ["topic": it.text(it.topic)], number: 3) { _, _ in Array(whole.dropLast()) }
            let keys = found["results"]?.array?.flatMap { $0["peers"]?.array ?? [] }.compactMap { $0["publicKey"]?.string } ?? []
            it.exam.equal("peers", Set(keys), [Hex.encode(peer.publicKey.bytes)])
        },
        probe("immutable-get-lie", "HDHT-31", needs: ["immutableGet"]) { it in
            let value = Array("hello".utf8)
            let found = try it.client("immutableGet", ["hash": it.text(Blake2b.hash256(value))], number: 9) { index, _ in
                index == 0 ? Array("jello".utf8) : value
            }
            it.exam.equal("found", found["found"]?.bool, true)
            it.exam.equal("value", found["value"]?.string, Hex.encode(value))
        },
        probe("mutable-get-lie", "HDHT-32", needs: ["mutableGet"]) { it in
            let key = it.key(1)
            let found = try it.client("mutableGet", ["publicKey": it.text(key.publicKey)], number: 7) { index, _ in
                var record = MutableRecord(
                    seq: index == 0 ? 9 : 3, value: [UInt8(index)],
                    signature: RecordSignature.signMutable(seq: index == 0 ? 9 : 3, value: [UInt8(index)], keyPair: key))
                if index == 0 { record.signature[3] ^= 1 }
                return record.encoded
            }
            it.exam.equal("found", found["found"]?.bool, true)
            it.exam.equal("seq", found["seq"]?.integer, 3)
        },
        probe("mutable-get-too-old", "HDHT-32", needs: ["mutableGet"]) { it in
            let key = it.key(1)
            let found = try it.client("mutableGet", ["publicKey": it.text(key.publicKey), "seq": 5], number: 7) { _, _ in
                MutableRecord(seq: 3, value: [3], signature: RecordSignature.signMutable(seq: 3, value: [3], keyPair: key)).encoded
            }
            it.exam.equal("found", found["found"]?.bool, false)
        },
        probe("undecodable-values", "HDHT-76", needs: ["lookup", "findPeer"]) { it in
            let peer = PeerRecord(publicKey: it.key(1).publicKey)
            let looked = try it.client("lookup", ["topic": it.text(it.topic)], number: 3) { index, _ in
                index == 0 ? [0xfe, 0xff] : LookupReply(peers: [peer]).encoded
            }
            let keys = looked["results"]?.array?.flatMap { $0["peers"]?.array ?? [] }.compactMap { $0["publicKey"]?.string } ?? []
            it.exam.equal("LOOKUP peers", Set(keys), [Hex.encode(peer.publicKey.bytes)])
            let found = try it.client("findPeer", ["publicKey": it.text(peer.publicKey)], number: 2) { index, _ in
                index == 0 ? [1, 2, 3] : peer.encoded
            }
            let records = found["results"]?.array?.compactMap { $0["peer"]?["publicKey"]?.string } ?? []
            it.exam.equal("FIND_PEER keys", Set(records), [Hex.encode(peer.publicKey.bytes)])
        },
    ]
}
