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
        /// What was not judged, and why.
        public let notes: [String]
        /// Packets in the public capture.
        public let packets: Int
        public let comparisons: Int
        /// Folder with captures, key log, events, manifest, transcript and verdict; empty if nothing was kept.
        public let folder: String

        public var json: JSON {
            [
                "cell": .string(cell), "first": .string(first), "second": .string(second), "verdict": .string(verdict.rawValue),
                "story": .string(story), "reasons": .array(reasons.map { .string($0) }), "notes": .array(notes.map { .string($0) }),
                "packets": .integer(packets), "comparisons": .integer(comparisons), "folder": .string(folder),
            ]
        }
    }

    public let cell: NATLabCell
    /// Listens.
    public let first: PeerCommand
    /// Dials.
    public let second: PeerCommand
    /// Hosts the public nodes.
    public let network: PeerCommand
    /// How many of them.
    public let nodes: Int
    /// Bundles are kept in `folder/nat-CELL.FIRST.SECOND`.
    public let folder: String
    /// This program, whose `capture` command is used.
    public let program: String

    public init(
        cell: NATLabCell, first: PeerCommand, second: PeerCommand, network: PeerCommand, nodes: Int = NATLab.usualNodes, folder: String,
        program: String
    ) {
        self.cell = cell
        self.first = first
        self.second = second
        self.network = network
        self.nodes = nodes
        self.folder = folder
        self.program = program
    }

    public func run() -> Outcome {
        var result = Result()
        if let obstacle = NATLab.obstacle() {
            result.end(.notRun, obstacle)
            return outcome(result, kept: "")
        }
        let place = "\(folder)/nat-\(cell.name).\(first.name).\(second.name)"
        var kept = place
        do {
            try? FileManager.default.removeItem(atPath: place)
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            let lab = try NATLab(cell, nodes: nodes)
            defer { lab.remove() }
            try judge(lab, place, &result)
        } catch let failure as NATLab.Failure where failure.isMissing {
            result.end(.notRun, failure.description)
            try? FileManager.default.removeItem(atPath: place)
            kept = ""
        } catch { result.end(.harnessError, "\(error)") }
        return outcome(result, kept: kept)
    }

    /// What a run has found so far.
    private struct Result {
        var verdict = Verdict.equivalent
        var story = ""
        var reasons: [String] = []
        var notes: [String] = []
        var packets = 0
        var comparisons = 0

        mutating func end(_ verdict: Verdict, _ reason: String) {
            self.verdict = verdict
            reasons.append(reason)
        }
    }

    private func outcome(_ result: Result, kept: String) -> Outcome {
        Outcome(
            cell: cell.name, first: first.name, second: second.name, verdict: result.verdict, story: result.story, reasons: result.reasons,
            notes: result.notes, packets: result.packets, comparisons: result.comparisons, folder: kept)
    }

    private func judge(_ lab: NATLab, _ place: String, _ result: inout Result) throws {
        var captures: [NATLabCapture] = []
        defer { for capture in captures { capture.stop() } }
        for (namespace, interface, file) in [
            (lab.publicNamespace, "br0", "capture"), (lab.client.namespace, "lan", "capture.client"),
            (lab.server.namespace, "lan", "capture.server"),
        ] {
            captures.append(
                try NATLabCapture(program: program, namespace: namespace, interface: interface, path: "\(place)/\(file).pcapng"))
        }
        let meter = StallMeter()
        var script = NATLabScript(lab)
        do {
            for (name, command, namespace) in [
                ("dht", network, lab.publicNamespace), ("server", first, lab.server.namespace), ("client", second, lab.client.namespace),
            ] {
                script.peers.append(
                    try PeerProcess(
                        name: name, command: ["ip", "netns", "exec", namespace] + command.words,
                        environment: ["HYPERSWARM_KEYLOGFILE": "\(place)/keylog.\(name).jsonl"]))
            }
            result.story = try script.run()
        } catch let failure as PeerFailure {
            result.end(failure.verdict, failure.description)
        } catch { result.end(.fails, "\(error)") }
        // Whoever waits in vain for a peer that is gone is not to blame.
        for peer in script.peers where peer.hasEnded && result.verdict.isFailed && result.verdict != .crash {
            result.end(.crash, "\(peer.name) ended by itself\(peer.standardErrorTail.last.map { "; its last words: \($0)" } ?? "")")
        }
        // The client first, so that its farewells are in the capture.
        for peer in script.peers.reversed() where !peer.stop() && result.verdict.isPassed {
            result.end(.crash, "\(peer.name) did not leave with status 0 within five seconds after its input was closed")
        }
        for peer in script.peers where result.verdict.isPassed {
            if let breach = peer.breach { result.end(.fails, "\(peer.name): \(breach)") }
        }
        let stall = meter.stop()
        usleep(300_000)
        result.comparisons = script.comparisons
        // All of them are ended, whatever one of them says.
        let lossy = captures.filter { !$0.stop() }
        captures = []
        for capture in lossy { result.end(.harnessError, "\(capture.path) lost packets: it is no evidence") }
        try NATLabBundle.write(lab, script, "\(first.name) and \(second.name)", isOK: result.verdict.isPassed, to: place)
        guard lossy.isEmpty else { return }
        let bundle: TraceBundle
        do { bundle = try TraceBundle(path: place, name: "nat-\(cell.name)") } catch {
            // Who ends before the first packet leaves nothing to judge, and is judged for that.
            guard result.verdict.isPassed else { return }
            throw error
        }
        let evidence = NATLabEvidence(lab, bundle, stall: stall)
        if result.verdict.isPassed, !evidence.reasons.isEmpty { result.verdict = .deviates }
        result.reasons += evidence.reasons
        result.notes += evidence.notes
        if !evidence.story.isEmpty { result.story += "\(result.story.isEmpty ? "" : ", ")\(evidence.story)" }
        result.packets = bundle.capture.packets.count
        result.comparisons += evidence.comparisons
    }
}
