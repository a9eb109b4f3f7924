import PacketCapture
import SansIO
import TraceChecks

/// What the captures of a cell say, beyond what the peers say.
struct NATLabEvidence {
    /// One sentence for each thing that is wrong.
    private(set) var reasons: [String] = []
    /// Rules that the public side can't judge in this cell, and why.
    private(set) var notJudged: [String] = []
    private(set) var comparisons = 0

    init(_ lab: NATLab, _ bundle: TraceBundle) {
        let audit = TraceAudit(bundle)
        comparisons = audit.report.comparisons.values.reduce(0, +)
        let client = bundle.extraCaptures.first { $0.name == "client" }?.capture.packets ?? []
        var findings: [TraceFinding] = []
        for finding in audit.findings {
            if lab.cell.hindrance == .loss, finding.rule == "udx.seq" {
                note("udx.seq: packets are lost before the bridge")
            } else if lab.cell.isLAN, finding.rule == "hyperdht.fast-open", hasFastOpen(lab, client) {
                // To the common router's own address: such a probe never comes to the bridge. It was looked for where it must be.
                note("hyperdht.fast-open: seen in the client's capture instead")
            } else {
                findings.append(finding)
            }
        }
        reasons = findings.prefix(8).map(\.description)
        if findings.count > 8 { reasons.append("and \(findings.count - 8) more findings in the public capture") }
        path(lab, bundle.capture.packets)
    }

    private mutating func note(_ text: String) { if !notJudged.contains(text) { notJudged.append(text) } }

    private mutating func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) {
        comparisons += 1
        if !condition { reasons.append(sentence()) }
    }

    private func hasFastOpen(_ lab: NATLab, _ packets: [CapturedPacket]) -> Bool {
        packets.contains {
            $0.payload == [0] && $0.timeToLive <= 5 && $0.source.address.description == lab.client.address
                && $0.destination.address.description == lab.server.publicAddress
        }
    }

    /// Where the echo's 100 kB went: through the relay, from host to host, or not over the public network at all. An aborted cell has none.
    private mutating func path(_ lab: NATLab, _ packets: [CapturedPacket]) {
        func bytes(_ a: String, _ b: String) -> Int {
            packets.reduce(0) { sum, packet in
                let (from, to) = (packet.source.address.description, packet.destination.address.description)
                return (from, to) == (a, b) || (from, to) == (b, a) ? sum + packet.payload.count : sum
            }
        }
        let direct = bytes(lab.client.publicAddress, lab.server.publicAddress)
        // Echoed, so twice the message at least; probes and handshakes stay far below a tenth of it.
        let (least, most) = (200_000, 20_000)
        switch lab.cell.expectation {
        case .aborts: expect(direct < most, "\(direct) bytes went from host to host although the connection was given up")
        case .connects where lab.cell.isLAN: expect(direct < most, "\(direct) bytes of a connection in one network left it")
        case .connects where lab.cell.hasRelay:
            expect(direct < most, "\(direct) bytes went from host to host past the relay")
            for side in [lab.client, lab.server] {
                let relayed = bytes(side.publicAddress, NATLab.relayAddress)
                expect(relayed >= least, "only \(relayed) bytes went between \(side.publicAddress) and the relay")
            }
        case .connects: expect(direct >= least, "only \(direct) bytes went from host to host over the public network")
        }
        routers(lab, packets)
    }

    /// The lab itself: a router that is called consistent shows few ports, a random one about as many as it has destinations.
    private mutating func routers(_ lab: NATLab, _ packets: [CapturedPacket]) {
        guard !lab.cell.isLAN else { return }
        for (side, kind) in [(lab.client, lab.cell.client), (lab.server, lab.cell.server)] {
            let sent = packets.filter {
                $0.source.address.description == side.publicAddress && NATLab.dhtAddresses.contains($0.destination.address.description)
            }
            let ports = Set(sent.map(\.source.port)).count
            let isRandom = kind == .random
            expect(isRandom ? ports >= 6 : ports <= 6, "a router called \(kind.rawValue) shows \(ports) ports to the public nodes")
        }
    }
}
