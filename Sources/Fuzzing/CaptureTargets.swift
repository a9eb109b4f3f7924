import CompactEncoding
import Conformance
import Dissection
import KeyLog
import PacketCapture
import SansIO
import StrictJSON

/// What reads files: captures, key logs, the lines of bundles, JSON. Whoever sends a capture with a bug report decides what stands in it.
enum CaptureTargets {
    static let all: [FuzzTarget] = [
        FuzzTarget("capture.file", seeds: captures, planted: { file($0, forgetsCuts: true) }, run: { file($0, forgetsCuts: false) }),
        FuzzTarget(
            "capture.dissection", seeds: captures, planted: { dissect($0, losesByte: true) }, run: { dissect($0, losesByte: false) }),
        FuzzTarget("capture.packets", seeds: packets, planted: { payloads($0, losesByte: true) }, run: { payloads($0, losesByte: false) }),
        FuzzTarget("key-log", seeds: keyLogs, planted: { keyLog($0, losesLine: true) }, run: { keyLog($0, losesLine: false) }),
        FuzzTarget(
            "bundle-lines", seeds: lines, planted: { bundleLines($0, believesAll: true) }, run: { bundleLines($0, believesAll: false) }),
        FuzzTarget("json", seeds: texts, planted: { json($0, losesEscape: true) }, run: { json($0, losesEscape: false) }),
    ]

    // MARK: Captures

    /// Frames lie in the file, one after the other; packets lie in their frames.
    private static func file(_ bytes: [UInt8], forgetsCuts: Bool) -> String? {
        guard let file = try? CaptureFile(CaptureBytes(bytes, name: "input")) else { return nil }
        if file.frames.count * 12 > bytes.count { return "\(file.frames.count) frames in \(bytes.count) bytes" }
        for frame in file.frames where frame.range.lowerBound < 0 || frame.range.upperBound > bytes.count {
            return "a frame lies outside the file"
        }
        for secrets in file.secrets where secrets.range.lowerBound < 0 || secrets.range.upperBound > bytes.count {
            return "secrets lie outside the file"
        }
        let capture = Capture(file)
        if capture.packets.count != file.frames.count { return "\(capture.packets.count) packets of \(file.frames.count) frames" }
        _ = try? capture.embeddedKeyLog()
        var total = 0
        for packet in capture.packets { total += packet.payload.count }
        // A fragment may complete a datagram of which every byte was captured before: so each byte counts once.
        if total > bytes.count { return "\(total) bytes of payload in a file of \(bytes.count)" }
        // The planted bug: frames that the capture cut pass for whole.
        if forgetsCuts, file.frames.contains(where: { $0.isCut && $0.range.count > 40 }) { return "a frame is cut" }
        var writer = PcapNGWriter(linkType: file.frames.first?.linkType ?? .ethernet)
        for frame in file.frames {
            writer.add(
                frame: file.bytes.array(frame.range), timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength,
                comments: frame.comments)
        }
        guard let again = try? CaptureFile(CaptureBytes(writer.take(), name: "copy")) else { return "its own pcapng can't be read" }
        if again.frames.count != file.frames.count { return "a copy has \(again.frames.count) frames of \(file.frames.count)" }
        for (copy, frame) in zip(again.frames, file.frames) where again.bytes.array(copy.range) != file.bytes.array(frame.range) {
            return "frame \(frame.number) is another in a copy"
        }
        return nil
    }

    /// Everything that a person can ask of a capture; and it equals itself.
    private static func dissect(_ bytes: [UInt8], losesByte: Bool) -> String? {
        guard let file = try? CaptureFile(CaptureBytes(bytes, name: "input")) else { return nil }
        let capture = Capture(file)
        return examine(capture, keyLog: try? capture.embeddedKeyLog(), losesByte: losesByte)
    }

    /// The input cut into UDP payloads between two places: reaches the layers without a frame that is right.
    private static func payloads(_ bytes: [UInt8], losesByte: Bool) -> String? {
        var script = Script(bytes)
        var writer = PcapNGWriter()
        var time: Int64 = 1_700_000_000_000_000_000
        while !script.isOver {
            let choice = script.byte()
            let places = [Endpoint(.v4(0x0505_0505), 49_737), Script.place(choice >> 4)]
            let payload = script.take(Int(script.byte()))
            time += 1_000_000
            let isBack = choice & 1 == 1
            writer.add(
                frame: FrameBuilder.udp(payload, from: places[isBack ? 1 : 0], to: places[isBack ? 0 : 1]), timeNanoseconds: time,
                originalLength: payload.count + 42, comments: [])
        }
        guard let file = try? CaptureFile(CaptureBytes(writer.take(), name: "input")) else { return "its own pcapng can't be read" }
        return examine(Capture(file), keyLog: nil, losesByte: losesByte)
    }

    private static func examine(_ capture: Capture, keyLog: KeyLog?, losesByte: Bool) -> String? {
        let dissection = Dissection(name: "input", capture: capture, keyLog: keyLog, knowledge: Knowledge())
        if dissection.packets.count != capture.packets.count { return "\(dissection.packets.count) of \(capture.packets.count) packets" }
        let printer = TreePrinter(start: dissection.packets.first?.packet.timeNanoseconds ?? 0)
        for packet in dissection.packets {
            if packet.account.classes.count != packet.packet.payload.count { return "packet \(packet.number): bytes are not accounted for" }
            for unit in packet.units where unit.isWire {
                for field in unit.fields where field.wholeRange.lowerBound < 0 || field.wholeRange.upperBound > unit.bytes.count {
                    return "packet \(packet.number): the field \(field.name) lies outside its bytes"
                }
            }
            if printer.text(packet, issues: []).isEmpty { return "packet \(packet.number) prints nothing" }
            // The planted bug: a byte whose class is forgotten.
            if losesByte, case .udx = packet.kind, packet.packet.payload.reduce(0, &+) & 7 == 0 { return "a byte is not accounted for" }
        }
        let statistics = Statistics(dissection)
        _ = StatisticsText.text(statistics, dissection)
        if (try? JSON.parse(statistics.json.text())) == nil { return "its statistics are not JSON" }
        _ = Diagnosis(dissection, hasKeyLog: keyLog != nil)
        var scrubber = Scrubber()
        let scrubbed = scrubber.scrub(dissection, keyLog: keyLog, sessionKeys: true)
        if (try? CaptureFile(CaptureBytes(scrubbed, name: "scrubbed"))) == nil { return "its scrubbed copy can't be read" }
        let bundle = TraceBundle(name: "input", path: "", capture: capture, keyLog: keyLog)
        let verdict = Diff.compare(bundle, bundle, dissection, dissection).verdict
        return verdict == .deviates ? "the capture deviates from itself" : nil
    }

    // MARK: Text

    /// What is written reads the same again.
    private static func keyLog(_ bytes: [UInt8], losesLine: Bool) -> String? {
        guard let log = try? KeyLog(parsing: bytes, file: "input") else { return nil }
        var copy = log
        if losesLine, copy.entries.count > 2 { copy.entries.removeLast() }
        guard let again = try? KeyLog(parsing: Array(copy.text(headerTime: .zero).utf8), file: "copy") else {
            return "its own text can't be read"
        }
        if again.entries != log.entries { return "its own text says something else" }
        return log.withoutStaticSecrets().holdsStaticSecrets ? "long-term secrets are left" : nil
    }

    private static func bundleLines(_ bytes: [UInt8], believesAll: Bool) -> String? {
        let inputs = try? RecordedInput.parse(bytes, file: "input")
        let events = try? RecordedEvent.parse(bytes, file: "input")
        let manifest = try? Manifest(parsing: bytes, file: "input")
        let count = [inputs?.isEmpty == false, events?.isEmpty == false, manifest != nil].filter { $0 }.count
        // The planted bug: a file of inputs passes for something else, too.
        return count > (believesAll ? 0 : 1) ? "one file is understood in \(count) ways" : nil
    }

    /// What is accepted is written as something that reads the same; and a second reading agrees with the first.
    private static func json(_ bytes: [UInt8], losesEscape: Bool) -> String? {
        let lines = try? JSON.parseLines(bytes)
        guard let value = try? JSON.parse(bytes) else { return nil }
        if !bytes.contains(10), lines != [value] { return "one line is another value as a line" }
        for indent in [nil, 2] {
            var text = value.text(indent: indent)
            if losesEscape { text = text.replacing("\\\"", with: "") }
            guard let again = try? JSON.parse(text) else { return "its own text does not parse: \(text.prefix(200))" }
            // A number with a fraction of zero is written without it.
            if again.text(indent: indent) != value.text(indent: indent) { return "its own text is another value: \(text.prefix(200))" }
        }
        return nil
    }

    // MARK: Seeds

    private static let messages: [(isBack: Bool, bytes: String)] = [
        (false, "031834120a01010149c202" + String(repeating: "a5", count: 32) + "00"), (true, "13003412cb00710750c3"),
        (false, "030c37120a01010149c202" + String(repeating: "a5", count: 32)),
        (true, "13053712cb00710750c3" + String(repeating: "a5", count: 32) + "020a0101024ac2c000020549c2"),
        (false, "ff01010044332211000040000700000003000000" + "68656c6c6f"), (true, "ff010000d4c3b2a1000040000300000008000000"),
        (true, "ff010400d4c3b2a10000400003000000080000000a0000000c0000000f00000010000000"), (false, "00"), (true, "d1:ad2:id20:abcdefghij"),
    ]

    @Sendable private static func captures() -> [[UInt8]] {
        var writer = PcapNGWriter()
        var time: Int64 = 1_700_000_000_000_000_000
        var frames: [[UInt8]] = []
        for message in messages {
            let places = [Endpoint(.v4(0x0a01_0101), 49_737), Endpoint(.v4(0xcb00_7107), 50_000)]
            let payload = Hex.decode(message.bytes) ?? Array(message.bytes.utf8)
            let frame = FrameBuilder.udp(payload, from: places[message.isBack ? 1 : 0], to: places[message.isBack ? 0 : 1])
            time += 1_000_000
            frames.append(frame)
            writer.add(frame: frame, timeNanoseconds: time, originalLength: frame.count, comments: frames.count == 2 ? ["a comment"] : [])
        }
        var pcap: [UInt8] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]
        for frame in frames.prefix(3) {
            let length = [UInt8(truncatingIfNeeded: frame.count), UInt8(truncatingIfNeeded: frame.count >> 8), 0, 0]
            pcap += [1, 2, 3, 4, 5, 6, 7, 0] + length + length + frame
        }
        return [writer.take(), pcap]
    }

    @Sendable private static func packets() -> [[UInt8]] {
        [
            messages.prefix(7).flatMap { message in
                let payload = Hex.decode(message.bytes) ?? []
                return [message.isBack ? 1 : 0, UInt8(payload.count)] + payload
            }
        ]
    }

    private static let key = String(repeating: "a5", count: 32)
    private static let header = #"{"type":"header","t":1,"schema":"\#(KeyLog.schema)"}"#

    @Sendable private static func keyLogs() -> [[UInt8]] {
        let long = key + key
        return [
            [
                header, #"{"type":"holepunch","t":2,"sharedSecret":"\#(key)","localSecret":"\#(key)"}"#,
                #"{"type":"token-secrets","t":3,"host":"127.0.0.1","port":1,"secrets":["\#(key)","\#(key)"]}"#,
                #"{"type":"secret-stream","t":4,"initiator":true,"publicKey":"\#(key)","remotePublicKey":null,"handshakeHash":"\#(long)","txKey":"\#(key)","rxKey":"\#(key)","udx":{"localId":1,"remoteId":2}}"#,
            ].joined(separator: "\n"), header,
            header + "\n"
                + #"{"type":"secret-stream","t":4,"initiator":false,"publicKey":"\#(key)","remotePublicKey":"\#(key)","handshakeHash":"\#(long)","txKey":"\#(key)","rxKey":"\#(key)","udx":null}"#,
        ].map { Array($0.utf8) }
    }

    @Sendable private static func lines() -> [[UInt8]] {
        [
            #"{"t":1,"kind":"header","schema":"\#(RecordedInput.schema)"}"# + "\n"
                + #"{"t":2,"kind":"call","object":"dht","id":1,"method":"lookup","args":["a",1]}"# + "\n"
                + #"{"t":3,"kind":"draw","source":"random","at":"x","line":3,"function":"f","bytes":"0102"}"#,
            #"{"t":3,"kind":"draw","source":"random","at":"x","line":3,"function":"f","value":0.5}"#,
            #"{"schema":"\#(Manifest.schema)","scenario":"a","implementation":"node","ok":true,"versions":{"a":"1"},"peers":[]}"#,
        ].map { Array($0.utf8) }
    }

    @Sendable private static func texts() -> [[UInt8]] {
        [
            #"{"a":[1,-2,3.5e2,true,false,null,"x\n\u00e9\ud83d\ude00\"\\"],"b":{}}"#, #"[]"#, #""\ud800""#, "{\"a\":1}\n{\"b\":[[[]]]}",
            #"[1e308,-0,0.1,9223372036854775807,-9223372036854775808,92233720368547758080]"#,
        ].map { Array($0.utf8) }
    }
}
