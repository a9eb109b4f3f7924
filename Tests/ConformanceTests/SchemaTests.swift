import Conformance
import ConformanceReports
import Foundation
import StrictJSON
import Testing

/// The schemas describe the files that are really there.
@Suite struct SchemaTests {
    private func schema(_ name: String) throws -> JSONSchema {
        JSONSchema(root: try JSON.parse(try Support.corpus().read("schemas/\(name).schema.json")))
    }

    private func lines(_ name: String) throws -> [(file: String, value: JSON)] {
        let corpus = try Support.corpus()
        let files = FileManager.default.enumerator(atPath: corpus.root + "/Fixtures")
        var result: [(String, JSON)] = []
        while let path = files?.nextObject() as? String {
            guard path.hasSuffix("/" + name) else { continue }
            let text = try corpus.read("Fixtures/" + path)
            // Long recordings repeat themselves: the first hundred lines of each are enough.
            let values = name.hasSuffix("jsonl") ? Array(try JSON.parseLines(text).prefix(100)) : [try JSON.parse(text)]
            result += values.map { (path, $0) }
        }
        return result
    }

    @Test(arguments: [
        ("manifest.json", "trace-manifest"), ("keylog.jsonl", "keylog"), ("inputs.jsonl", "inputs"), ("events.jsonl", "events"),
    ])
    func recordings(file: String, schema name: String) throws {
        let schema = try schema(name)
        let values = try lines(file)
        #expect(values.count > 40)
        #expect(values.flatMap { line in schema.complaints(line.value).map { "\(line.file): \($0)" } }.prefix(5) == [])
    }

    @Test func vectors() throws {
        let corpus = try Support.corpus()
        for name in try corpus.vectorNames() {
            let schema = try schema(name.hasSuffix("-exchanges") ? "exchanges" : "vectors")
            #expect(schema.complaints(try JSON.parse(try corpus.read("vectors/\(name).json"))).prefix(5) == [])
        }
    }

    @Test func catalogueExpectationsAndBaseline() throws {
        let corpus = try Support.corpus()
        #expect(try schema("requirements").complaints(try JSON.parse(try corpus.read("requirements.json"))) == [])
        #expect(try schema("expectations").complaints(try JSON.parse(try corpus.read("harness/expectations.json"))) == [])
        #expect(try schema("baseline").complaints(try JSON.parse(try corpus.read("harness/baseline.json"))) == [])
        _ = try Baseline(text: try corpus.read("harness/baseline.json"), file: "harness/baseline.json")
    }

    @Test func whatTheToolWrites() throws {
        let results = try Support.results(Support.wrongAck)
        #expect(try schema("results").complaints(results.json) == [])
        let gate = Gate(results, today: "2027-01-01")
        #expect(try schema("gate").complaints(GateReport(gate, results: results, baseline: nil).json) == [])
        let fates = [MutantResult(id: "UDX-1", requirement: "UDX-1", bug: "b", fate: .survived)]
        let mutants = MutantReport(requirements: try Support.catalogue().requirements, checks: [], fates: fates)
        #expect(try schema("mutants").complaints(mutants.json) == [])
        #expect(try schema("vectors-report").complaints(VectorReport(files: [], results: []).json) == [])
    }

    @Test func aWrongValueIsNoticed() throws {
        var value = try Support.results().json
        #expect(try schema("results").complaints(value) == [])
        var object = try #require(value.object)
        object.set("colour", "red")
        object.set("score", 101)
        value = .object(object)
        #expect(try schema("results").complaints(value) == ["$.score is too large", "$.colour is unknown"])
    }
}
