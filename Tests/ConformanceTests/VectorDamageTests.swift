import Conformance
import SansIO
import StrictJSON
import Testing

/// One changed hexadecimal digit anywhere in a golden vector must turn a check red that names the case.
@Suite struct VectorDamageTests {
    /// A digit inside a string of hexadecimal digits.
    struct Digit: Sendable {
        let file: String
        let caseID: String
        let path: String
        /// In the file.
        let offset: Int
        let replacement: UInt8
    }

    @Test func everyChangedDigitIsNoticed() throws {
        let corpus = try Support.corpus()
        let checks = Support.suites.flatMap(\.checks).filter { $0.tier == .vector }
        let pool = CheckPool(corpus: corpus)
        let baseline = pool.run(checks.map { CheckJob($0) })
        // Which checks go through which file, the quickest first.
        var readers: [String: [(check: Check, time: Int64)]] = [:]
        for (check, result) in zip(checks, baseline) {
            for file in Set(result.vectors.map(\.file)) { readers[file, default: []].append((check, result.microseconds)) }
        }
        for file in readers.keys { readers[file]?.sort { ($0.time, $0.check.id) < ($1.time, $1.check.id) } }

        let entropy = SeededEntropy(seed: 20_261_124)
        let label = EntropyLabel(.test)
        var digits: [Digit] = []
        for file in try corpus.vectorFiles() where readers[file.path] != nil && !file.path.contains("exchanges") {
            let text = try corpus.read(file.path)
            let leaves = file.cases.flatMap { value in hexLeaves(value, "", value["id"]?.string ?? "") }
            if leaves.isEmpty { continue }
            for _ in 0..<15 {
                let leaf = leaves[Int(entropy.uniform(below: UInt64(leaves.count), for: label))]
                let at = leaf.offset + 1 + Int(entropy.uniform(below: UInt64(leaf.length), for: label))
                let old = text[at]
                let new = Array("0123456789abcdef".utf8)[(Int(entropy.uniform(below: 15, for: label)) + 1 + index(old)) % 16]
                digits.append(Digit(file: file.path, caseID: leaf.caseID, path: leaf.path, offset: at, replacement: new))
            }
        }
        #expect(digits.count >= 200)

        let byFile = readers.mapValues { $0.map(\.check) }
        let missed = pool.map(digits) { digit -> String? in
            var damaged = corpus
            guard var text = try? corpus.read(digit.file) else { return "\(digit.file) is gone" }
            text[digit.offset] = digit.replacement
            damaged.overlays[digit.file] = text
            for check in byFile[digit.file] ?? [] {
                let result = check.examine(corpus: damaged)
                if result.verdict.isFailed, result.findings.contains(where: { $0.field.hasPrefix(digit.caseID) }) { return nil }
            }
            return "\(digit.file), offset \(digit.offset), \(digit.caseID)\(digit.path): nobody noticed"
        }
        #expect(missed.compactMap { $0 ?? nil } == [])
    }

    private func index(_ digit: UInt8) -> Int { Int(digit < 58 ? digit - 48 : digit - 87) }

    private func hexLeaves(_ value: JSON, _ path: String, _ caseID: String) -> [(caseID: String, path: String, offset: Int, length: Int)] {
        switch value.kind {
        case .string(let text):
            let isHex =
                text.utf8.count >= 8 && text.utf8.count % 2 == 0
                && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
            return isHex ? [(caseID, path, value.offset, text.utf8.count)] : []
        case .array(let values): return values.enumerated().flatMap { hexLeaves($1, "\(path)[\($0)]", caseID) }
        case .object(let object):
            return object.members.filter { $0.key != "id" }.flatMap { hexLeaves($0.value, "\(path).\($0.key)", caseID) }
        default: return []
        }
    }
}
