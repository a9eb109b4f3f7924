import CompactEncoding
import KeyLog
import SansIO
import Testing

@testable import PacketCapture

@Suite struct CaptureFileTests {
    static let a = Endpoint(.v4(0x0a01_0101), 4000)
    static let b = Endpoint(.v4(0x0a01_0102), 49737)

    static func read(_ bytes: [UInt8]) throws(CaptureError) -> Capture {
        Capture(try CaptureFile(CaptureBytes(bytes, name: "test.pcap")))
    }

    static func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }

    @Test func readsWhatItWrites() throws {
        var pcap = PcapWriter(nanoseconds: true)
        var pcapng = PcapNGWriter()
        pcapng.add(secrets: Array("{\"type\":\"header\",\"t\":1,\"schema\":\"hyperswarm-keylog/2\"}\n".utf8))
        for number in 0..<5 {
            let frame = FrameBuilder.udp([UInt8](repeating: UInt8(number), count: number), from: Self.a, to: Self.b, timeToLive: 5)
            pcap.add(frame: frame, timeNanoseconds: 1_700_000_000_123_456_789 + Int64(number))
            pcapng.add(frame: frame, timeNanoseconds: 1_700_000_000_123_456_789 + Int64(number), comments: ["finding \(number)"])
        }
        for bytes in [pcap.bytes, pcapng.bytes] {
            let capture = try Self.read(bytes)
            #expect(capture.packets.count == 5)
            #expect(capture.issues.isEmpty)
            for (number, packet) in capture.packets.enumerated() {
                #expect(packet.payload == [UInt8](repeating: UInt8(number), count: number))
                #expect(packet.source == Self.a && packet.destination == Self.b)
                #expect(packet.timeNanoseconds == 1_700_000_000_123_456_789 + Int64(number))
                #expect(packet.timeToLive == 5 && packet.dontFragment)
            }
        }
        let capture = try Self.read(pcapng.bytes)
        #expect(capture.packets[3].comments == ["finding 3"])
        #expect(try capture.embeddedKeyLog()?.entries.isEmpty == true)
    }

    @Test func readsBigEndianFiles() throws {
        let frame = FrameBuilder.udp([1, 2, 3], from: Self.a, to: Self.b)
        var bytes = Self.big(0xa1b2_c3d4) + [0, 2, 0, 4] + Self.big(0) + Self.big(0) + Self.big(65535) + Self.big(1)
        bytes += Self.big(7) + Self.big(8) + Self.big(UInt32(frame.count)) + Self.big(UInt32(frame.count)) + frame
        let packet = try Self.read(bytes).packets[0]
        #expect(packet.payload == [1, 2, 3] && packet.timeNanoseconds == 7_000_008_000)
    }

    @Test(arguments: [LinkType.linuxCooked, .linuxCooked2, .null, .loop, .raw, .ipv4, .ethernet])
    func readsLinkTypes(_ type: LinkType) throws {
        let ip = Array(FrameBuilder.udp([9], from: Self.a, to: Self.b).dropFirst(14))
        let header: [UInt8] =
            switch type {
            case .linuxCooked: [UInt8](repeating: 0, count: 14) + [8, 0]
            case .linuxCooked2: [8, 0] + [UInt8](repeating: 0, count: 18)
            case .null: [2, 0, 0, 0]
            case .loop: [0, 0, 0, 2]
            case .ethernet: [UInt8](repeating: 0, count: 12) + [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]
            default: []
            }
        var pcap = PcapWriter(linkType: type)
        pcap.add(frame: header + ip, timeNanoseconds: 0)
        #expect(try Self.read(pcap.bytes).packets[0].payload == [9])
    }

    @Test func putsFragmentsTogether() throws {
        let payload = (0..<3000).map { UInt8(truncatingIfNeeded: $0) }
        let whole = Array(FrameBuilder.udp(payload, from: Self.a, to: Self.b, dontFragment: false).dropFirst(34))
        func fragment(_ range: Range<Int>, more: Bool) -> [UInt8] {
            var ip = FrameBuilder.ip(Array(whole[range]), 17, Self.a.address, Self.b.address, 64, false)
            ip[5] = 7
            ip[6] = (more ? 0x20 : 0) | UInt8((range.lowerBound / 8) >> 8)
            ip[7] = UInt8(truncatingIfNeeded: range.lowerBound / 8)
            return [UInt8](repeating: 0, count: 12) + [8, 0] + ip
        }
        var pcap = PcapWriter()
        pcap.add(frame: fragment(1480..<2960, more: true), timeNanoseconds: 0)
        pcap.add(frame: fragment(2960..<3008, more: false), timeNanoseconds: 0)
        pcap.add(frame: fragment(0..<1480, more: true), timeNanoseconds: 0)
        pcap.add(frame: fragment(0..<1480, more: true), timeNanoseconds: 0)
        let capture = try Self.read(pcap.bytes)
        #expect(capture.packets[2].payload == payload)
        #expect(capture.packets[0].transport == .fragment)
        #expect(capture.issues.map(\.reason) == ["datagrams with missing fragments"])
    }

    @Test func readsIPv6WithExtensionHeaders() throws {
        let source = Endpoint(.v6(0xfe80 << 48, 1), 1)
        let frame = FrameBuilder.udp([4, 5], from: source, to: Endpoint(.v6(0xfe80 << 48, 2), 2))
        var extended = frame
        extended[20] = 60
        extended[19] = extended[19] + 8
        extended.insert(contentsOf: [17, 0, 1, 4, 0, 0, 0, 0], at: 54)
        var pcap = PcapWriter()
        pcap.add(frame: frame, timeNanoseconds: 0)
        pcap.add(frame: extended, timeNanoseconds: 0)
        for packet in try Self.read(pcap.bytes).packets { #expect(packet.payload == [4, 5] && packet.source == source) }
    }

    /// Every way in which a file can be broken gives one sentence with the file's name and an offset.
    @Test func malformedFilesAreNamed() throws {
        var good = PcapWriter()
        good.add(frame: FrameBuilder.udp([1], from: Self.a, to: Self.b), timeNanoseconds: 0)
        let pcap = good.bytes
        var huge = pcap
        huge.replaceSubrange(32..<36, with: [0xff, 0xff, 0xff, 0x7f])
        var linkType = pcap
        linkType[20] = 147
        var version = pcap
        version[4] = 9
        var ng = PcapNGWriter()
        ng.add(frame: FrameBuilder.udp([1], from: Self.a, to: Self.b), timeNanoseconds: 0)
        var trailer = ng.bytes
        trailer[trailer.count - 1] = 1
        var blockLength = ng.bytes
        blockLength.replaceSubrange(4..<8, with: [0xf0, 0xff, 0xff, 0x7f])
        let cases: [([UInt8], String)] = [
            ([], "empty"), ([1, 2], "first 4 bytes"), ([0x1f, 0x8b, 8, 0, 0, 0], "neither pcap nor pcapng"),
            (Array(pcap.prefix(20)), "header is cut"),
            (Array(pcap.dropLast()), "only"), (Array(pcap.prefix(30)), "cut"), (huge, "only"), (linkType, "link type 147"),
            (version, "version 9"), (Array(ng.bytes.dropLast(2)), "left in the file"), (trailer, "lengths differ"),
            (blockLength, "left in the file"),
        ]
        for (bytes, expected) in cases {
            do {
                _ = try Self.read(bytes)
                Issue.record("accepted a file that should fail with: \(expected)")
            } catch {
                #expect(error.description.contains(expected), "\(error)")
                #expect(error.file == "test.pcap" && error.offset != nil)
            }
        }
    }

    /// Any byte of any file may be anything: never a crash, never much memory.
    @Test func randomDamageNeverCrashes() throws {
        var ng = PcapNGWriter()
        var pcap = PcapWriter()
        ng.add(secrets: [1, 2, 3])
        for number in 0..<8 {
            let frame = FrameBuilder.udp([UInt8](repeating: 7, count: number), from: Self.a, to: Self.b)
            ng.add(frame: frame, timeNanoseconds: 5, comments: ["x"])
            pcap.add(frame: frame, timeNanoseconds: 5)
        }
        let random = SeededEntropy(seed: 4)
        for original in [ng.bytes, pcap.bytes] {
            for round in 0..<3000 {
                var bytes = original
                for _ in 0..<Int(1 + random.uniform(below: 4, for: EntropyLabel(.test))) {
                    bytes[Int(random.uniform(below: UInt64(bytes.count), for: EntropyLabel(.test, 1)))] =
                        random.bytes(1, for: EntropyLabel(.test, 2))[0]
                }
                if round % 3 == 0 { bytes.removeLast(Int(random.uniform(below: UInt64(bytes.count), for: EntropyLabel(.test, 3)))) }
                _ = try? Self.read(bytes)
            }
        }
    }

    @Test func everyRecordedBundleIsReadWhole() throws {
        #expect(Fixture.folders.count == 51)
        for folder in Fixture.folders {
            let bundle = try TraceBundle(path: folder)
            #expect(bundle.capture.issues.isEmpty, "\(bundle.name)")
            #expect(bundle.capture.packets.allSatisfy { !$0.isCut }, "\(bundle.name)")
            if let keyLog = bundle.keyLog {
                // What we write is what we read.
                let text = Array(keyLog.text(headerTime: .zero).utf8)
                #expect(try KeyLog(parsing: text, file: "copy").entries == keyLog.entries, "\(bundle.name)")
            }
        }
    }

    @Test(arguments: [
        ("", "empty"),
        ("{\"type\":\"noise\"}", "\"t\" is missing"),
        ("{\"type\":\"header\",\"t\":1,\"schema\":\"hyperswarm-keylog/9\"}", "hyperswarm-keylog/9"),
        ("{\"type\":\"header\",\"t\":1,\"schema\":\"hyperswarm-keylog/2\",\"x\":1}", "unknown key \"x\""),
        ("{\"type\":\"header\",\"t\":1,\"schema\":\"hyperswarm-keylog/2\"}\n{\"type\":\"odd\",\"t\":1}", "line 2"),
        ("{\"type\":\"header\",\"t\":1,\"t\":1,\"schema\":\"hyperswarm-keylog/2\"}", "twice"),
        (
            "{\"type\":\"header\",\"t\":1,\"schema\":\"hyperswarm-keylog/2\"}\n{\"type\":\"holepunch\",\"t\":1,\"sharedSecret\":\"00\",\"localSecret\":\"00\"}",
            "32 bytes"
        ),
    ])
    func brokenKeyLogsAreNamed(_ text: String, _ expected: String) throws {
        do {
            _ = try KeyLog(parsing: Array(text.utf8), file: "keylog.jsonl")
            Issue.record("accepted: \(text)")
        } catch { #expect(error.description.contains(expected) && error.description.contains("keylog.jsonl"), "\(error)") }
    }
}
