import Conformance
import Foundation
import PacketCapture
import StrictJSON

/// Runs one cell of the NAT lab: makes it, lets the client dial the server, captures on the public side and on both hosts, judges, removes it.
public struct NATLabRun: Sendable {
    public struct Outcome: Sendable {
        public let cell: String
        public let first: String
        public let second: String
        public let verdict: Verdict
        /// What happened, in a few words: "connected to 198.18.0.20 in 0.4 s".
        public let story: String
        /// One sentence for each thing that is wrong, or the reason why it did not run.
        public let reasons: [String]
        /// Packets in the public capture.
        public let packets: Int
        public let comparisons: Int
    }

    public let cell: NATLabCell
    /// Listens.
    public let first: PeerCommand
    /// Dials.
    public let second: PeerCommand
    /// Hosts the public nodes.
    public let network: PeerCommand
    /// Bundles are kept in `folder/nat-CELL.FIRST.SECOND`.
    public let folder: String
    /// This program, whose `capture` command is used.
    public let program: String

    public init(cell: NATLabCell, first: PeerCommand, second: PeerCommand, network: PeerCommand, folder: String, program: String) {
        self.cell = cell
        self.first = first
        self.second = second
        self.network = network
        self.folder = folder
        self.program = program
    }

    public func run() -> Outcome {
        func outcome(_ verdict: Verdict, _ story: String, _ reasons: [String], packets: Int = 0, comparisons: Int = 0) -> Outcome {
            Outcome(
                cell: cell.name, first: first.name, second: second.name, verdict: verdict, story: story, reasons: reasons, packets: packets,
                comparisons: comparisons)
        }
        if let obstacle = NATLab.obstacle() { return outcome(.notRun, "", [obstacle]) }
        let place = "\(folder)/nat-\(cell.name).\(first.name).\(second.name)"
        do {
            try? FileManager.default.removeItem(atPath: place)
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            let lab = try NATLab(cell)
            defer { lab.remove() }
            return try judge(lab, place, outcome)
        } catch let failure as NATLab.Failure {
            return outcome(failure.isMissing ? .notRun : .harnessError, "", [failure.description])
        } catch {
            return outcome(.harnessError, "", ["\(error)"])
        }
    }

    private func judge(
        _ lab: NATLab, _ place: String, _ outcome: (Verdict, String, [String], Int, Int) -> Outcome
    ) throws -> Outcome {
        var captures: [NATLabCapture] = []
        defer { for capture in captures { capture.stop() } }
        for (namespace, interface, file) in [
            (lab.publicNamespace, "br0", "capture"), (lab.client.namespace, "lan", "capture.client"),
            (lab.server.namespace, "lan", "capture.server"),
        ] {
            captures.append(
                try NATLabCapture(program: program, namespace: namespace, interface: interface, path: "\(place)/\(file).pcapng"))
        }
        var script = NATLabScript(lab)
        var verdict = Verdict.equivalent
        var reasons: [String] = []
        var story = ""
        do {
            for (name, command, namespace) in [
                ("dht", network, lab.publicNamespace), ("server", first, lab.server.namespace), ("client", second, lab.client.namespace),
            ] {
                script.peers.append(
                    try PeerProcess(
                        name: name, command: ["ip", "netns", "exec", namespace] + command.words,
                        environment: ["HYPERSWARM_KEYLOGFILE": "\(place)/keylog.\(name).jsonl"]))
            }
            story = try script.run()
        } catch let failure as PeerFailure {
            verdict =
                switch failure.kind {
                case .unsupported: .unsupported
                case .hang: .hang
                case .crash: .crash
                case .refused, .contract: .fails
                }
            reasons.append(failure.description)
        } catch {
            verdict = .fails
            reasons.append("\(error)")
        }
        // The client first, so that its farewells are in the capture.
        for peer in script.peers.reversed() where !peer.stop() && verdict.isPassed {
            verdict = .crash
            reasons.append("\(peer.name) did not leave with status 0 within five seconds after its input was closed")
        }
        for peer in script.peers where verdict.isPassed {
            guard let breach = peer.breach else { continue }
            verdict = .fails
            reasons.append("\(peer.name): \(breach)")
        }
        usleep(300_000)
        for capture in captures where !capture.stop() {
            return outcome(.harnessError, story, reasons + ["\(capture.path) lost packets: it is no evidence"], 0, script.comparisons)
        }
        captures = []
        try NATLabBundle.write(lab, script, "\(first.name) and \(second.name)", isOK: verdict.isPassed, to: place)
        let bundle = try TraceBundle(path: place, name: "nat-\(cell.name)")
        let evidence = NATLabEvidence(lab, bundle)
        reasons += evidence.reasons
        if verdict.isPassed, !evidence.reasons.isEmpty { verdict = .deviates }
        if !evidence.notJudged.isEmpty { story += " (not judged on the public side: \(evidence.notJudged.joined(separator: "; ")))" }
        return outcome(verdict, story, reasons, bundle.capture.packets.count, script.comparisons + evidence.comparisons)
    }
}
