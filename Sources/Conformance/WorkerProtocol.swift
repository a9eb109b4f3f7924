import StrictJSON

/// What a worker process answers for one job: one line of JSON, private to one build of the tool.
enum WorkerProtocol {
    /// "check-id mutation-code": code 0 plants nothing.
    static func request(_ job: CheckJob) -> String { "\(job.check.id) \(job.mutation?.code ?? 0)\n" }

    /// With a planted bug only the verdict matters, so the rest stays out.
    static func reply(_ result: CheckResult, brief: Bool) -> String {
        var object = JSONObject([
            "verdict": .string(result.verdict.rawValue), "reason": .string(result.reason), "comparisons": .integer(result.comparisons),
            "microseconds": .integer(result.microseconds),
        ])
        if !brief {
            object.set(
                "findings",
                .array(result.findings.map { [.string($0.field), .string($0.expected), .string($0.actual), .string($0.location)] }))
            object.set("allowances", .array(result.allowances.map { .string($0) }))
            object.set(
                "vectors",
                .array(
                    result.vectors.map {
                        [
                            .string($0.file), .string($0.id), .bool($0.passed), .array($0.compared.sorted().map { .string($0) }),
                            .array($0.unused.sorted().map { .string($0) }),
                        ]
                    }))
            object.set(
                "bundles", .array(result.bundles.map { [.string($0.name), .integer($0.packets), .integer($0.unexplained)] }))
        }
        return JSON.object(object).text() + "\n"
    }

    /// nil if the line is not what this build writes.
    static func result(_ line: [UInt8], of check: Check) -> CheckResult? {
        guard let json = try? JSON.parse(line), let verdict = json["verdict"]?.string.flatMap(Verdict.init(rawValue:)),
            let reason = json["reason"]?.string, let comparisons = json["comparisons"]?.integer,
            let microseconds = json["microseconds"]?.integer
        else { return nil }
        let findings = (json["findings"]?.array ?? []).compactMap { value -> Finding? in
            guard let parts = strings(value), parts.count == 4 else { return nil }
            return Finding(field: parts[0], expected: parts[1], actual: parts[2], location: parts[3])
        }
        let vectors = (json["vectors"]?.array ?? []).compactMap { value -> VectorCaseResult? in
            guard let parts = value.array, parts.count == 5, let file = parts[0].string, let id = parts[1].string,
                let passed = parts[2].bool, let compared = strings(parts[3]), let unused = strings(parts[4])
            else { return nil }
            return VectorCaseResult(file: file, id: id, passed: passed, compared: Set(compared), unused: Set(unused))
        }
        let bundles = (json["bundles"]?.array ?? []).compactMap { value -> BundleResult? in
            guard let parts = value.array, parts.count == 3, let name = parts[0].string, let packets = parts[1].integer,
                let unexplained = parts[2].integer
            else { return nil }
            return BundleResult(name: name, packets: Int(packets), unexplained: Int(unexplained))
        }
        return CheckResult(
            check, verdict: verdict, reason: reason, findings: findings, allowances: json["allowances"].flatMap(strings) ?? [],
            comparisons: Int(comparisons), vectors: vectors, bundles: bundles, microseconds: microseconds)
    }

    private static func strings(_ value: JSON) -> [String]? {
        guard let array = value.array else { return nil }
        let texts = array.compactMap(\.string)
        return texts.count == array.count ? texts : nil
    }
}
