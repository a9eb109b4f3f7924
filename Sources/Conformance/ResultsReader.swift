import StrictJSON

extension Results {
    /// Loads `results.json`. Nothing is believed: totals, verdicts, score and coverage are computed again from the checks and must be those that stand there.
    public init(text: [UInt8], file: String) throws {
        let reader = StrictReader(file: file)
        let root = try reader.object(
            try reader.parse(text),
            keys: [
                "schema", "scoreVersion", "implementation", "reference", "corpusDigest", "toolVersion", "seed", "score", "coverage",
                "layers",
                "requirements", "vectors", "bundles",
            ])
        let schema = try root.string("schema")
        guard schema == Results.schema else {
            throw reader.error("schema \"\(Results.schema)\" is expected, not \"\(schema)\"", at: root["schema"])
        }
        let version = try root.count("scoreVersion")
        guard version == Results.scoreVersion else {
            throw reader.error("score version \(Results.scoreVersion) is expected, not \(version)", at: root["scoreVersion"])
        }
        let implementation = try reader.object(try root.member("implementation"), keys: ["name", "version"])
        self.implementation = Implementation(name: try implementation.string("name"), version: try implementation.string("version"))
        let reference = try reader.object(try root.member("reference"), keys: ["name", "total", "passed", "failed", "notRun"])
        referenceName = try reference.string("name")
        self.reference = try Counts(reference)
        corpusDigest = try root.string("corpusDigest")
        toolVersion = try root.string("toolVersion")
        seed = UInt64(try root.count("seed"))
        score = try root.optionalNumber("score")
        coverage = try root.optionalNumber("coverage")
        requirements = try root.array("requirements").map { try RequirementEntry($0, reader) }
        var ids: Set<String> = []
        for (entry, value) in zip(requirements, try root.array("requirements")) {
            guard ids.insert(entry.id).inserted else { throw reader.error("the requirement \"\(entry.id)\" stands twice", at: value) }
        }
        guard let layerObject = try root.member("layers").object else {
            throw reader.error("\"layers\" must be an object", at: root["layers"])
        }
        layers = try layerObject.members.map { member in
            guard Layers.all.contains(member.key) else { throw reader.error("unknown layer \"\(member.key)\"", at: member.value) }
            let layer = try reader.object(member.value, keys: ["score", "coverage", "total", "passed", "failed", "notRun"])
            return Layer(
                name: member.key, score: try layer.optionalNumber("score"), coverage: try layer.optionalNumber("coverage"),
                counts: try Counts(layer))
        }
        let vectors = try reader.object(try root.member("vectors"), keys: ["cases", "passed", "fieldsExpected", "fieldsCompared"])
        self.vectors = Vectors(
            cases: try vectors.count("cases"), passed: try vectors.count("passed"), fieldsExpected: try vectors.count("fieldsExpected"),
            fieldsCompared: try vectors.count("fieldsCompared"))
        bundles = try root.array("bundles").map {
            let bundle = try reader.object($0, keys: ["name", "packets", "unexplained", "verdict"])
            return Bundle(
                name: try bundle.string("name"), packets: try bundle.count("packets"), unexplained: try bundle.count("unexplained"),
                verdict: try reader.choice(bundle.member("verdict"), Verdict.allCases, "verdict"))
        }
        try verify(root)
    }

    private func verify(_ root: StrictObject) throws {
        let reader = root.reader
        for (entry, value) in zip(requirements, try root.array("requirements")) {
            let verdict = Judgement.verdict(entry.checks).0
            guard verdict == entry.verdict else {
                throw reader.error("\(entry.id) stands as \(entry.verdict.rawValue), but its checks make it \(verdict.rawValue)", at: value)
            }
        }
        let known = coverage != nil
        for layer in layers where (layer.coverage != nil) != known {
            throw reader.error("coverage is known for the whole but not for \(layer.name), or the other way", at: root["coverage"])
        }
        let computed = Results.layers(requirements, coverageKnown: known)
        for layer in computed {
            guard let stands = layers.first(where: { $0.name == layer.name }) else {
                throw reader.error("the layer \(layer.name) is missing", at: root["layers"])
            }
            guard stands == layer else {
                throw reader.error(
                    "the figures of layer \(layer.name) do not follow from its requirements", at: root["layers"]?[layer.name])
            }
        }
        if layers.count != computed.count { throw reader.error("a layer without requirements", at: root["layers"]) }
        guard score == Results.score(requirements) else {
            throw reader.error(
                "the score does not follow from the requirements: it should be \(Results.score(requirements).map { "\($0)" } ?? "null")",
                at: root["score"])
        }
        guard !known || coverage == Results.coverage(requirements) else {
            throw reader.error("the coverage does not follow from the requirements", at: root["coverage"])
        }
        guard vectors.passed <= vectors.cases, vectors.fieldsCompared <= vectors.fieldsExpected else {
            throw reader.error("more vectors passed than there are", at: root["vectors"])
        }
    }
}

extension Results.Counts {
    fileprivate init(_ object: StrictObject) throws {
        total = try object.count("total")
        passed = try object.count("passed")
        failed = try object.count("failed")
        notRun = try object.count("notRun")
        guard passed + failed + notRun == total else {
            throw object.reader.error("passed, failed and notRun must add up to total", at: object["total"])
        }
    }
}

extension Results.RequirementEntry {
    fileprivate init(_ value: JSON, _ reader: StrictReader) throws {
        let object = try reader.object(value, keys: ["id", "layer", "level", "kind", "verdict", "reason", "checks"])
        id = try object.string("id")
        layer = try object.string("layer")
        level = try reader.choice(object.member("level"), Requirement.Level.allCases, "level")
        kind = try reader.choice(object.member("kind"), Requirement.Kind.allCases, "kind")
        verdict = try reader.choice(object.member("verdict"), Verdict.allCases, "verdict")
        reason = try object.string("reason")
        checks = try object.array("checks").map { try Results.CheckEntry($0, reader) }
    }
}

extension Results.CheckEntry {
    fileprivate init(_ value: JSON, _ reader: StrictReader) throws {
        let object = try reader.object(value, keys: ["id", "tier", "subject", "verdict", "evidence"])
        id = try object.string("id")
        tier = try reader.choice(object.member("tier"), Tier.allCases, "tier")
        guard let subject = Subject(try object.string("subject")) else { throw reader.error("unknown subject", at: object["subject"]) }
        self.subject = subject
        verdict = try reader.choice(object.member("verdict"), Verdict.allCases, "verdict")
        let evidence = try reader.object(
            try object.member("evidence"), keys: ["comparisons", "reason", "allowances", "findings", "kills"])
        self.evidence = Results.Evidence(
            comparisons: try evidence.count("comparisons"), reason: try evidence.string("reason"),
            allowances: try evidence.strings("allowances"), findings: try evidence.array("findings").map { try Finding($0, reader) },
            kills: try evidence.strings("kills"))
    }
}

extension Finding {
    init(_ value: JSON, _ reader: StrictReader) throws {
        let object = try reader.object(value, keys: ["field", "expected", "actual", "location", "kind"])
        self.init(
            field: try object.string("field"), expected: try object.string("expected"), actual: try object.string("actual"),
            location: try object.string("location"))
        guard try object.string("kind") == kind.rawValue else {
            throw reader.error("the kind should be \"\(kind.rawValue)\"", at: object["kind"])
        }
    }
}

extension Subject {
    /// "codec", "stack", "recording" or "peer:NAME".
    public init?(_ text: String) {
        switch text {
        case "codec": self = .codec
        case "stack": self = .stack
        case "recording": self = .recording
        default:
            guard text.hasPrefix("peer:"), text.count > 5 else { return nil }
            self = .peer(String(text.dropFirst(5)))
        }
    }
}
