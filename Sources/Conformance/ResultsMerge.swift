/// Results that can't be put together.
public struct MergeError: Error, Sendable, CustomStringConvertible {
    public let description: String
}

extension Results {
    /// Puts shards of one run together: each made with `run --layer` on the same corpus, no requirement in two of them.
    ///
    /// Order of requirements: by layer, then as in the shards.
    public static func merged(_ shards: [Results]) throws -> Results {
        guard var result = shards.first else { throw MergeError(description: "nothing to merge") }
        func same<T: Equatable>(_ what: String, _ path: KeyPath<Results, T>) throws {
            guard shards.allSatisfy({ $0[keyPath: path] == result[keyPath: path] }) else {
                throw MergeError(description: "the shards differ in \(what); shards must come from one build, one corpus and one seed")
            }
        }
        try same("implementation", \.implementation)
        try same("reference", \.referenceName)
        try same("corpusDigest", \.corpusDigest)
        try same("toolVersion", \.toolVersion)
        try same("seed", \.seed)
        try same("the number of vector cases", \.vectors.cases)
        let known = shards.allSatisfy { $0.coverage != nil }
        var entries: [RequirementEntry] = []
        var seen: Set<String> = []
        for entry in shards.flatMap(\.requirements) {
            guard seen.insert(entry.id).inserted else { throw MergeError(description: "\(entry.id) stands in two shards") }
            entries.append(entry)
        }
        // A check that speaks for two layers runs in two shards, and kills the mutants of one in each.
        var kills: [String: Set<String>] = [:]
        for check in entries.flatMap(\.checks) { kills[check.id, default: []].formUnion(check.evidence.kills) }
        for entry in entries.indices {
            for check in entries[entry].checks.indices {
                entries[entry].checks[check].evidence.kills = kills[entries[entry].checks[check].id]?.sorted() ?? []
            }
        }
        result.requirements = Layers.all.flatMap { layer in entries.filter { $0.layer == layer } }
        result.score = score(result.requirements)
        result.coverage = known ? coverage(result.requirements) : nil
        result.layers = layers(result.requirements, coverageKnown: known)
        result.reference = Counts()
        result.vectors = Vectors(cases: result.vectors.cases)
        var bundles: [String: Bundle] = [:]
        for shard in shards {
            result.reference.total += shard.reference.total
            result.reference.passed += shard.reference.passed
            result.reference.failed += shard.reference.failed
            result.reference.notRun += shard.reference.notRun
            result.vectors.passed += shard.vectors.passed
            result.vectors.fieldsExpected += shard.vectors.fieldsExpected
            result.vectors.fieldsCompared += shard.vectors.fieldsCompared
            for bundle in shard.bundles {
                var known = bundles[bundle.name] ?? bundle
                known.packets = max(known.packets, bundle.packets)
                known.unexplained = max(known.unexplained, bundle.unexplained)
                known.verdict = Judgement.worse(known.verdict, bundle.verdict)
                bundles[bundle.name] = known
            }
        }
        guard result.vectors.passed <= result.vectors.cases else {
            throw MergeError(description: "a vector case was counted in two shards; make the shards with run --layer")
        }
        result.bundles = bundles.values.sorted { $0.name < $1.name }
        return result
    }
}
