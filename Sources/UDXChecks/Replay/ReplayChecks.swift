import Conformance
import PacketCapture

/// Tier replay: our stream in the place of either side of the recorded plain UDX runs.
enum ReplayChecks {
    /// Scenarios of plain streams, and the requirements that each side shows.
    private static let scenarios: [(name: String, requirements: [String: [String]])] = [
        ("udx-bulk", ["a": ["UDX-37", "UDX-51", "UDX-54"], "b": ["UDX-15", "UDX-8", "UDX-53"]]),
        ("udx-both-ways", ["a": ["UDX-3", "UDX-8"], "b": ["UDX-3", "UDX-8"]]),
        ("udx-messages", ["a": ["UDX-70", "UDX-3", "UDX-60"], "b": ["UDX-69", "UDX-21", "UDX-60"]]),
        ("udx-destroy", ["a": ["UDX-61"], "b": ["UDX-62"]]),
        ("udx-half-open", ["a": ["UDX-54", "UDX-57"], "b": ["UDX-55", "UDX-58"]]),
        ("udx-lossy", ["a": ["UDX-44", "UDX-47", "UDX-48"], "b": ["UDX-17", "UDX-16", "UDX-53"]]),
        ("udx-head-heartbeat", ["a": ["UDX-71", "UDX-70"], "b": ["UDX-22"]]),
        ("udx-head-zero-window", ["a": ["UDX-29", "UDX-30", "UDX-31"], "b": ["UDX-22", "UDX-34b"]]),
    ]

    /// Two checks for each bundle of such a scenario in the corpus.
    static func checks(in corpus: Corpus) -> [Check] {
        guard let folders = try? TraceBundle.folders(in: corpus.root + "/Fixtures") else { return [] }
        return folders.flatMap { folder -> [Check] in
            let components = folder.split(separator: "/").map(String.init)
            let prefix = components.dropLast().last == "again" ? "again-" : ""
            guard let scenario = scenarios.first(where: { $0.name == components.last }) else { return [] }
            return ["a", "b"].map { role in
                Check("udx.replay.\(prefix)\(scenario.name).\(role)", scenario.requirements[role] ?? [], .replay) { exam in
                    let bundle: TraceBundle
                    do { bundle = try TraceBundle(path: folder) } catch { throw CorpusError("\(error)", file: folder) }
                    try replay(bundle, scenario.name, role, exam)
                }
            }
        }
    }

    /// The replay of any bundle of these scenarios.
    static func checks(of bundle: TraceBundle) -> [Check] {
        guard let scenario = scenarios.first(where: { $0.name == bundle.manifest?.scenario }) else { return [] }
        return ["a", "b"].map { role in
            Check("udx.replay.\(scenario.name).\(role)", scenario.requirements[role] ?? [], .replay) {
                try replay(bundle, scenario.name, role, $0)
            }
        }
    }

    private static func replay(_ bundle: TraceBundle, _ scenario: String, _ role: String, _ exam: Examination) throws {
        // A bundle of `hyperconform record` has the calls of the peer contract, not those of the reference's objects.
        guard bundle.inputs.isEmpty || bundle.inputs.contains(where: \.isOfUDXStream) else {
            return exam.notRun("the calls on its streams are not in \(bundle.name)/inputs.jsonl")
        }
        let script = try ReplayScript(bundle, role: role, exam)
        guard script.delay.silence <= ReadDelay.longest else {
            return exam.notRun(
                "its process was held up: packet \(script.delay.packet) lay unread, and nothing was sent, for "
                    + "\(script.delay.silence.microseconds) µs, so nothing tells what its timers did meanwhile")
        }
        var bounds = ReplayRunner.Bounds()
        // Where data crosses data a tail probe may come first; where packets are lost each copy of ours needs its own reason.
        if scenario == "udx-both-ways" { bounds.extraRetransmissions = 2 }
        if scenario == "udx-lossy" { bounds.extraRetransmissions = nil }
        try ReplayRunner(script, bounds, exam).run()
    }
}

extension RecordedInput {
    fileprivate var isOfUDXStream: Bool { if case .call("UDXStream", _, _, _) = kind { true } else { false } }
}
