import CompactEncoding
import Conformance
import Protomux
import SansIO

/// Batches, notifiers and back pressure.
enum ProtomuxFlowChecks {
    static let checks: [Check] = [
        Check("protomux.batch", ["MUX-13"], .machine, run: batch),
        Check("protomux.overlong-item", ["MUX-14"], .machine, run: overlongItem),
        Check("protomux.cork", ["MUX-15a"], .machine, run: cork),
        Check("protomux.batch-of-one", ["MUX-15b"], .machine, run: batchOfOne),
        Check("protomux.large-batch", ["MUX-16a"], .machine, run: largeBatch),
        Check("protomux.batch-limit", ["MUX-16b"], .machine, run: batchLimit),
        Check("protomux.notifier", ["MUX-19"], .machine, run: notifier),
        Check("protomux.back-pressure", ["MUX-20"], .machine, run: backPressure),
        Check("protomux.early-close-of-the-peer", ["MUX-21b"], .machine, run: earlyCloseOfPeer),
        Check("protomux.limits", ["MUX-10"], .machine, run: limits),
    ]

    private static func hex(_ text: String) -> [UInt8] { NoiseKeys.hex(text) }

    /// Two channels of ours, paired: "test"/"abcd" is the peer's 1, "test"/02 its 2.
    private static func two() throws -> (mux: Protomux, first: ChannelHandle, second: ChannelHandle) {
        let (mux, first) = try ProtomuxChecks.opened()
        let second = try mux.open(ProtomuxChecks.test([2]))
        mux.receive(hex("0001 02 0474657374 0102 00"))
        _ = mux.takeEffects()
        _ = mux.takeEvents()
        return (mux, first, second)
    }

    /// The batch of protomux.md A8, item by item and at once.
    private static func batch(_ exam: Examination) throws {
        let (once, _) = try ProtomuxChecks.opened()
        once.receive(hex("0000 01 03 000171 0000 06 010202703300 0002 03 000172 0001 03 000173"))
        let (singly, _) = try ProtomuxChecks.opened()
        for text in ["0100 0171", "0001 02 027033 00", "0200 0172", "0100 0173"] { singly.receive(hex(text)) }
        exam.equal("events", once.takeEvents().texts, ["message 0 0171", "message 0 0173"])
        exam.equal("events, singly", singly.takeEvents().texts, ["message 0 0171", "message 0 0173"])
        exam.equal("the answer comes as a batch", once.takeMessages(), [hex("0000 00 02 0202")])
        exam.equal("the answer, singly", singly.takeMessages(), [hex("0002 02")])
        // With data for a second channel.
        let (mux, first, second) = try two()
        mux.receive(hex("0000 01 02 0001 0002 02 0102 02 0103 0001 02 0004"))
        exam.equal(
            "channel switches", mux.takeEvents(),
            [
                .message(first, type: 0, payload: [1]), .message(second, type: 1, payload: [2]), .message(second, type: 1, payload: [3]),
                .message(first, type: 0, payload: [4]),
            ])
        // A close among the items.
        mux.receive(hex("0000 01 02 0005 0000 02 0301 0001 02 0006"))
        exam.equal("control inside", mux.takeEvents(), [.message(first, type: 0, payload: [5]), .closed(first, byRemote: true)])
        mux.receive(hex("0000 00 03 000001"))
        exam.require("a batch in a batch ends it", mux.isEnded)
    }

    private static func overlongItem(_ exam: Examination) throws {
        // Items before the damage count, as if they had come alone.
        for (text, before) in [
            ("0000 01 05 000171", []), ("0000 01 02 0001 fdffff 0001", ["message 0 01"]), ("0000 01 ffffffffffffff1f00 00", []),
        ] {
            let (mux, _) = try ProtomuxChecks.opened()
            mux.receive(hex(text))
            exam.equal("\(text): events", mux.takeEvents().texts, before + ["closed by remote", "ended: undecodable"])
        }
    }

    private static func cork(_ exam: Examination) throws {
        let (mux, first, second) = try two()
        mux.cork()
        try mux.send(first, type: 0, Text("x").encoded)
        mux.cork()
        try mux.send(first, type: 1, [5])
        mux.uncork()
        try mux.send(second, type: 0, [6])
        mux.close(second)
        exam.equal("nothing while corked", mux.takeEffects(), [])
        mux.uncork()
        exam.equal("one message", mux.takeMessages(), [hex("0000 01 03 000178 02 0105 0002 02 0006 0000 02 0302")])
        mux.cork()
        mux.uncork()
        exam.equal("an empty batch", mux.takeEffects(), [])
    }

    private static func batchOfOne(_ exam: Examination) throws {
        let (mux, channel) = try ProtomuxChecks.opened()
        mux.receive(hex("0000 01 03 000178"))
        exam.equal("data", mux.takeEvents(), [.message(channel, type: 0, payload: [1, 0x78])])
        mux.receive(hex("0000 00 02 0301"))
        exam.equal("close", mux.takeEvents(), [.closed(channel, byRemote: true)])
        mux.receive(hex("0000 00 06 010102703300"))
        exam.equal("open: the answer", mux.takeMessages(), [hex("0002 01")])
    }

    private static func largeBatch(_ exam: Examination) throws {
        let pair = MuxPair()
        let ours = try pair.a.open(ProtomuxChecks.test(), handshake: Text("a").encoded)
        try pair.b.open(ProtomuxChecks.test(), handshake: Text("b").encoded)
        _ = pair.take(.b)
        let before = pair.frames.count
        pair.a.cork()
        for size in [8_000_000, 9_000_000] { try pair.a.send(ours, type: 0, [UInt8](repeating: 7, count: size)) }
        pair.a.uncork()
        let sizes = pair.take(.b).compactMap { if case .message(_, _, let payload) = $0 { payload.count } else { nil } }
        exam.equal("both arrive", sizes, [8_000_000, 9_000_000])
        for frame in pair.frames[before...] {
            exam.require("a message that the carrier takes", frame.bytes.count <= 16_777_198, "\(frame.bytes.count) bytes")
        }
        exam.refuses("more than one message holds") { try pair.a.send(ours, type: 0, [UInt8](repeating: 7, count: 16_777_198)) }
    }

    private static func batchLimit(_ exam: Examination) throws {
        let (mux, channel) = try ProtomuxChecks.opened()
        mux.cork()
        try mux.send(channel, type: 0, [UInt8](repeating: 7, count: 4 << 20))
        try mux.send(channel, type: 0, [UInt8](repeating: 8, count: 4 << 20))
        exam.equal("not before something is added", mux.takeMessages().count, 0)
        try mux.send(channel, type: 0, [9])
        exam.equal("at 8 MiB", mux.takeMessages().map(\.count), [3 + 2 * (5 + 1 + (4 << 20))])
        mux.uncork()
        exam.equal("the rest", mux.takeMessages(), [hex("0000 01 02 0009")])
    }

    private static func notifier(_ exam: Examination) throws {
        let mux = Protomux()
        mux.listen(for: ChannelKey("test"))
        mux.listen(for: ChannelKey("exact", id: [5]))
        mux.receive(hex("0001 01 0474657374 0461626364 02796f"))
        mux.receive(hex("0100 01"))
        let events = mux.takeEvents()
        exam.equal("asked for the protocol", events.texts, ["requested test 61626364"])
        exam.equal("no answer yet", mux.takeEffects(), [])
        mux.receive(hex("0101 02"))
        mux.receive(hex("0001 02 056578616374 0106 00"))
        exam.equal("another id of the exact one", mux.takeMessages(), [hex("0002 02")])
        mux.receive(hex("0001 02 056578616374 0105 00"))
        let exact = mux.takeEvents()
        exam.equal("the exact id", exact.texts, ["requested exact 05"])
        // Taken later; what came meanwhile is there.
        if let request = events.requests.first { try mux.accept(request, ProtomuxChecks.test(), handshake: Text("hi").encoded) }
        exam.equal("taken", mux.takeEvents().texts, ["opened 02796f", "message 0 01", "message 1 02"])
        exam.equal("our open", mux.takeMessages(), [hex("0001 01 0474657374 0461626364 026869")])
        if let request = exact.requests.first { mux.reject(request) }
        exam.equal("not taken", mux.takeMessages(), [hex("0002 02")])
        mux.stopListening(for: ChannelKey("test"))
        mux.receive(hex("0001 02 0474657374 0101 00"))
        exam.equal("after listening", mux.takeMessages(), [hex("0002 02")])
    }

    private static func backPressure(_ exam: Examination) throws {
        for isTaken in [true, false] {
            let mux = Protomux()
            mux.listen(for: ChannelKey("test"))
            mux.receive(hex("0001 01 0474657374 0461626364 02796f"))
            let request = mux.takeEvents().requests.first
            var sent: [[UInt8]] = []
            while !mux.isPaused, sent.count < 100 {
                let payload = [UInt8](repeating: UInt8(sent.count), count: 1000)
                sent.append(payload)
                mux.receive([1, 0] + payload)
            }
            // 512 + 1000 a message: the 22nd passes 32 768.
            exam.equal("messages until it pauses", sent.count, 22)
            exam.equal("effects", mux.takeEffects(), [.pause])
            if let request, isTaken { try mux.accept(request, ProtomuxChecks.test()) } else if let request { mux.reject(request) }
            exam.require("resumes", mux.takeEffects().contains(.resume))
            let delivered = mux.takeEvents().compactMap { if case .message(_, _, let payload) = $0 { payload } else { nil } }
            exam.equal("delivered", delivered, isTaken ? sent : [])
        }
    }

    private static func earlyCloseOfPeer(_ exam: Examination) throws {
        let mux = Protomux()
        mux.listen(for: ChannelKey("test"))
        for text in ["0001 01 0474657374 0461626364 026f6e", "0100 01", "0003 01", "0001 01 0474657374 0461626364 027477", "0100 02"] {
            mux.receive(hex(text))
        }
        let events = mux.takeEvents()
        exam.equal("events", events.texts, ["requested test 61626364", "withdrawn test 61626364", "requested test 61626364"])
        exam.equal("the first is rejected", mux.takeMessages(), [hex("0002 01")])
        for request in events.requests.prefix(1) { mux.reject(request) }
        for request in events.requests.dropFirst() { try mux.accept(request, ProtomuxChecks.test(), handshake: Text("hi").encoded) }
        exam.equal("the second is paired", mux.takeMessages(), [hex("0001 01 0474657374 0461626364 026869")])
        exam.equal("with its own data only", mux.takeEvents().texts, ["opened 027477", "message 0 02"])
        exam.require("the connection stays", !mux.isEnded)
    }

    /// Our own bounds: pending opens above the limit are rejected; one channel, or one item of a batch, above the limit ends the connection.
    private static func limits(_ exam: Examination) throws {
        var limits = Protomux.Limits()
        limits.pendingOpens = 2
        limits.remoteChannels = 4
        let mux = Protomux(limits: limits)
        mux.listen(for: ChannelKey("test"))
        for number in 1...4 { mux.receive(hex("0001 0\(number) 0474657374 010\(number) 00")) }
        exam.equal("asked", mux.takeEvents().requests.count, 2)
        exam.equal("rejected", mux.takeMessages(), [hex("0002 03"), hex("0002 04")])
        mux.receive(hex("0001 05 0474657374 0105 00"))
        exam.require("ended", mux.isEnded)
        limits.batchItems = 3
        let other = Protomux(limits: limits)
        let item = "02 1000 "
        other.receive(hex("0000 00 " + item + item + item))
        exam.equal("as many items as a batch may have", other.ignored.unknownControl, 3)
        other.receive(hex("0000 00 " + item + item + item + item))
        exam.equal("one more", other.takeEvents().texts, ["ended: limitExceeded"])
    }
}
