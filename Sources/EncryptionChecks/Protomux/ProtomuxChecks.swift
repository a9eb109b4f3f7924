import CompactEncoding
import Conformance
import Protomux
import SansIO

/// Channels: opening, pairing, rejecting, closing, and the ids' rules. Scripted peers speak in bytes.
enum ProtomuxChecks {
    static let checks: [Check] = [
        Check("protomux.open-bytes", ["MUX-1"], .machine, run: openBytes),
        Check("protomux.opened-once", ["MUX-2"], .machine, run: openedOnce),
        Check("protomux.other-id", ["MUX-3"], .machine, run: otherID),
        Check("protomux.pipelined-data", ["MUX-4"], .machine, run: pipelined),
        Check("protomux.unknown-protocol", ["MUX-5"], .machine, run: unknownProtocol),
        Check("protomux.rejected", ["MUX-6"], .machine, run: rejected),
        Check("protomux.close", ["MUX-7"], .machine, run: close),
        Check("protomux.reuse-after-close", ["MUX-8"], .machine, run: reuseAfterClose),
        Check("protomux.ignored", ["MUX-9"], .machine, run: ignored),
        Check("protomux.invalid-open", ["MUX-10"], .machine, run: invalidOpen),
        Check("protomux.invalid-reject", ["MUX-11"], .machine, run: invalidReject),
        Check("protomux.truncated", ["MUX-12"], .machine, run: truncated),
        Check("protomux.many-channels", ["MUX-17"], .machine, run: manyChannels),
        Check("protomux.equal-keys", ["MUX-18"], .machine, run: equalKeys),
        Check("protomux.early-close", ["MUX-21a"], .machine, run: earlyClose),
        Check("protomux.open-id-0", ["MUX-22"], .machine, run: openIDZero),
        Check("protomux.long-integers", ["MUX-23"], .machine, run: longIntegers),
        Check("protomux.absent-id", ["MUX-24"], .machine, run: absentID),
        Check("protomux.end", ["MUX-25"], .machine, run: end),
        Check("protomux.crossing-closes", ["MUX-26"], .machine, run: crossingCloses),
        Check("protomux.bad-handshake", ["MUX-27"], .machine, run: badHandshake),
    ]

    static func hex(_ text: String) -> [UInt8] { NoiseKeys.hex(text) }

    static func test(_ id: [UInt8]? = Array("abcd".utf8), name: String = "test", isUnique: Bool = true) -> ChannelOptions {
        ChannelOptions(ChannelKey(name, id: id), isUnique: isUnique, messageCount: 2, handshakeType: Text.self)
    }

    /// A mux with one open channel "test"/"abcd": our id 1, the scripted peer's id 1.
    static func opened() throws -> (mux: Protomux, channel: ChannelHandle) {
        let mux = Protomux()
        let channel = try mux.open(test(), handshake: Text("hi").encoded)
        mux.receive(hex("0001 01 0474657374 0461626364 02796f"))
        _ = mux.takeEffects()
        _ = mux.takeEvents()
        return (mux, channel)
    }

    private static func openBytes(_ exam: Examination) throws {
        let mux = Protomux()
        let channel = try mux.open(test(), handshake: Text("hi").encoded)
        try mux.send(channel, type: 0, Text("pipelined").encoded)
        let messages = mux.takeMessages()
        exam.bytes("open", messages.first, hex("0001 01 0474657374 0461626364 026869"))
        exam.bytes("data", messages.last, hex("0100 09706970656c696e6564"))
        try mux.open(ChannelOptions(ChannelKey("nope"), messageCount: 0))
        exam.bytes("open without id and handshake", mux.takeMessages().first, hex("0001 02 046e6f7065 00"))
    }

    private static func openedOnce(_ exam: Examination) throws {
        let pair = MuxPair()
        try pair.a.open(test(), handshake: Text("from a").encoded)
        exam.equal("before the peer's open", pair.take(.a).texts, ["closed by remote"])
        try pair.a.open(test(), handshake: Text("from a").encoded)
        try pair.b.open(test(), handshake: Text("from b").encoded)
        exam.equal("a", pair.take(.a).texts, ["opened \(Hex.encode(Text("from b").encoded))"])
        exam.equal("b", pair.take(.b).texts, ["opened \(Hex.encode(Text("from a").encoded))"])
        exam.refuses("a second channel with this key") { _ = try pair.a.open(test()) }
    }

    private static func otherID(_ exam: Examination) throws {
        let mux = Protomux()
        try mux.open(test([1]), handshake: Text("hi").encoded)
        _ = mux.takeEffects()
        mux.receive(hex("0001 01 0474657374 0102 026869"))
        exam.equal("not paired", mux.takeEvents().texts, [])
        exam.equal("rejected", mux.takeEffects(), [.send(hex("0002 01"))])
        mux.receive(hex("0001 01 0474657374 0101 026869"))
        exam.equal("the right id pairs", mux.takeEvents().texts, ["opened 026869"])
    }

    private static func pipelined(_ exam: Examination) throws {
        let pair = MuxPair()
        pair.b.listen(for: ChannelKey("test"))
        let channel = try pair.a.open(test(), handshake: Text("hi").encoded)
        for number: UInt8 in 0..<4 { try pair.a.send(channel, type: UInt64(number % 2), [number]) }
        let requests = pair.take(.b)
        exam.equal("asked", requests.texts, ["requested test 61626364"])
        if let request = requests.requests.first { try pair.b.accept(request, test(), handshake: Text("yo").encoded) }
        exam.equal(
            "opened, then the data in order", pair.take(.b).texts,
            ["opened 026869", "message 0 00", "message 1 01", "message 0 02", "message 1 03"])
        exam.equal("a", pair.take(.a).texts, ["opened 02796f"])
    }

    private static func unknownProtocol(_ exam: Examination) throws {
        let (mux, channel) = try opened()
        mux.receive(hex("0001 02 046e6f7065 00"))
        exam.equal("effects", mux.takeEffects(), [.send(hex("0002 02"))])
        mux.receive(hex("0101 05"))
        exam.equal("the connection stays", mux.takeEvents(), [.message(channel, type: 1, payload: [5])])
    }

    private static func rejected(_ exam: Examination) throws {
        let mux = Protomux()
        try mux.open(test())
        mux.receive(hex("0002 01"))
        exam.equal("event", mux.takeEvents().texts, ["closed by remote"])
        exam.require("key is free", !mux.hasChannel(ChannelKey("test", id: Array("abcd".utf8))))
        _ = mux.takeEffects()
        try mux.open(test(nil), handshake: Text("hi").encoded)
        exam.bytes("the id again", mux.takeMessages().first, hex("0001 01 0474657374 00 026869"))
        // An id that is waited for has its own reject, once.
        mux.receive(hex("0002 01"))
        exam.equal("second channel", mux.takeEvents().texts, ["closed by remote"])
    }

    private static func close(_ exam: Examination) throws {
        // Our id 2, the peer's id 1.
        let mux = Protomux()
        try mux.open(test([1]))
        let channel = try mux.open(test())
        mux.receive(hex("0001 01 0474657374 0461626364 02796f"))
        _ = mux.takeEvents()
        _ = mux.takeEffects()
        mux.close(channel)
        exam.equal("bytes", mux.takeEffects(), [.send(hex("0003 02"))])
        exam.equal("event", mux.takeEvents().texts, ["closed"])
        mux.receive(hex("0100 0178"))
        exam.equal("later data", mux.takeEvents(), [])
        exam.equal("later data: answer", mux.takeEffects(), [])
        exam.require("a send after it", try !mux.send(channel, type: 0, []))
        // The peer's close is not answered.
        let (other, _) = try opened()
        other.receive(hex("0003 01"))
        exam.equal("peer's close", other.takeEvents().texts, ["closed by remote"])
        exam.equal("peer's close: answer", other.takeEffects(), [])
    }

    private static func reuseAfterClose(_ exam: Examination) throws {
        let (mux, _) = try opened()
        mux.listen(for: ChannelKey("test"))
        mux.receive(hex("0003 01"))
        _ = mux.takeEvents()
        // The peer uses its id 1 again, and so do we.
        mux.receive(hex("0001 01 0474657374 0461626364 02796f"))
        let events = mux.takeEvents()
        exam.equal("the peer's new channel", events.texts, ["requested test 61626364"])
        if let request = events.requests.first { try mux.accept(request, test(), handshake: Text("hi").encoded) }
        exam.equal("our open", mux.takeMessages(), [hex("0001 01 0474657374 0461626364 026869")])
        mux.receive(hex("0100 07"))
        exam.equal("it works", mux.takeEvents().texts, ["opened 02796f", "message 0 07"])
    }

    private static func ignored(_ exam: Examination) throws {
        let (mux, channel) = try opened()
        for (name, text) in [
            ("data on an unknown id", "0500 01"), ("unknown type", "0107 01"), ("unknown control type", "0009 0102"), ("empty", ""),
            ("close of an unknown id", "0003 09"), ("close of id 0", "0003 00"),
        ] {
            mux.receive(hex(text))
            exam.equal("\(name): events", mux.takeEvents(), [])
            exam.equal("\(name): effects", mux.takeEffects(), [])
        }
        exam.equal(
            "counted", mux.ignored,
            {
                var expected = Protomux.Ignored()
                expected.unknownChannel = 1
                expected.unknownType = 1
                expected.unknownControl = 1
                expected.empty = 1
                return expected
            }())
        mux.receive(hex("0100 2a"))
        exam.equal("the channel works", mux.takeEvents(), [.message(channel, type: 0, payload: [0x2a])])
    }

    private static func invalidOpen(_ exam: Examination) throws {
        for (name, texts) in [
            ("a gap", ["0001 03 0474657374 0461626364 00"]),
            ("an id in use by a pending open", ["0001 02 0474657374 0101 00", "0001 02 0474657374 0102 00"]),
            ("an id in use by a channel", ["0001 01 0474657374 0103 00"]), ("a huge id", ["0001 feffffffff 0474657374 0103 00"]),
        ] {
            let (mux, _) = try opened()
            mux.listen(for: ChannelKey("test"))
            for text in texts { mux.receive(hex(text)) }
            exam.require("\(name): ended", mux.isEnded)
            exam.require("\(name): event", mux.takeEvents().texts.last == "ended: invalidOpen")
            if case .destroy(let error)? = mux.takeEffects().last {
                exam.equal("\(name): effect", error.kind, .invalidOpen)
            } else {
                exam.report("\(name): effect", expected: "destroy", actual: "another")
            }
        }
    }

    private static func invalidReject(_ exam: Examination) throws {
        for (name, text) in [("unknown", "0002 05"), ("zero", "0002 00"), ("a channel that is paired", "0002 01")] {
            let (mux, _) = try opened()
            mux.receive(hex(text))
            exam.require("\(name): ended", mux.isEnded)
            exam.equal("\(name): events", mux.takeEvents().texts, ["closed by remote", "ended: invalidReject"])
        }
    }

    private static func truncated(_ exam: Examination) throws {
        for text in [
            "00", "01", "0001", "000101", "00010104", "0001010474657374", "0001010474657374 04616263", "0003", "0002", "0000", "fd01",
            "00 00 01 03 00",
        ] {
            let (mux, _) = try opened()
            mux.receive(hex(text))
            exam.require("\(text): ended", mux.isEnded)
            exam.equal("\(text): events", mux.takeEvents().texts, ["closed by remote", "ended: undecodable"])
        }
    }

    private static func manyChannels(_ exam: Examination) throws {
        let pair = MuxPair()
        pair.b.listen(for: ChannelKey("many"))
        var channels: [UInt8: ChannelHandle] = [:]
        for number: UInt8 in 0..<64 {
            channels[number] = try pair.a.open(test([number], name: "many"), handshake: Text("\(number)").encoded)
        }
        var requests = pair.take(.b).requests
        exam.equal("requests", requests.count, 64)
        let entropy = SeededEntropy(seed: exam.seed)
        var answers: [ChannelHandle: UInt8] = [:]
        while !requests.isEmpty {
            let request = requests.remove(at: Int(entropy.uniform(below: UInt64(requests.count), for: EntropyLabel(.shuffle))))
            let handle = try pair.b.accept(request, test(request.key.id, name: "many"), handshake: Text("re").encoded)
            answers[handle] = request.key.id.first
        }
        _ = pair.take(.a)
        _ = pair.take(.b)
        for (number, channel) in channels.sorted(by: { $0.key < $1.key }) {
            try pair.a.send(channel, type: 0, [number])
            for event in pair.take(.b) {
                if case .message(let handle, _, let payload) = event {
                    exam.equal("channel \(number)", answers[handle].map { [$0] }, payload)
                }
            }
        }
        for (handle, number) in answers.sorted(by: { $0.key < $1.key }) { try pair.b.send(handle, type: 1, [number]) }
        var back = 0
        for event in pair.take(.a) {
            guard case .message(let handle, _, let payload) = event else { continue }
            back += 1
            exam.equal("back", payload.first.flatMap { channels[$0] }, handle)
        }
        exam.equal("answers", back, 64)
    }

    private static func equalKeys(_ exam: Examination) throws {
        let pair = MuxPair()
        let first = try (0..<2).map { _ in try pair.a.open(test(isUnique: false)) }
        let second = try (0..<2).map { _ in try pair.b.open(test(isUnique: false), handshake: Text("hi").encoded) }
        // Handshakes of a are empty text as well.
        _ = second
        exam.require("refused without a handshake that decodes", pair.take(.b).texts.contains("ended: invalidHandshake"))

        let other = MuxPair()
        let ours = try (0..<2).map { try other.a.open(test(isUnique: false), handshake: Text("a\($0)").encoded) }
        let theirs = try (0..<2).map { try other.b.open(test(isUnique: false), handshake: Text("b\($0)").encoded) }
        exam.equal("a", other.take(.a), [.opened(ours[0], handshake: Text("b0").encoded), .opened(ours[1], handshake: Text("b1").encoded)])
        exam.equal(
            "b", other.take(.b), [.opened(theirs[0], handshake: Text("a0").encoded), .opened(theirs[1], handshake: Text("a1").encoded)])
        for index in 0..<2 {
            try other.a.send(ours[index], type: 0, [UInt8(index)])
            exam.equal("data \(index)", other.take(.b), [.message(theirs[index], type: 0, payload: [UInt8(index)])])
        }
        exam.equal("channels", first.count, 2)
    }

    private static func earlyClose(_ exam: Examination) throws {
        // The peer pairs after our close, as the reference does: it takes no notice of a close for a pending open.
        let mux = Protomux()
        let channel = try mux.open(test(), handshake: Text("hi").encoded)
        try mux.send(channel, type: 0, [1])
        mux.close(channel)
        exam.equal(
            "open, data, close", mux.takeMessages(),
            [hex("0001 01 0474657374 0461626364 026869"), hex("0100 01"), hex("0003 01")])
        try mux.open(test(), handshake: Text("hi").encoded)
        exam.bytes("a new open before the answer", mux.takeMessages().first, hex("0001 02 0474657374 0461626364 026869"))
        _ = mux.takeEvents()
        mux.receive(hex("0001 01 0474657374 0461626364 02796f"))
        exam.equal("the answer is to the closed one", mux.takeEvents(), [])
        try mux.open(test([9]), handshake: Text("hi").encoded)
        exam.bytes("a new open after the answer", mux.takeMessages().first, hex("0001 03 0474657374 0109 026869"))
        mux.receive(hex("0001 02 0474657374 0461626364 02796f"))
        exam.equal("the second answer is to the open one", mux.takeEvents().texts, ["opened 02796f"])
        mux.receive(hex("0100 07"))
        exam.equal("data for the closed one", mux.takeEvents(), [])
        // A reject frees the id.
        let other = Protomux()
        other.close(try other.open(test()))
        other.receive(hex("0002 01"))
        _ = other.takeEffects()
        try other.open(test(), handshake: Text("hi").encoded)
        exam.bytes("after a reject", other.takeMessages().first, hex("0001 01 0474657374 0461626364 026869"))
    }

    private static func openIDZero(_ exam: Examination) throws {
        let (mux, _) = try opened()
        mux.receive(hex("0001 00 0474657374 0103 00"))
        let isRejected = mux.takeEffects().contains(.send(hex("0002 00")))
        exam.require("rejected or destroyed", isRejected || mux.isEnded, "neither")
    }

    private static func longIntegers(_ exam: Examination) throws {
        let mux = Protomux()
        let channel = try mux.open(test())
        // Every integer in a longer form than necessary.
        mux.receive(hex("fd0000 fe01000000 fd0100 fd040074657374 ff040000000000000061626364 fd0200796f"))
        exam.equal("open", mux.takeEvents().texts, ["opened fd0200796f"])
        mux.receive(hex("fd0100 ff0100000000000000 aa"))
        exam.equal("data", mux.takeEvents(), [.message(channel, type: 1, payload: [0xaa])])
        mux.receive(hex("fd0000 fd0000 fd0100 fd0300 fd0000 fd0000 fd0100 0200bb"))
        exam.equal("batch", mux.takeEvents(), [.message(channel, type: 0, payload: []), .message(channel, type: 0, payload: [0xbb])])
        mux.receive(hex("00 fd0300 fd0100"))
        exam.equal("close", mux.takeEvents().texts, ["closed by remote"])
    }

    private static func absentID(_ exam: Examination) throws {
        for id in [nil, [UInt8]()] {
            let mux = Protomux()
            try mux.open(test(id))
            exam.bytes("open", mux.takeMessages().first, hex("0001 01 0474657374 00"))
            mux.receive(hex("0001 01 0474657374 00 02796f"))
            exam.equal("pairs", mux.takeEvents().texts, ["opened 02796f"])
            exam.require("is the same key", mux.hasChannel(ChannelKey("test")) && mux.hasChannel(ChannelKey("test", id: [])))
        }
    }

    private static func end(_ exam: Examination) throws {
        let (mux, channel) = try opened()
        let waiting = try mux.open(test([1]))
        _ = mux.takeEffects()
        mux.receiveEnd()
        exam.equal("effects", mux.takeEffects(), [.end])
        exam.equal("events", mux.takeEvents(), [.closed(channel, byRemote: true), .closed(waiting, byRemote: true), .ended(nil)])
        exam.refuses("an open afterwards") { _ = try mux.open(test([2])) }
        exam.require("a send afterwards", try !mux.send(channel, type: 0, []))
    }

    private static func crossingCloses(_ exam: Examination) throws {
        let pair = MuxPair()
        for round in 0..<3 {
            let ours = try pair.a.open(test(), handshake: Text("a").encoded)
            let theirs = try pair.b.open(test(), handshake: Text("b").encoded)
            exam.equal("round \(round): a", pair.take(.a).texts, ["opened 0162"])
            exam.equal("round \(round): b", pair.take(.b).texts, ["opened 0161"])
            exam.equal(
                "round \(round): ids", pair.frames.suffix(2).map(\.bytes),
                [hex("0001 01 0474657374 0461626364 0161"), hex("0001 01 0474657374 0461626364 0162")])
            pair.a.close(ours)
            pair.b.close(theirs)
            exam.equal("round \(round): a closed", pair.take(.a).texts, ["closed"])
            exam.equal("round \(round): b closed", pair.take(.b).texts, ["closed"])
        }
        exam.require("nobody ended", !pair.a.isEnded && !pair.b.isEnded)
    }

    private static func badHandshake(_ exam: Examination) throws {
        for handshake in ["", "05796f", "fd01"] {
            let mux = Protomux()
            try mux.open(test())
            mux.receive(hex("0001 01 0474657374 0461626364" + handshake))
            exam.equal("\"\(handshake)\"", mux.takeEvents().texts, ["closed by remote", "ended: invalidHandshake"])
        }
        // The same when our side comes second, and nothing that was pending is delivered.
        let mux = Protomux()
        mux.listen(for: ChannelKey("test"))
        mux.receive(hex("0001 01 0474657374 0461626364 05796f"))
        mux.receive(hex("0100 07"))
        if let request = mux.takeEvents().requests.first { try mux.accept(request, test()) }
        exam.equal("pending", mux.takeEvents().texts, ["closed by remote", "ended: invalidHandshake"])
    }
}
