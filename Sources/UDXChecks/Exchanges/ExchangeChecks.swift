import Conformance
import StrictJSON

/// One check for each golden exchange of `vectors/udx-exchanges.json`, whatever cases the file at hand holds.
public enum ExchangeChecks {
    static let name = "udx-exchanges"
    static let path = "vectors/udx-exchanges.json"

    /// The checks of this corpus. A file that can't be read yields one check that says why.
    public static func checks(in corpus: Corpus) -> [Check] {
        do {
            let file = try load(corpus)
            return zip(file.ids, file.cases).map { id, value in check(id, value, file) }
        } catch {
            let message = "\(error)"
            return [Check("udx.exchanges", [], .vector) { _ in throw CorpusError(message, file: path) }]
        }
    }

    private static func load(_ corpus: Corpus) throws -> VectorFile {
        try VectorFile(name, in: corpus, schema: "hyperswarm-exchanges/1")
    }

    private static func check(_ id: String, _ value: JSON, _ file: VectorFile) -> Check {
        func strings(_ key: String) -> [String] { value[key]?.array?.compactMap(\.string) ?? [] }
        // Shown by the case: what libudx meets, what ours must meet where libudx does not, what ours must bear from an old peer.
        let requirements = strings("requirements") + strings("deviates") + strings("concerns")
        return Check("udx.exchange.\(id)", requirements, requirements.isEmpty ? .vector : .machine) { exam in
            // A corpus with a damaged file is read again; otherwise the file was parsed once for all.
            let file = exam.corpus.overlays[path] == nil ? file : try load(exam.corpus)
            file.examine(exam, only: id) { node in
                let script = try ExchangeCase(node)
                if value["concerns"] != nil {
                    try ElderPeer(script: script, exam: exam).run()
                } else {
                    try ExchangeRunner(script, exam).run()
                }
            }
        }
    }
}
