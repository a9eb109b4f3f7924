import StrictJSON

/// What was reached before, so that a gate can see what was lost. Made from results, committed, and changed only on purpose.
public struct Baseline: Sendable, Equatable {
    public static let schema = "hyperconform-baseline/1"

    public var implementation: String
    public var scoreVersion: Int
    public var score: Double?
    /// Checks that passed, sorted.
    public var passed: [String]
    /// Requirements that a mutant covers, sorted as in the results.
    public var covered: [String]
    /// Cases of golden vectors that passed.
    public var vectorsPassed: Int

    public init(_ results: Results) {
        implementation = results.implementation.name
        scoreVersion = Results.scoreVersion
        score = results.score
        passed = results.checks.filter(\.verdict.isPassed).map(\.id).sorted()
        covered = results.requirements.filter(Results.isCovered).map(\.id)
        vectorsPassed = results.vectors.passed
    }

    public init(text: [UInt8], file: String) throws {
        let reader = StrictReader(file: file)
        let root = try reader.object(
            try reader.parse(text), keys: ["schema", "implementation", "scoreVersion", "score", "passed", "covered", "vectorsPassed"])
        let schema = try root.string("schema")
        guard schema == Baseline.schema else {
            throw reader.error("schema \"\(Baseline.schema)\" is expected, not \"\(schema)\"", at: root["schema"])
        }
        implementation = try root.string("implementation")
        scoreVersion = try root.count("scoreVersion")
        guard scoreVersion == Results.scoreVersion else {
            throw reader.error(
                "the baseline was made with score version \(scoreVersion), this is \(Results.scoreVersion): make it again",
                at: root["scoreVersion"])
        }
        score = try root.optionalNumber("score")
        passed = try root.strings("passed")
        covered = try root.strings("covered")
        vectorsPassed = try root.count("vectorsPassed")
        if Set(passed).count != passed.count { throw reader.error("a check stands twice", at: root["passed"]) }
        if Set(covered).count != covered.count { throw reader.error("a requirement stands twice", at: root["covered"]) }
    }

    public var json: JSON {
        [
            "schema": .string(Baseline.schema), "implementation": .string(implementation), "scoreVersion": .integer(scoreVersion),
            "score": .optional(score), "passed": .array(passed.map { .string($0) }), "covered": .array(covered.map { .string($0) }),
            "vectorsPassed": .integer(vectorsPassed),
        ]
    }
}
