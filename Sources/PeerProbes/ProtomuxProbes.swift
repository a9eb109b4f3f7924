import CompactEncoding
import Conformance
import LivePeers
import SansIO
import StrictJSON

/// Protomux on a stand-alone secret-stream: every message of the tester is written byte by byte.
enum ProtomuxProbes {
    static func probe(
        _ slug: String, _ requirements: [String], needs: [String] = [], _ run: @escaping @Sendable (ProbeContext) throws -> Void
    ) -> Probe {
        let channels = ["secretStream.listen", "channel.open", "channel.send", "channel.close"]
        return Probe("protomux", slug, requirements, needs: channels + needs, run: run)
    }

    static let probes: [Probe] = opening + data + sending + malformed + closing

    /// Bytes that a channel's name takes: a length and ASCII.
    private static func text(_ name: String) -> [UInt8] { [UInt8(name.utf8.count)] + Array(name.utf8) }

    static func open(_ id: UInt8, _ name: String, channel: [UInt8] = [], handshake: [UInt8] = []) -> [UInt8] {
        [0, 1, id] + text(name) + [UInt8(channel.count)] + channel + handshake
    }

    static func channels(_ names: [String], handshake: JSON = .null, id: JSON = .null, messages: Int = 4) -> JSON {
        .array(names.map { ["protocol": .string($0), "channelId": id, "handshake": handshake, "messages": .integer(messages)] })
    }

    /// A tester, and the handle of the channel that the peer opened at once.
    static func meet(_ context: ProbeContext, _ channels: JSON) throws -> (tester: SecretTester, channel: JSON) {
        let tester = try SecretTester(context, receive: "protomux", channels: channels)
        let event = try context.event("channel", seconds: 5) { $0["stream"] == tester.stream }
        return (tester, try event.handle("channel"))
    }

    static func says(_ context: ProbeContext, _ tester: SecretTester, _ field: String, _ wanted: [[UInt8]]) throws {
        try tester.read(2500, until: { tester.messages.count >= wanted.count })
        context.exam.equal(field, tester.messages.prefix(wanted.count).map { Hex.encode($0) }, wanted.map { Hex.encode($0) })
    }

    private static func received(_ context: ProbeContext, _ channel: JSON, _ count: Int, within seconds: Double = 3) -> [String] {
        var result: [String] = []
        while result.count < count,
            let event = try? context.peer.event("channelMessage", seconds: seconds, where: { $0["channel"] == channel })
        {
            result.append("\(event["type"]?.integer ?? -1):\(event["data"]?.string ?? "")")
        }
        return result
    }

    static func opens(_ context: ProbeContext, _ channel: JSON, within seconds: Double = 3) -> JSON? {
        try? context.peer.event("channelOpen", seconds: seconds, where: { $0["channel"] == channel })
    }

    private static func closes(_ context: ProbeContext, _ channel: JSON, within seconds: Double = 3) -> JSON? {
        try? context.peer.event("channelClose", seconds: seconds, where: { $0["channel"] == channel })
    }

    private static func destroyed(_ context: ProbeContext, _ tester: SecretTester, _ field: String) throws {
        try tester.read(3000)
        context.exam.require(field, tester.hasPeerEnded, "the connection is still open")
    }

    /// The connection still carries: an open for an unknown protocol is refused.
    private static func expectAlive(_ context: ProbeContext, _ tester: SecretTester, id: UInt8) throws {
        try tester.write(open(id, "nobody"))
        try tester.read(2500, until: { tester.messages.contains([0, 2, id]) })
        context.exam.require(
            "a refusal afterwards", tester.messages.contains([0, 2, id]), tester.messages.map { Hex.encode($0) }.joined(separator: " "))
    }

    private static let opening: [Probe] = [
        probe("open-message", ["MUX-1"]) { context in
            let (tester, _) = try meet(context, channels(["test"], handshake: "026869", id: "61626364"))
            try says(context, tester, "the open", [open(1, "test", channel: Array("abcd".utf8), handshake: [2, 0x68, 0x69])])
        },
        probe("pairing", ["MUX-2"]) { context in
            let (tester, channel) = try meet(context, channels(["test"], handshake: "026869", id: "61626364"))
            try tester.write(open(1, "test", channel: Array("abcd".utf8), handshake: [2, 0x79, 0x6f]))
            context.exam.equal("handshake", opens(context, channel)?["handshake"]?.string, "02796f")
            context.exam.require("once", opens(context, channel, within: 0.3) == nil, "opened twice")
        },
        probe("another-id", ["MUX-3"]) { context in
            let (tester, channel) = try meet(context, channels(["test"], id: "61626364"))
            try tester.write(open(1, "test", channel: Array("abce".utf8)))
            try says(context, tester, "open and refusal", [open(1, "test", channel: Array("abcd".utf8)), [0, 2, 1]])
            context.exam.require("not paired", opens(context, channel, within: 0.3) == nil, "opened")
        },
        probe("unknown-protocol", ["MUX-5"]) { context in
            let tester = try SecretTester(context, receive: "protomux")
            try tester.write(open(1, "nope"))
            try says(context, tester, "the refusal", [[0, 2, 1]])
            try expectAlive(context, tester, id: 2)
        },
        probe("refused", ["MUX-6"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try says(context, tester, "the open", [open(1, "test")])
            try tester.write([0, 2, 1])
            context.exam.equal("closed by the remote", closes(context, channel)?["remote"]?.bool, true)
            try context.peer.request("channel.open", ["stream": tester.stream, "protocol": "again"])
            try says(context, tester, "the id again", [open(1, "test"), open(1, "again")])
        },
        probe("empty-and-absent-id", ["MUX-24"]) { context in
            let (tester, channel) = try meet(context, channels(["test"], id: ""))
            try tester.write(open(1, "test"))
            context.exam.require("paired", opens(context, channel) != nil, "not opened")
        },
        probe("many-channels", ["MUX-17"]) { context in
            let names = (0..<64).map { "channel-\($0)" }
            let tester = try SecretTester(context, receive: "protomux", channels: channels(names))
            var handles: [String: JSON] = [:]
            for _ in names {
                let event = try context.event("channel", seconds: 5) { $0["stream"] == tester.stream }
                handles[event["protocol"]?.string ?? ""] = try event.handle("channel")
            }
            // Our ids count up, the names do not follow their order.
            let shuffled = names.indices.map { names[($0 * 37 + 11) % 64] }
            for (index, name) in shuffled.enumerated() { try tester.write(open(UInt8(index + 1), name)) }
            for (index, name) in shuffled.enumerated() { try tester.write([UInt8(index + 1), 0] + Array(name.utf8)) }
            for name in names {
                guard let channel = handles[name] else { throw ProbeError("no channel \(name)") }
                context.exam.equal("message on \(name)", received(context, channel, 1), ["0:" + Hex.encode(Array(name.utf8))])
            }
        },
        probe("equal-keys", ["MUX-18"]) { context in
            let tester = try SecretTester(context, receive: "protomux")
            var handles: [JSON] = []
            for number in 0..<2 {
                handles.append(
                    try context.peer.request(
                        "channel.open",
                        ["stream": tester.stream, "protocol": "twin", "unique": false, "handshake": .string("0\(number)")]
                    ).handle("channel"))
            }
            try tester.write(open(1, "twin", handshake: [7]))
            try tester.write(open(2, "twin", handshake: [8]))
            context.exam.equal("first", opens(context, handles[0])?["handshake"]?.string, "07")
            context.exam.equal("second", opens(context, handles[1])?["handshake"]?.string, "08")
        },
    ]

    private static let data: [Probe] = [
        probe("pipelined", ["MUX-4"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            for message in [open(1, "test"), [1, 0, 0x61], [1, 1, 0x62], [1, 0, 0x63]] { try tester.write(message) }
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            context.exam.equal("messages", received(context, channel, 3), ["0:61", "1:62", "0:63"])
        },
        probe("ignored", ["MUX-9"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            // An unknown channel, an unknown type, an unknown control type, nothing at all.
            for message: [UInt8] in [[9, 0, 1], [1, 99, 1], [0, 77, 1], []] { try tester.write(message) }
            try tester.write([1, 0, 0x61])
            context.exam.equal("messages", received(context, channel, 1), ["0:61"])
            try expectAlive(context, tester, id: 2)
        },
        probe("batch", ["MUX-13"]) { context in
            let (tester, channel) = try meet(context, channels(["test", "p3"]))
            let other = try context.event("channel", seconds: 5) { $0["stream"] == tester.stream }.handle("channel")
            try tester.write(open(1, "test"))
            let opened: [UInt8] = [1, 2, 2, 0x70, 0x33, 0]
            try tester.write([0, 0, 1, 3, 0, 1, 0x71, 0, 0, 6] + opened + [0, 2, 3, 0, 1, 0x72, 0, 1, 3, 0, 1, 0x73])
            context.exam.equal("messages of the first", received(context, channel, 2), ["0:0171", "0:0173"])
            context.exam.equal("messages of the second", received(context, other, 1), ["0:0172"])
        },
        probe("batch-of-one", ["MUX-15b"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            try tester.write([0, 0, 1, 3, 1, 0x61, 0x62])
            context.exam.equal("messages", received(context, channel, 1), ["1:6162"])
        },
        probe("long-integers", ["MUX-23"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write([0xfd, 0, 0, 0xfd, 1, 0, 0xfd, 1, 0] + text("test") + [0])
            try tester.write([0xfd, 1, 0, 0xfe, 0, 0, 0, 0, 0x61])
            context.exam.equal("messages", received(context, channel, 1), ["0:61"])
        },
    ]

    private static let malformed: [Probe] = [
        probe("id-gap-or-in-use", ["MUX-10"]) { context in
            let gap = try SecretTester(context, receive: "protomux", channels: channels(["test"]))
            try gap.write(open(5, "test"))
            try destroyed(context, gap, "a gap")
            let used = try SecretTester(context, receive: "protomux", channels: channels(["test", "more"]))
            try used.write(open(1, "test"))
            try used.write(open(1, "more"))
            try destroyed(context, used, "an id in use")
        },
        probe("refusal-of-nothing", ["MUX-11"]) { context in
            let tester = try SecretTester(context, receive: "protomux")
            try tester.write([0, 2, 9])
            try destroyed(context, tester, "a refusal of an unknown id")
        },
        probe("truncated", ["MUX-12"]) { context in
            let tester = try SecretTester(context, receive: "protomux")
            try tester.write([0])
            try destroyed(context, tester, "00 alone")
        },
        probe("batch-beyond-the-end", ["MUX-14"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            try tester.write([0, 0, 1, 9, 0, 0x61])
            try destroyed(context, tester, "an item beyond the end")
            context.exam.equal("messages", received(context, channel, 1, within: 0.2), [])
        },
        probe("id-zero", ["MUX-22"]) { context in
            let tester = try SecretTester(context, receive: "protomux", channels: channels(["test"]))
            try tester.write(open(0, "test"))
            try tester.read(1500)
            context.exam.require(
                "refused or destroyed", tester.hasPeerEnded || tester.messages.contains([0, 2, 0]), "neither")
            // Whatever it did, it lives.
            _ = try SecretTester(context, receive: "protomux")
        },
        probe("handshake-that-does-not-decode", ["MUX-27"]) { context in
            context.exam.notRun("the contract's handshakes are raw bytes: none fails to decode")
        },
    ]

    private static let closing: [Probe] = [
        probe("close", ["MUX-7"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            // Our id for the channel is another than the peer's.
            for message in [open(1, "nobody"), open(2, "test")] { try tester.write(message) }
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            try context.peer.request("channel.close", ["channel": channel])
            try says(context, tester, "open, refusal and close", [open(1, "test"), [0, 2, 1], [0, 3, 1]])
            try tester.write([2, 0, 0x61])
            try tester.write([0, 3, 2])
            context.exam.equal("messages", received(context, channel, 1, within: 0.3), [])
            try tester.read(300)
            context.exam.equal("no close comes back", tester.messages.count, 3)
        },
        probe("id-used-again", ["MUX-8", "MUX-7"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            try tester.write([0, 3, 1])
            context.exam.equal("closed by the remote", closes(context, channel)?["remote"]?.bool, true)
            try tester.read(300)
            context.exam.equal("no close comes back", tester.messages.map { Hex.encode($0) }, [Hex.encode(open(1, "test"))])
            let again = try context.peer.request("channel.open", ["stream": tester.stream, "protocol": "again"]).handle("channel")
            try tester.write(open(1, "again"))
            try tester.write([1, 0, 0x61])
            context.exam.equal("messages", received(context, again, 1), ["0:61"])
        },
        probe("crossing-closes", ["MUX-26"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            try context.peer.request("channel.close", ["channel": channel])
            try tester.write([0, 3, 1])
            let again = try context.peer.request("channel.open", ["stream": tester.stream, "protocol": "again"]).handle("channel")
            try tester.write(open(1, "again"))
            context.exam.require("opened again", opens(context, again) != nil, "not opened")
            context.exam.require("the connection", !tester.hasPeerEnded, "fell")
        },
        probe("remote-ends", ["MUX-25"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            tester.end()
            context.exam.equal("closed by the remote", closes(context, channel)?["remote"]?.bool, true)
            try tester.read(3000)
            context.exam.require("its own end", tester.hasPeerEnded, "the connection is still open")
        },
        probe("much-data-for-a-pending-channel", ["MUX-20"]) { context in
            context.exam.notRun("the contract can't make a peer answer an open late: it pairs or refuses at once")
        },
        probe("open-send-close-open", ["MUX-21b"]) { context in
            context.exam.notRun("the contract can't make a peer answer an open late: it pairs or refuses at once")
        },
    ]
}
