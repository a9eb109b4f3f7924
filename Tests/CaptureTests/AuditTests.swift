import PacketCapture
import Testing
import TraceChecks

@Suite struct AuditTests {
    /// The rules hold for everything that Node and libudx recorded, on every side.
    @Test(arguments: Fixture.folders.filter { !$0.contains("kadepy") })
    func recordingsObeyTheRules(_ folder: String) throws {
        let bundle = try TraceBundle(path: folder)
        for capture in [bundle.capture] + bundle.extraCaptures.map(\.capture) {
            let audit = TraceAudit(bundle, capture: capture)
            #expect(audit.findings.isEmpty, "\(bundle.name): \(audit.findings.count) \(audit.findings.prefix(6))")
        }
    }

    /// A host's own capture is judged for what the host did: what is lost on its way there is nobody's fault, what it says of packets that
    /// never came, or leaves out of its numbers, is its own.
    @Test(arguments: ["client", "server"])
    func aHostIsJudgedInItsOwnCapture(_ side: String) throws {
        let bundle = try Fixture.bundle("nat-consistent-consistent")
        let (_, capture, vantage) = try #require(TraceVantage.captures(of: bundle).first { $0.name == "capture.\(side)" })
        guard case .host(let host) = vantage else { throw Unexpected.vantage }
        #expect(TraceAudit(bundle, capture: capture, vantage: vantage).findings.isEmpty)
        func end(isOwn: Bool) throws -> CapturedPacket {
            try #require(capture.packets.first { $0.payload.starts(with: [0xff, 0x01, 0x02]) && ($0.source.address == host) == isOwn })
        }
        func rules(without packet: CapturedPacket, _ vantage: TraceVantage) throws -> Set<String> {
            Set(TraceAudit(bundle, capture: try capture.dropping(packet), vantage: vantage).findings.map(\.rule))
        }
        let unseen = try rules(without: end(isOwn: false), vantage)
        #expect(unseen == ["udx.ack", "udx.cause"])
        // Only the client sends something after its END that carries the next number.
        guard side == "client" else { return }
        #expect(try rules(without: end(isOwn: true), vantage).contains("udx.seq"))
        #expect(try !rules(without: end(isOwn: true), .path).contains("udx.seq"))
    }

    private enum Unexpected: Error { case vantage }
}

extension Capture {
    /// The same without one packet.
    fileprivate func dropping(_ packet: CapturedPacket) throws -> Capture {
        var writer = PcapWriter(linkType: file.frames.first?.linkType ?? .ethernet)
        for (index, frame) in file.frames.enumerated() where index + 1 != packet.number {
            writer.add(frame: file.bytes.array(frame.range), timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength)
        }
        return Capture(try CaptureFile(CaptureBytes(writer.bytes, name: "part.pcap")))
    }
}
