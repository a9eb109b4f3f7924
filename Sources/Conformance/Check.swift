import CompactEncoding
import SansIO

public typealias MutationCode = SansIO.Mutation

/// Code that can fail: it holds one implementation against one or more requirements.
public struct Check: Sendable {
    /// Opaque and stable: `layer.slug`.
    public let id: String
    /// Requirement ids ("UDX-15"); a check may carry several.
    public let requirements: [String]
    public let tier: Tier
    public let subject: Subject
    public let run: @Sendable (Examination) throws -> Void

    public init(
        _ id: String, _ requirements: [String], _ tier: Tier, _ subject: Subject = .stack,
        run: @escaping @Sendable (Examination) throws -> Void
    ) {
        self.id = id
        self.requirements = requirements
        self.tier = tier
        self.subject = subject
        self.run = run
    }
}

/// One run of one check: collects comparisons. A check that compared nothing is a harness error, never a pass.
public final class Examination {
    public let corpus: Corpus
    /// Seed for whatever the check draws.
    public let seed: UInt64
    public private(set) var comparisons = 0
    /// The first 50.
    public private(set) var findings: [Finding] = []
    /// All.
    public private(set) var findingCount = 0
    /// Differences that the check declares as allowed; they make the verdict `equivalent`.
    public private(set) var allowances: [String] = []
    public private(set) var notRunReason: String?
    /// Cases of vector files that this check went through.
    public private(set) var vectorCases: [VectorCaseResult] = []
    /// Trace bundles that this check went through.
    public private(set) var bundles: [BundleResult] = []
    private var location: [String] = []

    public init(corpus: Corpus, seed: UInt64 = 1) {
        self.corpus = corpus
        self.seed = seed
    }

    /// Findings inside `body` carry this place ("step 3", "packet 17").
    public func at<T>(_ place: String, _ body: () throws -> T) rethrows -> T {
        location.append(place)
        defer { location.removeLast() }
        return try body()
    }

    private var here: String { location.joined(separator: ", ") }

    public func equal<T: Equatable>(_ field: String, _ actual: T, _ expected: T) {
        comparisons += 1
        if actual != expected { report(field, expected: Examination.text(expected), actual: Examination.text(actual)) }
    }

    /// An optional as what it holds.
    private static func text<T>(_ value: T) -> String {
        let mirror = Mirror(reflecting: value)
        guard mirror.displayStyle == .optional else { return "\(value)" }
        return mirror.children.first.map { "\($0.value)" } ?? "nothing"
    }

    public func bytes(_ field: String, _ actual: [UInt8]?, _ expected: [UInt8]) {
        comparisons += 1
        guard actual != expected else { return }
        guard let actual else { return report(field, expected: Hex.encode(expected), actual: "nothing") }
        let offset = zip(actual, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(actual.count, expected.count)
        location.append("byte \(offset)")
        report(field, expected: Hex.encode(expected), actual: Hex.encode(actual))
        location.removeLast()
    }

    /// A condition with a sentence for when it does not hold.
    public func require(_ field: String, _ condition: Bool, _ otherwise: @autoclosure () -> String = "the condition does not hold") {
        comparisons += 1
        if !condition { report(field, expected: "otherwise", actual: otherwise()) }
    }

    /// `body` must throw.
    public func refuses(_ field: String, _ body: () throws -> Void) {
        comparisons += 1
        do {
            try body()
            report(field, expected: "refused", actual: "accepted")
        } catch {}
    }

    /// Records a deviation without a comparison.
    public func report(_ field: String, expected: String, actual: String) {
        findingCount += 1
        if findings.count < 50 { findings.append(Finding(field: field, expected: expected, actual: actual, location: here)) }
    }

    /// Counts comparisons made elsewhere (vector nodes).
    public func count(_ n: Int) { comparisons += n }

    /// Notes a vector case that was gone through; `VectorFile.examine` does so.
    public func record(_ vectorCase: VectorCaseResult) { vectorCases.append(vectorCase) }

    /// Notes a trace bundle that was gone through, so that the report lists it.
    public func record(_ bundle: BundleResult) { bundles.append(bundle) }

    /// Declares a difference that the specification allows.
    public func allow(_ what: String) { allowances.append(what) }

    /// The check can't be run here; it is neither passed nor failed.
    public func notRun(_ reason: String) { notRunReason = reason }

    public var verdict: Verdict {
        if notRunReason != nil { return .notRun }
        if !findings.isEmpty { return .fails }
        if comparisons == 0 { return .harnessError }
        return allowances.isEmpty ? .exact : .equivalent
    }
}

/// One planted wire bug, and the requirement that it breaks.
public struct Mutant: Sendable {
    /// The requirement's id, with a suffix if it has several mutants ("UDX-15", "UDX-15/late").
    public let id: String
    public let requirement: String
    public let mutation: MutationCode
    /// The bug in one sentence.
    public let bug: String

    public init(_ requirement: String, _ mutation: MutationCode, _ bug: String, suffix: String = "") {
        id = suffix.isEmpty ? requirement : "\(requirement)/\(suffix)"
        self.requirement = requirement
        self.mutation = mutation
        self.bug = bug
    }
}

/// A layer's contribution to the catalogue.
public struct CheckSuite: Sendable {
    public let layer: String
    public let checks: [Check]
    public let mutants: [Mutant]

    public init(layer: String, checks: [Check], mutants: [Mutant]) {
        self.layer = layer
        self.checks = checks
        self.mutants = mutants
    }
}
