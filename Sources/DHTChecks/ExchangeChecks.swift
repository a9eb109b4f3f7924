import Conformance
import StrictJSON

/// The golden exchanges: one check for each case of the file.
enum ExchangeChecks {
    /// One check for each case of the corpus; none if its file can't be used, which the list of vector files shows.
    static func checks(in corpus: Corpus, layer: String) -> [Check] {
        guard let text = try? corpus.read(VectorFile.path(Exchange.file)),
            let file = try? VectorFile(Exchange.file, in: corpus, schema: Exchange.schema)
        else { return [] }
        return file.cases.compactMap { json in
            guard let id = json["id"]?.string else { return nil }
            let requirements = (json["requirements"]?.array ?? []).compactMap(\.string)
            guard (id.hasPrefix("hdht-") ? "hyperdht" : "dht-rpc") == layer else { return nil }
            // A case without requirement judges nothing that counts; tier vector alone may carry none.
            return Check("dht.exchange.\(id)", requirements, requirements.isEmpty ? .vector : .machine) { exam in
                // The file is large: it is parsed anew only if it is another one (a test that damages it).
                if let now = try? exam.corpus.read(VectorFile.path(Exchange.file)), now == text { return try run(json, exam) }
                let file = try VectorFile(Exchange.file, in: exam.corpus, schema: Exchange.schema)
                guard let json = file.cases.first(where: { $0["id"]?.string == id }) else {
                    return exam.notRun("\(file.path) has no case \(id)")
                }
                try run(json, exam)
            }
        }
    }

    static func run(_ json: JSON, _ exam: Examination) throws {
        let path = VectorFile.path(Exchange.file)
        let before = exam.findingCount
        do {
            try play(try ExchangeCase(json), exam)
        } catch let error as ExchangeUnsupported {
            return exam.notRun("the node does not offer \(error.what)")
        } catch let error as ExchangeFormatError {
            // The file says something that the runner does not understand: nobody is judged by it.
            throw CorpusError("\(json["id"]?.string ?? "?"), \(error.description)", file: path)
        }
        if exam.notRunReason != nil { return }
        // The runner went through every step in order, and compared what each expects.
        exam.record(
            VectorCaseResult(
                file: path, id: json["id"]?.string ?? "", passed: exam.findingCount == before, compared: expectations(json), unused: []))
    }

    private static func play(_ exchange: ExchangeCase, _ exam: Examination) throws {
        guard let node = try ExchangeFactory.node(for: exchange) else { return exam.notRun("this case needs HyperDHT's machine") }
        guard exchange.isInformative else { return try ExchangeRunner(exchange, node, exam).run() }
        // What Node does where no requirement asks for it: a difference is shown, and is no failure.
        let trial = Examination(corpus: exam.corpus, seed: exam.seed)
        try ExchangeRunner(exchange, node, trial).run()
        exam.count(trial.comparisons)
        for finding in trial.findings {
            exam.allow("informative; \(finding.location): \(finding.field) is \(finding.actual), Node's is \(finding.expected)")
        }
    }

    /// Paths of what the steps expect: datagrams, events, counts.
    private static func expectations(_ json: JSON) -> Set<String> {
        let id = json["id"]?.string ?? ""
        var paths: Set<String> = []
        for (index, step) in (json["steps"]?.array ?? []).enumerated() {
            for key in ["event", "noEvent", "count", "stream", "answers", "wire"] where step[key] != nil {
                paths.insert("\(id).steps[\(index)].\(key)")
            }
            for number in (step["receive"]?.array ?? []).indices { paths.insert("\(id).steps[\(index)].receive[\(number)]") }
        }
        return paths
    }
}
