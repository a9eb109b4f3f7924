import PacketCapture
import Testing
import TraceChecks

/// Captures that show a part only: nobody is blamed for what is not in them.
@Suite struct PartialCaptureTests {
    private static let names = ["connect-holepunch", "announce-lookup", "udx-bulk"]

    /// The bundle's frames from one on, each cut to a length.
    private static func part(_ bundle: TraceBundle, from begin: Int = 0, snapLength: Int = 65535) throws -> Capture {
        let file = bundle.capture.file
        var writer = PcapWriter(linkType: file.frames.first?.linkType ?? .ethernet)
        for frame in file.frames.dropFirst(begin) {
            let bytes = file.bytes.array(frame.range)
            writer.add(frame: Array(bytes.prefix(snapLength)), timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength)
        }
        return Capture(try CaptureFile(CaptureBytes(writer.bytes, name: "part.pcap")))
    }

    @Test(arguments: names, [2, 4, 6])
    func beginsInTheMiddle(_ name: String, _ eighths: Int) throws {
        let bundle = try Fixture.bundle(name)
        let audit = TraceAudit(bundle, capture: try Self.part(bundle, from: bundle.capture.packets.count * eighths / 8))
        #expect(audit.findings.isEmpty, "\(audit.findings.prefix(4))")
    }

    @Test(arguments: names, [60, 96, 300])
    func isCutByASnapLength(_ name: String, _ length: Int) throws {
        let bundle = try Fixture.bundle(name)
        let audit = TraceAudit(bundle, capture: try Self.part(bundle, snapLength: length))
        // That it is cut is said once; nothing follows from it.
        #expect(audit.findings.allSatisfy { $0.rule == "capture" }, "\(audit.findings.prefix(4))")
    }

    /// A first packet whose acknowledgement is wrong makes no stream older than its capture.
    @Test func oneWrongNumberIsStillFound() throws {
        let bundle = try Fixture.bundle("udx-bulk")
        let first = try #require(bundle.capture.packets.first { $0.payload.starts(with: [0xff, 0x01]) })
        let index = try #require(bundle.capture.packets.firstIndex { $0.number == first.number })
        for place in [12, 16] {
            var payload = first.payload
            payload[place] ^= 0x04
            let audit = TraceAudit(bundle, capture: bundle.capture.replacingPayload(ofPacketAt: index, with: payload))
            #expect(!audit.findings.isEmpty, "byte \(place)")
        }
    }
}
