import Conformance
import Dissection
import Foundation
import KeyLog
import PacketCapture
import SansIO
import StrictJSON
import TraceChecks

/// How to start a peer.
public struct PeerCommand: Sendable {
    public let name: String
    public let words: [String]

    public init(name: String, words: [String]) {
        self.name = name
        self.words = words
    }
}

/// One scenario between two peers, captured and judged.
public struct LiveCell: Sendable {
    public struct Outcome: Sendable {
        public let scenario: String
        public let first: String
        public let second: String
        public let verdict: Verdict
        /// One sentence for each thing that is wrong, or the reason why it did not run.
        public let reasons: [String]
        /// What was not judged, and why.
        public let notes: [String]
        public let packets: Int
        public let comparisons: Int
        /// The comparison with the recording of the same name; nil where there was none.
        public let diff: CaptureDiff?
        /// Folder with capture, key log, events, manifest; empty if nothing was kept.
        public let folder: String
    }

    /// Where a script's seeds, topics and payloads come from.
    public enum Source: Sendable {
        /// From the recording of the same name, and the run is held against it.
        case recording
        /// From the recording of the same name, if there is one; the run is held against nothing but the rules that every capture obeys.
        case recordedInputs
        /// Derived from a text; the run is held against nothing but the rules that every capture obeys.
        case text(String)
    }

    public let scenario: Scenario
    public let first: PeerCommand
    public let second: PeerCommand
    /// Hosts the network's nodes in a process of its own; nil: the first peer hosts them.
    public let host: PeerCommand?
    /// Where the bundle is kept.
    public let place: String
    /// Holds the recordings.
    public let corpus: Corpus?
    public let source: Source

    public init(
        scenario: Scenario, first: PeerCommand, second: PeerCommand, host: PeerCommand? = nil, place: String, corpus: Corpus?,
        source: Source = .recording
    ) {
        self.scenario = scenario
        self.first = first
        self.second = second
        self.host = host
        self.place = place
        self.corpus = corpus
        self.source = source
    }

    /// Milliseconds by which a waking thread may be late before rules of time are no evidence.
    static let stallLimit = 8

    private var recordingPath: String? {
        guard let corpus, FileManager.default.fileExists(atPath: "\(corpus.root)/Fixtures/\(scenario.name)/manifest.json") else {
            return nil
        }
        return "\(corpus.root)/Fixtures/\(scenario.name)"
    }

    public func run() -> Outcome {
        func outcome(
            _ verdict: Verdict, _ reasons: [String], packets: Int = 0, comparisons: Int = 0, diff: CaptureDiff? = nil
        )
            -> Outcome
        {
            Outcome(
                scenario: scenario.name, first: first.name, second: second.name, verdict: verdict, reasons: reasons, notes: notes,
                packets: packets,
                comparisons: comparisons, diff: diff, folder: place)
        }
        var notes: [String] = []
        var recorded: TraceBundle?
        let inputs: ScriptInputs
        do {
            try? FileManager.default.removeItem(atPath: place)
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            switch source {
            case .text(let text): inputs = ScriptInputs(scenario: scenario.name, text: text)
            case .recordedInputs:
                inputs =
                    try recordingPath.map { ScriptInputs(try TraceBundle(path: $0), scenario: scenario.name) }
                    ?? ScriptInputs(scenario: scenario.name, text: "hyperconform")
            case .recording:
                guard let path = recordingPath else {
                    return outcome(.notRun, ["no recording Fixtures/\(scenario.name) to be held against: run this inside a checkout"])
                }
                let bundle = try TraceBundle(path: path)
                inputs = ScriptInputs(bundle, scenario: scenario.name)
                recorded = bundle
            }
        } catch { return outcome(.harnessError, ["\(error)"]) }

        let capture: CaptureThread
        do { capture = try CaptureThread() } catch { return outcome(.harnessError, ["\(error)"]) }

        let meter = StallMeter()
        var peers: [PeerProcess] = []
        var verdict = Verdict.equivalent
        var reasons: [String] = []
        var context: ScenarioContext?
        do {
            for (number, command) in ([first, second] + (host.map { [$0] } ?? [])).enumerated() {
                let name = number == 2 ? "network" : first.name == second.name ? "\(command.name)-\(number + 1)" : command.name
                let peer = try PeerProcess(
                    name: name, command: command.words, environment: ["HYPERSWARM_KEYLOGFILE": "\(place)/keylog.\(number).jsonl"])
                peers.append(peer)
                try greet(peer)
            }
            let script = ScenarioContext(
                first: peers[0], second: peers[1], host: peers.count > 2 ? peers[2] : nil, scenario: scenario.name, inputs: inputs)
            context = script
            try scenario.run(script)
            try script.end()
        } catch let failure as PeerFailure {
            verdict = failure.verdict
            reasons.append(failure.description)
        } catch let missing as ScenarioNotRun {
            verdict = .notRun
            reasons.append(missing.reason)
        } catch {
            verdict = .fails
            reasons.append("\(error)")
        }
        for peer in peers where !peer.stop() && verdict.isPassed {
            verdict = .crash
            reasons.append("\(peer.name) did not leave with status 0 within five seconds after its input was closed")
        }
        for peer in peers where verdict.isPassed {
            guard let breach = peer.breach else { continue }
            verdict = .fails
            reasons.append("\(peer.name): \(breach)")
        }

        let stall = meter.stop()
        do {
            let evidence = try capture.finish()
            try write(evidence, peers: peers, manifest: context?.manifestPeers ?? JSONObject(), isOK: verdict.isPassed, to: place)
            if evidence.dropped > 0 || !evidence.hasMarkers {
                return outcome(.harnessError, reasons + ["the capture lost packets or a marker: it is no evidence"])
            }
            guard verdict.isPassed else {
                if verdict.isFailed { reasons += try explanations(recorded) }
                return outcome(verdict, reasons, packets: evidence.frames.count)
            }
            let bundle = try TraceBundle(path: place, name: scenario.name)
            let audit = TraceAudit(bundle)
            // A peer that was kept from running can't answer in time: then the rules of time are no evidence.
            let timed = stall > LiveCell.stallLimit ? audit.findings.filter { $0.rule == "udx.answer" }.count : 0
            let broken = audit.findings.filter { timed == 0 || $0.rule != "udx.answer" }
            for finding in broken.prefix(8) { reasons.append(finding.description) }
            if broken.count > 8 { reasons.append("and \(broken.count - 8) more that break a rule") }
            if timed > 0 {
                notes.append("late acknowledgements (\(timed)) are not judged: this machine kept threads waiting for \(stall) ms")
            }
            if let delay = context?.delay {
                let ghosts = SwarmDials(audit.dissection).ghosts(in: audit.dissection)
                let text = "\(delay.what), and had to be waited for \(delay.milliseconds) ms more"
                if ghosts.isEmpty {
                    reasons.append("\(text): nothing in the capture explains it")
                } else {
                    notes.append(
                        "\(text): dials that had been given up were answered late and took the place of connections in use "
                            + "(packets \(ghosts.map(String.init).joined(separator: ", "))), as the reference's rule for crossing dials has it"
                    )
                }
            }
            let diff = recorded.map { Diff.compare($0, bundle) }
            let differing = diff?.findings ?? []
            for finding in differing.prefix(8) { reasons.append(LiveCell.sentence(finding)) }
            if differing.count > 8 { reasons.append("and \(differing.count - 8) more that differ from the recording") }
            if !reasons.isEmpty { verdict = .deviates }
            return outcome(
                verdict, reasons, packets: evidence.frames.count,
                comparisons: (context?.comparisons ?? 0) + audit.report.comparisons.values.reduce(0, +) + (diff?.comparedFields ?? 0),
                diff: diff)
        } catch {
            return outcome(.harnessError, reasons + ["\(error)"])
        }
    }

    /// What the capture of a run that failed shows of the cause: rules that its packets break, and fields that differ from the recording's.
    /// What is missing from a run that stopped says nothing.
    private func explanations(_ recorded: TraceBundle?) throws -> [String] {
        let bundle = try TraceBundle(path: place, name: scenario.name)
        let audit = TraceAudit(bundle)
        // Once the script has stopped nobody asks the nodes anything else, so the rules take them for gone.
        var silent: [String: Set<Endpoint>] = [:]
        for exchange in audit.dissection.exchanges
        where !exchange.isInternal && exchange.origin == nil && exchange.response == nil && exchange.requests.count > 2 {
            silent[exchange.command, default: []].insert(exchange.responder)
        }
        let mute = silent.sorted { $0.key < $1.key }.filter { $0.value.count > 2 && $0.key != "PEER_HANDSHAKE" }.map {
            "\($0.value.count) nodes never answered \($0.key), however often it was repeated (hyperdht.answered)"
        }
        let broken = audit.findings
        let changed = recorded.map { Diff.compare($0, bundle).findings.filter { $0.kind == .changed } } ?? []
        return broken.prefix(4).map(\.description) + mute + changed.prefix(4).map(LiveCell.sentence)
    }

    /// "differs from the recording: ..." with field, both values and both packets.
    private static func sentence(_ finding: DiffFinding) -> String {
        let places = [finding.packetA.map { "recorded packet \($0)" }, finding.packetB.map { "packet \($0)" }].compactMap { $0 }
        return "differs from the recording: \(finding.conversation): \(finding.field) \(finding.kind.rawValue), "
            + "\(finding.a.prefix(120)) became \(finding.b.prefix(120)) (\(places.joined(separator: ", ")); rule: \(finding.rule))"
    }

    /// Hello, and the nonsense command that every run asks.
    private func greet(_ peer: PeerProcess) throws {
        let hello = try peer.request("hello", ["contract": 1], seconds: 20)
        let layers = Set((hello["layers"]?.array ?? []).compactMap(\.string))
        let commands = Set((hello["commands"]?.array ?? []).compactMap(\.string))
        do {
            try peer.request("hyperconform-nonsense", seconds: 10)
            throw PeerFailure(kind: .contract, peer: peer.name, message: "it accepts a command that does not exist", code: nil)
        } catch let failure as PeerFailure where failure.kind == .unsupported {}
        for layer in scenario.layers where !layers.contains(layer) {
            throw PeerFailure(kind: .unsupported, peer: peer.name, message: "it has no layer \(layer)", code: nil)
        }
        for command in scenario.commands where !commands.contains(command) {
            throw PeerFailure(kind: .unsupported, peer: peer.name, message: "it has no command \(command)", code: nil)
        }
    }

    private var implementation: String {
        let pair = first.name == second.name ? first.name : "\(first.name) and \(second.name)"
        return pair + (host.map { " on a network of \($0.name)" } ?? "")
    }

    private func write(_ evidence: CaptureThread.Result, peers: [PeerProcess], manifest: JSONObject, isOK: Bool, to place: String) throws {
        var logs: [KeyLogEntry] = []
        for number in 0..<3 {
            let path = "\(place)/keylog.\(number).jsonl"
            guard let data = FileManager.default.contents(atPath: path), !data.isEmpty else { continue }
            logs += try KeyLog(parsing: [UInt8](data), file: path).entries
            try? FileManager.default.removeItem(atPath: path)
        }
        logs.sort { $0.time < $1.time }
        let start = evidence.frames.first.map { Instant(microseconds: $0.timeNanoseconds / 1000) } ?? .zero
        try Data(KeyLog(entries: logs).text(headerTime: start).utf8).write(to: URL(fileURLWithPath: "\(place)/keylog.jsonl"))

        var writer = PcapNGWriter(linkType: evidence.linkType, interfaceName: "lo")
        if !logs.isEmpty { writer.add(keyLog: KeyLog(entries: logs), headerTime: start) }
        for frame in evidence.frames {
            writer.add(frame: frame.bytes, timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength)
        }
        try Data(writer.take()).write(to: URL(fileURLWithPath: "\(place)/capture.pcapng"))

        var events = ""
        var lines: [(Int64, String)] = []
        for peer in peers {
            for (time, json) in peer.transcript where json["event"] != nil {
                var object = JSONObject()
                object.set("t", json["t"] ?? .integer(time))
                object.set("who", .string(peer.name))
                for member in json.object?.members ?? [] where member.key != "t" { object.set(member.key, member.value) }
                lines.append((json["t"]?.integer ?? time, JSON.object(object).text()))
            }
        }
        for line in lines.sorted(by: { $0.0 < $1.0 }) { events += line.1 + "\n" }
        try Data(events.utf8).write(to: URL(fileURLWithPath: "\(place)/events.jsonl"))

        var calls: [(Int64, JSON)] = []
        for peer in peers {
            for (time, command, arguments) in peer.calls {
                calls.append(
                    (
                        time,
                        [
                            "t": .integer(time), "kind": "call", "object": .string(peer.name), "id": .null, "method": .string(command),
                            "args": [.object(arguments)],
                        ]
                    ))
            }
        }
        let header: JSON = ["t": .integer(start.microseconds), "kind": "header", "schema": "hyperswarm-inputs/1"]
        let inputs = [header.text()] + calls.sorted { $0.0 < $1.0 }.map { $0.1.text() }
        try Data((inputs.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: "\(place)/inputs.jsonl"))

        let text: JSON = [
            "schema": "hyperswarm-trace/1", "scenario": .string(scenario.name),
            "implementation": .string(implementation),
            "peers": .object(manifest),
            "ok": .bool(isOK),
        ]
        try Data((text.text(indent: 2) + "\n").utf8).write(to: URL(fileURLWithPath: "\(place)/manifest.json"))
        let transcript = peers.flatMap { peer in peer.transcript.map { "\(peer.name) \($0.time) \($0.json.text())" } }
        try Data((transcript.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: "\(place)/transcript.txt"))
    }
}
