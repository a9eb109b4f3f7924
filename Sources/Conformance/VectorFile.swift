import CompactEncoding
import StrictJSON

/// A golden vector file (`hyperswarm-vectors/1`). Loading is strict: a doubled key, trailing bytes, another schema, or a doubled id fails.
public struct VectorFile: Sendable {
    public let path: String
    public let suite: String
    public let cases: [JSON]
    /// Of the cases, in order.
    public let ids: [String]

    /// Where a vector file stands below the corpus's root.
    public static func path(_ name: String) -> String { "vectors/\(name).json" }

    public init(_ name: String, in corpus: Corpus, schema: String = "hyperswarm-vectors/1") throws {
        path = VectorFile.path(name)
        let root: JSON
        do { root = try JSON.parse(try corpus.read(path)) } catch let error as JSONError {
            throw CorpusError(error.message, file: path, offset: error.offset)
        }
        guard let object = root.object else { throw CorpusError("an object is expected", file: path, offset: root.offset) }
        if let unknown = object.firstUnknown(["schema", "suite", "description", "source", "cases"]) {
            throw CorpusError("unknown key \"\(unknown.key)\"", file: path, offset: unknown.offset)
        }
        guard let found = object["schema"]?.string, found == schema else {
            throw CorpusError(
                "schema \"\(schema)\" is expected, not \"\(object["schema"]?.string ?? "")\"", file: path, offset: object["schema"]?.offset)
        }
        guard let suite = object["suite"]?.string, let cases = object["cases"]?.array, !cases.isEmpty else {
            throw CorpusError("suite or cases are missing", file: path, offset: root.offset)
        }
        var ids: Set<String> = []
        for value in cases {
            guard let id = value["id"]?.string else { throw CorpusError("a case without id", file: path, offset: value.offset) }
            guard ids.insert(id).inserted else { throw CorpusError("the id \"\(id)\" stands twice", file: path, offset: value.offset) }
        }
        self.ids = cases.map { $0["id"]?.string ?? "" }
        self.suite = suite
        self.cases = cases
    }

    private init(_ file: VectorFile, cases: [JSON]) {
        (path, suite, ids, self.cases) = (file.path, file.suite, file.ids, cases)
    }

    /// The same file with one case changed: a variant that no file holds.
    public func changing(_ id: String, _ change: (JSON) -> JSON) -> VectorFile {
        VectorFile(self, cases: zip(ids, cases).map { $0 == id ? change($1) : $1 })
    }

    /// Runs `body` for each case, or for the one case `only`; afterwards every leaf must have been used as input or compared, else the case fails and names the field.
    /// Returns (fields expected, fields compared).
    @discardableResult
    public func examine(
        _ exam: Examination, only id: String? = nil, _ body: (VectorNode) throws -> Void
    ) -> (expected: Int, compared: Int) {
        var expected = 0
        var compared = 0
        for (value, caseID) in zip(cases, ids) where id == nil || id == caseID {
            let context = VectorNode.Context()
            let node = VectorNode(value, path: value["id"]?.string ?? "?", file: path, context: context)
            let before = exam.findingCount
            exam.at("\(path), offset \(value.offset)") {
                do {
                    try node["id"].note()
                    try body(node)
                } catch let error as VectorNode.Mismatch {
                    exam.report(error.path, expected: error.expected, actual: error.actual)
                } catch {
                    exam.report(node.path, expected: "the case runs", actual: "\(error)")
                }
                for finding in context.findings { exam.report(finding.field, expected: finding.expected, actual: finding.actual) }
                let unused = node.unusedLeaves(context)
                for path in unused { exam.report(path, expected: "compared or used", actual: "nothing looked at this field") }
                expected += context.compared.count + unused.count
                compared += context.compared.count
                exam.count(context.compared.count)
                exam.record(
                    VectorCaseResult(
                        file: path, id: node.path, passed: exam.findingCount == before, compared: context.compared, unused: Set(unused)))
            }
        }
        return (expected, compared)
    }
}

/// A place in a vector case that keeps count of what was looked at.
public struct VectorNode {
    /// Thrown when a field is missing or has another type than the runner needs.
    public struct Mismatch: Error {
        public let path: String
        public let expected: String
        public let actual: String

        public init(path: String, expected: String, actual: String) {
            self.path = path
            self.expected = expected
            self.actual = actual
        }
    }

    final class Context {
        var used: Set<String> = []
        var compared: Set<String> = []
        var findings: [Finding] = []
    }

    public let json: JSON
    public let path: String
    let file: String
    let context: Context

    init(_ json: JSON, path: String, file: String, context: Context) {
        self.json = json
        self.path = path
        self.file = file
        self.context = context
    }

    /// A member; missing is a mismatch.
    public subscript(_ key: String) -> VectorNode {
        get throws {
            guard let value = json[key] else { throw Mismatch(path: "\(path).\(key)", expected: "a value", actual: "missing") }
            return child(value, ".\(key)")
        }
    }

    /// A member, or nil if it is absent.
    public func optional(_ key: String) -> VectorNode? { json[key].map { child($0, ".\(key)") } }

    /// The elements of an array.
    public func elements() throws -> [VectorNode] {
        guard let values = json.array else { throw Mismatch(path: path, expected: "an array", actual: "\(json.text())") }
        if values.isEmpty { context.used.insert(path) }
        return values.enumerated().map { child($1, "[\($0)]") }
    }

    private func child(_ value: JSON, _ step: String) -> VectorNode { VectorNode(value, path: path + step, file: file, context: context) }

    // MARK: Inputs

    public var isNull: Bool {
        if json.isNull { context.used.insert(path) }
        return json.isNull
    }

    /// Bytes in lower-case hexadecimal.
    public func bytes() throws -> [UInt8] {
        guard let text = json.string, let bytes = Hex.decode(text), Hex.encode(bytes) == text else {
            throw Mismatch(path: path, expected: "bytes in lower-case hexadecimal", actual: json.text())
        }
        context.used.insert(path)
        return bytes
    }

    public func bytes32() throws -> Bytes32 {
        guard let value = Bytes32(try bytes()) else { throw Mismatch(path: path, expected: "32 bytes", actual: json.text()) }
        return value
    }

    public func string() throws -> String {
        guard let value = json.string else { throw Mismatch(path: path, expected: "a string", actual: json.text()) }
        context.used.insert(path)
        return value
    }

    /// An integer, or a decimal string for those above 2^53.
    public func uint() throws -> UInt64 {
        if let value = json.integer, value >= 0 {
            context.used.insert(path)
            return UInt64(value)
        }
        guard let text = json.string, let value = UInt64(text) else {
            throw Mismatch(path: path, expected: "an unsigned integer", actual: json.text())
        }
        context.used.insert(path)
        return value
    }

    public func int() throws -> Int64 {
        if let value = json.integer {
            context.used.insert(path)
            return value
        }
        guard let text = json.string, let value = Int64(text) else {
            throw Mismatch(path: path, expected: "an integer", actual: json.text())
        }
        context.used.insert(path)
        return value
    }

    public func double() throws -> Double {
        guard let value = json.double else { throw Mismatch(path: path, expected: "a number", actual: json.text()) }
        context.used.insert(path)
        return value
    }

    public func bool() throws -> Bool {
        guard let value = json.bool else { throw Mismatch(path: path, expected: "true or false", actual: json.text()) }
        context.used.insert(path)
        return value
    }

    /// A comment, an id, a label: nothing to judge.
    public func note() throws { markAll(json, path) }

    private func markAll(_ json: JSON, _ path: String) {
        context.used.insert(path)
        for (index, value) in (json.array ?? []).enumerated() { markAll(value, "\(path)[\(index)]") }
        for member in json.object?.members ?? [] { markAll(member.value, "\(path).\(member.key)") }
    }

    // MARK: Expectations

    public func expect(_ actual: [UInt8]?) {
        compare(actual.map { .string(Hex.encode($0)) } ?? .null)
    }
    public func expect(_ actual: Bytes32?) { compare(actual.map { .string($0.description) } ?? .null) }
    public func expect(_ actual: String) { compare(.string(actual)) }
    public func expect(_ actual: Bool) { compare(.bool(actual)) }
    public func expect(_ actual: some BinaryInteger) {
        // Integers above 2^53 stand as strings.
        compare(json.string != nil ? .string("\(actual)") : .integer(actual))
    }

    /// Compares a leaf with what the implementation made of it.
    public func compare(_ actual: JSON) {
        context.used.insert(path)
        context.compared.insert(path)
        if json != actual {
            context.findings.append(Finding(field: path, expected: json.text(), actual: actual.text()))
        }
    }

    func unusedLeaves(_ context: Context) -> [String] {
        var result: [String] = []
        func visit(_ json: JSON, _ path: String) {
            if context.used.contains(path) { return }
            switch json.kind {
            case .array(let values) where !values.isEmpty: for (index, value) in values.enumerated() { visit(value, "\(path)[\(index)]") }
            case .object(let object) where !object.members.isEmpty:
                for member in object.members { visit(member.value, "\(path).\(member.key)") }
            default: result.append(path)
            }
        }
        visit(json, path)
        return result
    }
}
