/// Turns what the checks said into verdicts on requirements.
public enum Judgement {
    /// Subjects that count for the implementation under test.
    static func counts(_ subject: Subject) -> Bool {
        switch subject {
        case .codec, .stack, .peer: true
        case .recording: false
        }
    }

    /// The verdict on a requirement from the checks that judge the implementation under test.
    ///
    /// Passed only if every check that ran passed, and at least one ran. A failure outweighs everything; a harness error outweighs a pass,
    /// for then one of the judges was not able to speak.
    public static func verdict(_ checks: [Results.CheckEntry]) -> (Verdict, String) {
        let own = checks.filter { counts($0.subject) }
        for severe in [Verdict.crash, .hang, .fails, .deviates, .flaky] {
            if let entry = own.first(where: { $0.verdict == severe }) { return (severe, reason(entry)) }
        }
        if let entry = own.first(where: { $0.verdict == .harnessError }) { return (.harnessError, reason(entry)) }
        if own.contains(where: { $0.verdict == .equivalent }) { return (.equivalent, "") }
        if own.contains(where: { $0.verdict == .exact }) { return (.exact, "") }
        if let entry = own.first(where: { $0.verdict == .unsupported }) { return (.unsupported, reason(entry)) }
        if let entry = own.first { return (.notRun, reason(entry)) }
        return (.notRun, checks.isEmpty ? "no check judges it" : "only recordings of the reference were judged")
    }

    private static func reason(_ entry: Results.CheckEntry) -> String {
        if let finding = entry.evidence.findings.first {
            let place = finding.location.isEmpty ? "" : " (\(finding.location))"
            return "\(entry.id): \(finding.field) is \(shortened(finding.actual)), expected \(shortened(finding.expected))\(place)"
        }
        return entry.evidence.reason.isEmpty ? entry.id : "\(entry.id): \(entry.evidence.reason)"
    }

    static func shortened(_ text: String) -> String { text.count > 80 ? "\(text.prefix(64))... (\(text.count) characters)" : text }

    /// Everything that `results.json` says about a run.
    ///
    /// - Parameters:
    ///   - requirements: those that the run is about, in catalogue order.
    ///   - vectorFiles: ids of all cases, by file: cases that no check went through count as not passed.
    ///   - mutants: what became of the planted bugs; nil if none were planted: then coverage is unknown.
    public static func results(
        requirements: [Requirement], checks: [CheckResult], vectorFiles: [VectorFile], mutants: [MutantResult]?,
        implementation: Results.Implementation, referenceName: String, corpusDigest: String, toolVersion: String, seed: UInt64
    ) -> Results {
        var byRequirement: [String: [Results.CheckEntry]] = [:]
        var kills: [String: [String]] = [:]
        for mutant in mutants ?? [] { if case .killed(let check) = mutant.fate { kills[check, default: []].append(mutant.id) } }
        for check in checks {
            var entry = Results.CheckEntry(check)
            entry.evidence.kills = kills[check.id]?.sorted() ?? []
            for requirement in check.requirements { byRequirement[requirement, default: []].append(entry) }
        }
        var entries: [Results.RequirementEntry] = []
        var reference = Results.Counts()
        for requirement in requirements {
            let checks = (byRequirement[requirement.id] ?? []).sorted { $0.id < $1.id }
            let (verdict, reason) = verdict(checks)
            entries.append(
                Results.RequirementEntry(
                    id: requirement.id, layer: requirement.layer, level: requirement.level, kind: requirement.kind, verdict: verdict,
                    reason: reason, checks: checks))
            let recorded = checks.filter { $0.subject == .recording }.map { entry in
                var entry = entry
                entry.subject = .stack
                return entry
            }
            reference.add(self.verdict(recorded).0)
        }
        let known = mutants != nil
        return Results(
            implementation: implementation, reference: reference, referenceName: referenceName, corpusDigest: corpusDigest,
            toolVersion: toolVersion, seed: seed, score: Results.score(entries), coverage: known ? Results.coverage(entries) : nil,
            layers: Results.layers(entries, coverageKnown: known), requirements: entries, vectors: vectors(checks, vectorFiles),
            bundles: bundles(checks))
    }

    /// A case passes if at least one check went through it, every one that did passed it, and between them no field was left unseen.
    static func vectors(_ checks: [CheckResult], _ files: [VectorFile]) -> Results.Vectors {
        let merged = VectorCaseResult.merged(checks)
        var total = Results.Vectors()
        for file in files {
            for id in file.ids {
                total.cases += 1
                guard let result = merged[VectorCaseResult.key(file.path, id)] else { continue }
                if result.passed { total.passed += 1 }
                total.fieldsCompared += result.compared.count
                total.fieldsExpected += result.fieldsExpected
            }
        }
        return total
    }

    static func bundles(_ checks: [CheckResult]) -> [Results.Bundle] {
        var merged: [String: Results.Bundle] = [:]
        for check in checks {
            for bundle in check.bundles {
                var known = merged[bundle.name] ?? Results.Bundle(name: bundle.name, packets: 0, unexplained: 0, verdict: .exact)
                known.packets = max(known.packets, bundle.packets)
                known.unexplained = max(known.unexplained, bundle.unexplained)
                known.verdict = worse(known.verdict, check.verdict)
                merged[bundle.name] = known
            }
        }
        return merged.values.sorted { $0.name < $1.name }
    }

    private static let severity: [Verdict] = [
        .exact, .equivalent, .notRun, .unsupported, .harnessError, .flaky, .deviates, .fails, .hang, .crash,
    ]

    static func worse(_ a: Verdict, _ b: Verdict) -> Verdict {
        (severity.firstIndex(of: a) ?? 0) >= (severity.firstIndex(of: b) ?? 0) ? a : b
    }
}

extension Results.CheckEntry {
    public init(_ result: CheckResult) {
        self.init(
            id: result.id, tier: result.tier, subject: result.subject, verdict: result.verdict,
            evidence: Results.Evidence(
                comparisons: result.comparisons, reason: result.reason, allowances: result.allowances, findings: result.findings, kills: [])
        )
    }
}
