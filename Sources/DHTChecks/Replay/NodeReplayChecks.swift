import Conformance
import Dissection
import KeyLog
import PacketCapture

/// Tier replay: our node in the place of every recorded one, bundle by bundle.
public enum NodeReplayChecks {
    /// Scenarios of DHT nodes, and the requirements that each shows.
    static let scenarios: [(name: String, requirements: [String])] = [
        ("dht-bootstrap", ["DHT-1", "DHT-3", "DHT-4", "DHT-14", "DHT-15", "DHT-48"]),
        ("dht-rpc-commands", ["DHT-1", "DHT-5", "DHT-11", "DHT-14", "DHT-21", "DHT-23", "DHT-26", "DHT-33", "DHT-43"]),
        ("announce-lookup", ["DHT-41", "HDHT-14", "HDHT-17", "HDHT-19", "HDHT-21"]),
        ("mutable-immutable", ["DHT-41", "HDHT-24", "HDHT-25", "HDHT-27", "HDHT-29"]),
        ("connect-direct", ["HDHT-7", "HDHT-40", "HDHT-62a", "HDHT-64"]),
        ("connect-firewalled", ["HDHT-36", "HDHT-37", "HDHT-62a"]),
        ("connect-holepunch", ["HDHT-36", "HDHT-37", "HDHT-47", "HDHT-49", "HDHT-53"]),
        ("connect-rejected", ["HDHT-36", "HDHT-44"]),
        ("connect-not-found", ["HDHT-3"]),
        ("connect-relayed", ["HDHT-36", "HDHT-37", "HDHT-66"]),
        ("nat-consistent-consistent", ["HDHT-36", "HDHT-37", "HDHT-47", "HDHT-49", "HDHT-51", "HDHT-59"]),
        ("nat-random-consistent", ["HDHT-36", "HDHT-37", "HDHT-47", "HDHT-49", "HDHT-51"]),
    ]

    /// One check for each bundle of such a scenario in the corpus.
    static func checks(in corpus: Corpus, layer: String) -> [Check] {
        guard let folders = try? TraceBundle.folders(in: corpus.root + "/Fixtures") else { return [] }
        return folders.compactMap { folder in
            let components = folder.split(separator: "/").map(String.init)
            let isAgain = components.dropLast().last == "again"
            guard let name = components.last, let scenario = scenarios.first(where: { $0.name == name }) else { return nil }
            let isPlain = !scenario.requirements.contains { $0.hasPrefix("HDHT") }
            guard isPlain == (layer == "dht-rpc") else { return nil }
            return Check("dht.replay.\(isAgain ? "again-" : "")\(name)", scenario.requirements, .replay) { exam in
                let bundle: TraceBundle
                do {
                    bundle = try TraceBundle(path: folder)
                } catch { throw CorpusError("\(error)", file: folder) }
                try replay(bundle, exam)
            }
        }
    }

    /// The replay of any bundle of these scenarios; nil for another one.
    public static func check(_ bundle: TraceBundle) -> Check? {
        guard let name = bundle.manifest?.scenario, let scenario = scenarios.first(where: { $0.name == name }) else { return nil }
        return Check("dht.replay.\(name)", scenario.requirements, .replay) { try replay(bundle, $0) }
    }

    private static func replay(_ bundle: TraceBundle, _ exam: Examination) throws {
        let views = (bundle.manifest?.peers ?? []).compactMap { NodeView(bundle, $0) }
        let starts = NodeStart.assigned(bundle, views)
        guard !views.isEmpty, views.allSatisfy({ starts[$0.peer.name] != nil }) else {
            return exam.notRun("the draws with which its nodes began are not in \(bundle.name)/inputs.jsonl")
        }
        let delay = views.map { ReadTimes.longestDelay([$0.server, $0.client], $0.packets, keys: $0.keys) }.max() ?? .zero
        if delay > NodeReplay.longestDelay {
            return exam.notRun(
                "its process was held up: a request lay unread for \(delay.milliseconds) ms, so nothing tells what its timers did meanwhile"
            )
        }
        let dissection = Dissection(bundle)
        var allowed: Set<String> = []
        for view in views {
            guard let start = starts[view.peer.name] else { continue }
            let replay = NodeReplay(bundle, view, start, NodeCalls(bundle, view, dissection), exam)
            try replay.run()
            var comparison = NodeComparison(replay, allowed: allowed)
            allowed = comparison.run(exam)
        }
    }
}
