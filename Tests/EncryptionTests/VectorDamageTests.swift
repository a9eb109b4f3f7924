import Conformance
import EncryptionChecks
import SansIO
import StrictJSON
import Testing

/// Changing any one hex digit of a golden vector must be noticed, and the report must name the field.
@Suite struct VectorDamageTests {
    static let files = [
        "compact-encoding", "compact-encoding-invalid", "keys", "namespaces", "topic-hash", "ed25519-dh", "noise", "noise-invalid",
        "secret-stream", "secret-stream-messages", "protomux", "blind-relay",
    ]

    @Test(arguments: files)
    func oneFlippedDigitIsNoticed(_ file: String) throws {
        let corpus = try #require(Corpus.find())
        let path = "vectors/\(file).json"
        let text = try corpus.read(path)
        let places = VectorDamageTests.places(try JSON.parse(text))
        #expect(!places.isEmpty)
        let checks = EncryptionChecks.suites.flatMap(\.checks).filter { $0.tier == .vector && Self.reads($0, path, corpus) }
        #expect(!checks.isEmpty)
        let entropy = SeededEntropy(seed: 2026)
        for _ in 0..<20 {
            let place = places[Int(entropy.uniform(below: UInt64(places.count), for: EntropyLabel(.test)))]
            let offset = place.offset + Int(entropy.uniform(below: UInt64(place.count), for: EntropyLabel(.test)))
            var damaged = text
            let digits = Array("0123456789abcdef".utf8)
            let old = try #require(digits.firstIndex(of: damaged[offset]))
            damaged[offset] = digits[(old + 1 + Int(entropy.uniform(below: 15, for: EntropyLabel(.test)))) % 16]
            var overlaid = corpus
            overlaid.overlays[path] = damaged
            var findings: [Finding] = []
            for check in checks {
                let exam = Examination(corpus: overlaid)
                try check.run(exam)
                #expect(exam.verdict != .harnessError)
                findings += exam.findings
            }
            #expect(!findings.isEmpty, "\(path), offset \(offset), \(place.field): nothing noticed")
            #expect(findings.contains { $0.field.contains(place.caseID) }, "\(findings.prefix(2))")
        }
    }

    /// Whether a check reads this file at all.
    private static func reads(_ check: Check, _ path: String, _ corpus: Corpus) -> Bool {
        var overlaid = corpus
        overlaid.overlays[path] = Array("{}".utf8)
        let exam = Examination(corpus: overlaid)
        do { try check.run(exam) } catch { return true }
        return false
    }

    private struct Place {
        let caseID: String
        let field: String
        let offset: Int
        let count: Int
    }

    /// Every string of hex digits below a case, but for names and comments.
    private static func places(_ root: JSON) -> [Place] {
        var result: [Place] = []
        func visit(_ value: JSON, _ caseID: String, _ field: String) {
            switch value.kind {
            case .string(let text):
                let isHex =
                    text.utf8.count >= 2 && text.utf8.count % 2 == 0 && text.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
                if isHex { result.append(Place(caseID: caseID, field: field, offset: value.offset + 1, count: text.utf8.count)) }
            case .array(let values): for (index, child) in values.enumerated() { visit(child, caseID, "\(field)[\(index)]") }
            case .object(let object):
                for member in object.members where member.key != "id" && member.key != "name" {
                    visit(member.value, caseID, "\(field).\(member.key)")
                }
            default: break
            }
        }
        for value in root["cases"]?.array ?? [] { visit(value, value["id"]?.string ?? "", "") }
        return result
    }
}
