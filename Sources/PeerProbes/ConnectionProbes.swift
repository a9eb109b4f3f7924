import CompactEncoding
import Conformance
import HyperCrypto
import LivePeers
import SansIO
import SecretStream
import StrictJSON

/// Connections of HyperDHT, the peer as the server: the secret stream after a handshake done elsewhere, and its unordered messages.
enum ConnectionProbes {
    private static func probe(
        _ slug: String, _ requirements: [String], _ run: @escaping @Sendable (ServerProbing, ConnectionTester) throws -> Void
    ) -> Probe {
        .dht("secret-stream", slug, requirements, needs: ["listen", "send"]) { dht in
            let it = try ServerProbing(RecordProbing(dht))
            try run(it, ConnectionTester(it))
        }
    }

    static let probes: [Probe] = [
        probe("first-bytes-unasked", ["SS-2"]) { it, tester in
            // Nothing was sent over UDX: not even an acknowledgement.
            try tester.pass(3000, until: { tester.received.count >= 59 })
            let id = IDHeader.id(handshakeHash: tester.handshake.hash, isInitiator: false)
            it.exam.bytes("id header", Array(tester.received.prefix(35)), [0x38, 0, 0] + id.bytes)
            it.exam.require("a header of 24 bytes", tester.received.count >= 59, "\(tester.received.count) bytes in all")
        },
        probe("fresh-headers", ["SS-31"]) { it, tester in
            let other = try ConnectionTester(it, number: 71)
            for connection in [tester, other] { try connection.pass(3000, until: { connection.received.count >= 59 }) }
            let headers = [tester, other].map { Array($0.received.prefix(59).suffix(24)) }
            it.exam.require("header of 24 bytes", headers.allSatisfy { $0.count == 24 }, "\(headers.map(\.count))")
            it.exam.require("the second header", headers[0] != headers[1], "the same as the first: \(Hex.encode(headers[0]))")
        },
        .dht("hyperdht", "keep-alive", ["HDHT-70"], needs: ["listen"]) { dht in
            // The one as it stands, the other without; 11.5 s hold two or three.
            let testers = try ([[:], ["connectionKeepAlive": 0]] as [JSONObject]).map { more in
                try ConnectionTester(ServerProbing(RecordProbing(dht), node: more))
            }
            for tester in testers { try tester.open() }
            let start = Instant.now
            while (Instant.now - start).milliseconds < 11_500 { for tester in testers { try tester.pass(50) } }
            dht.exam.require("empty messages in 11.5 s", (2...3).contains(testers[0].keepAlives), "\(testers[0].keepAlives)")
            dht.exam.equal("with keepalive off", testers[1].keepAlives, 0)
        },
        probe("its-own-tags", ["SS-12", "SS-29"]) { it, tester in
            try tester.open()
            for text in ["01", "0203", "04"] { try it.context.peer.request("write", ["stream": tester.stream, "data": .string(text)]) }
            try tester.pass(3000, until: { tester.plaintexts.count >= 3 })
            it.exam.equal("messages", tester.plaintexts, [[1], [2, 3], [4]])
            it.exam.equal("tags", Set(tester.tags), [0])
        },
        probe("any-tag-is-delivered", ["SS-11"]) { it, tester in
            try tester.open()
            for (index, tag) in [UInt8(1), 2, 0, 3, 0, 0].enumerated() { try tester.writeMessage([UInt8(index)], tag: tag) }
            it.exam.equal("messages", try tester.delivered("data", 6), ["00", "01", "02", "03", "04", "05"])
        },
        probe("unordered-envelopes-sent", ["SS-22"]) { it, tester in
            try tester.open()
            for text in ["70696e67", "", "706f6e67"] {
                try it.context.peer.request("send", ["stream": tester.stream, "data": .string(text)])
            }
            try tester.pass(3000, until: { tester.envelopes.count >= 3 })
            it.exam.equal("messages", tester.messages.map { Hex.encode($0) }, ["70696e67", "", "706f6e67"])
            let counters = tester.envelopes.map { $0.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
            it.exam.equal("counters", counters, (0..<UInt64(counters.count)).map { (counters.first ?? 0) &+ $0 })
        },
        probe("unordered-envelopes-ignored", ["SS-23"]) { it, tester in
            try tester.open()
            var wrong = try tester.envelope([1, 2, 3])
            wrong[10] ^= 1
            for envelope in [[], [UInt8](repeating: 7, count: 8), [UInt8](repeating: 7, count: 23), wrong] { try tester.sendRaw(envelope) }
            try expectOnly(it, tester, "62")
        },
        probe("empty-unordered-message", ["SS-24"]) { it, tester in
            try tester.open()
            try tester.sendRaw(tester.envelope([]))
            it.exam.equal("messages", try tester.delivered("message", 1), [""])
        },
        probe("own-role-is-ignored", ["SS-25"]) { it, tester in
            try tester.open()
            try tester.sendRaw(tester.envelope([1, 2, 3], asInitiator: false))
            try expectOnly(it, tester, "62")
        },
        probe("replayed-unordered-message", ["SS-26"]) { it, tester in
            try tester.open()
            let envelope = try tester.envelope([0x61])
            for _ in 0..<2 { try tester.sendRaw(envelope) }
            try tester.sendRaw(tester.envelope([0x62]))
            let messages = try tester.delivered("message", 3, within: 1)
            it.exam.require("messages", messages == ["61", "61", "62"] || messages == ["61", "62"], "\(messages)")
            try tester.writeMessage([0x63])
            it.exam.equal("the stream", try tester.delivered("data", 1), ["63"])
        },
    ]

    /// A right message arrives, and nothing beside it; the stream stays up.
    private static func expectOnly(_ it: ServerProbing, _ tester: ConnectionTester, _ text: String) throws {
        try tester.sendRaw(tester.envelope(Hex.decode(text) ?? []))
        it.exam.equal("messages", try tester.delivered("message", 1), [text])
        try tester.writeMessage([0x63])
        it.exam.equal("the stream", try tester.delivered("data", 1), ["63"])
    }
}
