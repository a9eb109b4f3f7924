/// What a check says. design: passed = exact + equivalent; failed = deviates + fails + hang + crash + flaky; the rest did not run.
public enum Verdict: String, Sendable, CaseIterable {
    case exact
    /// Differs only as declared.
    case equivalent
    case deviates, fails, hang, crash
    /// Not the same verdict twice.
    case flaky
    case unsupported
    case harnessError = "harness-error"
    case notRun = "not-run"

    public var isPassed: Bool { self == .exact || self == .equivalent }
    public var isFailed: Bool {
        switch self {
        case .deviates, .fails, .hang, .crash, .flaky: true
        default: false
        }
    }
}

/// How a check judges.
public enum Tier: String, Sendable, CaseIterable, Comparable {
    case vector, trace, machine, replay, simulation, probe, live, nat

    public static func < (a: Tier, b: Tier) -> Bool {
        (allCases.firstIndex(of: a) ?? 0) < (allCases.firstIndex(of: b) ?? 0)
    }
}

/// Whom a check judges. Only `codec` and `stack` count for our own score; `recording` counts in the row `reference`.
public enum Subject: Hashable, Sendable, CustomStringConvertible {
    case codec, stack, recording
    case peer(String)

    public var description: String {
        switch self {
        case .codec: "codec"
        case .stack: "stack"
        case .recording: "recording"
        case .peer(let name): "peer:\(name)"
        }
    }
}

/// One deviation, with what a person needs to find it.
public struct Finding: Hashable, Sendable {
    /// Dotted path of the field ("messages[1].message", "packet 7 udx.ack").
    public var field: String
    public var expected: String
    public var actual: String
    /// File, packet, byte offset, step: whatever locates it.
    public var location: String

    public init(field: String, expected: String, actual: String, location: String = "") {
        self.field = field
        self.expected = expected
        self.actual = actual
        self.location = location
    }
}

extension Finding {
    /// The sort of deviation, for signatures: stable where texts are not.
    public enum Kind: String, Sendable, CaseIterable {
        /// Another value than expected.
        case value
        /// Expected, but not there.
        case missing
        /// Accepted what had to be refused.
        case accepted
        /// An error where none was expected.
        case error
        /// An expected value that nothing compared.
        case unseen
    }

    public var kind: Kind {
        if field == "error" || expected == "the case runs" { return .error }
        if expected == "refused", actual == "accepted" { return .accepted }
        if expected == "compared or used" { return .unseen }
        return actual == "nothing" || actual == "missing" ? .missing : .value
    }
}
