import StrictJSON

/// A failure that is known, why it is, and until when it may be.
public struct ExpectedFailure: Sendable, Hashable {
    public let check: String
    public let verdict: Verdict
    /// Field of the first finding; empty for a verdict without findings (hang, crash, harness-error).
    public let field: String
    /// Kind of the first finding; empty likewise. Message texts are no part of a signature, for they change with every wording.
    public let kind: String
    public let reason: String
    /// The last day on which it holds, as year-month-day.
    public let expires: String

    public init(check: String, verdict: Verdict, field: String, kind: String, reason: String, expires: String) {
        self.check = check
        self.verdict = verdict
        self.field = field
        self.kind = kind
        self.reason = reason
        self.expires = expires
    }

    public func matches(_ entry: Results.CheckEntry) -> Bool {
        entry.id == check && entry.verdict == verdict && (entry.evidence.findings.first?.field ?? "") == field
            && (entry.evidence.findings.first?.kind.rawValue ?? "") == kind
    }
}

/// The one file of known failures.
public struct Expectations: Sendable {
    public static let schema = "hyperconform-expectations/1"
    public let entries: [ExpectedFailure]

    public init(entries: [ExpectedFailure] = []) { self.entries = entries }

    /// Strict. Doubled entries load, for the gate has its own word for them.
    public init(text: [UInt8], file: String) throws {
        let reader = StrictReader(file: file)
        let root = try reader.object(try reader.parse(text), keys: ["schema", "expectations"])
        let schema = try root.string("schema")
        guard schema == Expectations.schema else {
            throw reader.error("schema \"\(Expectations.schema)\" is expected, not \"\(schema)\"", at: root["schema"])
        }
        entries = try root.array("expectations").map { value in
            let object = try reader.object(value, keys: ["check", "verdict", "signature", "reason", "expires"])
            let signature = try reader.object(try object.member("signature"), keys: ["field", "kind"])
            let verdict = try reader.choice(object.member("verdict"), Verdict.allCases, "verdict")
            guard !verdict.isPassed else { throw reader.error("a pass needs no expectation", at: object["verdict"]) }
            let kind = try signature.string("kind")
            guard kind.isEmpty || Finding.Kind(rawValue: kind) != nil else {
                throw reader.error(
                    "unknown kind \"\(kind)\": it must be empty or one of \(Finding.Kind.allCases.map(\.rawValue).joined(separator: ", "))",
                    at: signature["kind"])
            }
            let expires = try object.string("expires")
            guard Day.isValid(expires) else { throw reader.error("the day must be written 2027-01-31", at: object["expires"]) }
            let reason = try object.string("reason")
            guard !reason.isEmpty else { throw reader.error("a reason is missing", at: object["reason"]) }
            return ExpectedFailure(
                check: try object.string("check"), verdict: verdict, field: try signature.string("field"), kind: kind, reason: reason,
                expires: expires)
        }
    }
}

/// Days as text: year-month-day sorts as it should.
public enum Day {
    public static func isValid(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts.map(\.count) == [4, 2, 2], parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let month = Int(parts[1]), let day = Int(parts[2])
        else { return false }
        return (1...12).contains(month) && (1...31).contains(day)
    }
}
