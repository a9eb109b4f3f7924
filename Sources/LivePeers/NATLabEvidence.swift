import PacketCapture
import SansIO
import TraceChecks

/// What the captures of a cell say, beyond what the peers say.
///
/// What a host sends is judged in the host's own capture: there is all that it sent, and all that it received. The public side is complete
/// only where nothing gets lost on the way and no host talks past it.
struct NATLabEvidence {
    /// One sentence for each thing that is wrong.
    private(set) var reasons: [String] = []
    /// What the hindrance of the cell did ("21 of 480 packets lost"); empty without one.
    private(set) var story = ""
    /// What was not judged, and why.
    private(set) var notes: [String] = []
    private(set) var comparisons = 0

    /// `stall`: milliseconds by which this machine woke a thread late.
    init(_ lab: NATLab, _ bundle: TraceBundle, stall: Int) {
        var late = 0
        for (name, capture, vantage) in TraceVantage.captures(of: bundle) {
            let audit = TraceAudit(bundle, capture: capture, vantage: vantage)
            comparisons += audit.report.comparisons.values.reduce(0, +)
            // A peer that was kept from running can't answer in time.
            let broken = stall > LiveCell.stallLimit ? audit.findings.filter { $0.rule != "udx.answer" } : audit.findings
            late += audit.findings.count - broken.count
            let place = name == "capture" ? "" : "\(name): "
            reasons += broken.prefix(8).map { place + $0.description }
            if broken.count > 8 { reasons.append("\(place)and \(broken.count - 8) more findings") }
        }
        if late > 0 { notes.append("late acknowledgements (\(late)) are not judged: this machine kept threads waiting for \(stall) ms") }
        path(lab, bundle.capture.packets)
        let client = bundle.extraCaptures.first { $0.name == "client" }?.capture.packets ?? []
        hindrance(lab, publicSide: bundle.capture.packets, client: client)
    }

    private mutating func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) {
        comparisons += 1
        if !condition { reasons.append(sentence()) }
    }

    /// That what stands in the client's way was felt: a cell in which nothing was lost or held back would prove nothing.
    private mutating func hindrance(_ lab: NATLab, publicSide: [CapturedPacket], client: [CapturedPacket]) {
        let server = lab.server.publicAddress
        func between(_ packets: [CapturedPacket], _ from: String, _ to: String) -> [CapturedPacket] {
            packets.filter { $0.source.address.description == from && $0.destination.address.description == to }
        }
        let sent = between(client, lab.client.address, server)
        let passed = between(publicSide, lab.client.publicAddress, server)
        switch lab.cell.hindrance {
        case .loss:
            let back = between(publicSide, server, lab.client.publicAddress)
            let received = between(client, server, lab.client.address)
            let lost = sent.count - passed.count + back.count - received.count
            story = "\(lost) of \(sent.count + back.count) packets lost"
            expect(lost > 0, "no packet was lost between the two hosts: the cell proves nothing")
        case .rate:
            let bytes = passed.reduce(0) { $0 + $1.payload.count }
            let seconds = passed.first.flatMap { first in
                passed.last.map { Double($0.timeNanoseconds - first.timeNanoseconds) / 1e9 }
            }
            story = "\(bytes) bytes in \(Int((seconds ?? 0) * 1000)) ms, \(sent.count - passed.count) of \(sent.count) packets lost"
            // The bucket lets 16 kB through at once, then 4 Mbit/s, of which a quarter is allowed for what the capture's clock tells.
            let least = Double(max(0, bytes - 16_384)) * 8 / 5e6
            expect((seconds ?? 0) >= least, "\(bytes) bytes came through in \(seconds ?? 0) s: the router holds nothing back")
        case .delay, nil: break
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
                $0.source.address.description == side.publicAddress && lab.dhtAddresses.contains($0.destination.address.description)
            }
            let ports = Set(sent.map(\.source.port)).count
            let isRandom = kind == .random
            expect(
                isRandom ? ports >= min(6, lab.dhtAddresses.count) : ports <= 6,
                "a router called \(kind.rawValue) shows \(ports) ports to the public nodes")
        }
    }
}
