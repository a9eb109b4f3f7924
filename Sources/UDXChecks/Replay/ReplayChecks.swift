import Conformance
import PacketCapture

/// Tier replay: our stream in the place of either side of the recorded plain UDX runs.
enum ReplayChecks {
    private static let runs: [(bundle: String, requirements: [String: [String]])] = [
        ("udx-bulk", ["a": ["UDX-37", "UDX-51", "UDX-54"], "b": ["UDX-15", "UDX-8", "UDX-53"]]),
        ("udx-both-ways", ["a": ["UDX-3", "UDX-8"], "b": ["UDX-3", "UDX-8"]]),
        ("udx-messages", ["a": ["UDX-70", "UDX-3", "UDX-60"], "b": ["UDX-69", "UDX-21", "UDX-60"]]),
        ("udx-destroy", ["a": ["UDX-61"], "b": ["UDX-62"]]),
        ("udx-half-open", ["a": ["UDX-54", "UDX-57"], "b": ["UDX-55", "UDX-58"]]),
        ("udx-lossy", ["a": ["UDX-44", "UDX-47", "UDX-48"], "b": ["UDX-17", "UDX-16", "UDX-53"]]),
        ("again/udx-both-ways", ["a": ["UDX-3", "UDX-8"], "b": ["UDX-3", "UDX-8"]]),
        ("again/udx-messages", ["a": ["UDX-70"], "b": ["UDX-69"]]),
        ("again/udx-destroy", ["a": ["UDX-61"], "b": ["UDX-62"]]),
        ("again/udx-half-open", ["a": ["UDX-54"], "b": ["UDX-55"]]),
        ("again/udx-lossy", ["a": ["UDX-44", "UDX-47"], "b": ["UDX-17"]]),
        ("udx-head-heartbeat", ["a": ["UDX-71", "UDX-70"], "b": ["UDX-22"]]),
        ("udx-head-zero-window", ["a": ["UDX-29", "UDX-30", "UDX-31"], "b": ["UDX-22", "UDX-34b"]]),
    ]

    static let checks: [Check] = runs.flatMap { run in
        ["a", "b"].map { role in
            let id = "udx.replay.\(run.bundle.split(separator: "/").joined(separator: "-")).\(role)"
            return Check(id, run.requirements[role] ?? [], .replay) { exam in
                let path = "\(exam.corpus.root)/Fixtures/\(run.bundle)"
                let bundle: TraceBundle
                do { bundle = try TraceBundle(path: path) } catch { throw CorpusError("\(error)", file: "Fixtures/\(run.bundle)") }
                let script = try ReplayScript(bundle, role: role, exam)
                var bounds = ReplayRunner.Bounds()
                // Where data crosses data a tail probe may come first; where packets are lost a copy of ours may leave before the recorded one.
                if run.bundle.hasSuffix("both-ways") { bounds.extraRetransmissions = 2 }
                if run.bundle.hasSuffix("lossy") { bounds.extraPerLoss = 4 }
                try ReplayRunner(script, bounds, exam).run()
            }
        }
    }
}
