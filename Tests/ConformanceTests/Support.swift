import Conformance
import DHTChecks
import EncryptionChecks
import StrictJSON
import SwarmChecks
import Testing
import TraceChecks
import UDXChecks

/// What the tests share.
enum Support {
    static func corpus() throws -> Corpus { try #require(Corpus.find(from: #filePath)) }

    /// As the tool collects them.
    static let suites: [CheckSuite] =
        Corpus.find(from: #filePath).map { corpus in
            EncryptionChecks.suites + UDXChecks.suites(in: corpus) + DHTChecks.suites(in: corpus) + SwarmChecks.suites + TraceChecks.suites
        } ?? []

    /// A catalogue of two requirements, UDX-1 (MUST) and UDX-2 (SHOULD).
    static func catalogue() throws -> Catalogue {
        func entry(_ id: String, _ level: String) -> String {
            """
            {"id":"\(id)","layer":"udx","source":"s","text":"t","kind":"wire","level":"\(level)","reference":"conforms","subject":"stack","tiers":["machine"]}
            """
        }
        return try Catalogue(
            text: Array(
                "{\"schema\":\"hyperswarm-requirements/2\",\"requirements\":[\(entry("UDX-1", "MUST")),\(entry("UDX-2", "SHOULD"))]}".utf8))
    }

    /// Results of two checks, one for each requirement; `nil` is an exact pass.
    static func results(_ first: Finding? = nil, _ second: Finding? = nil, kills: Bool = true) throws -> Results {
        func check(_ id: String, _ requirement: String) -> Check { Check(id, [requirement], .machine) { _ in } }
        let checks = [(check("udx.one", "UDX-1"), first), (check("udx.two", "UDX-2"), second)]
        return Judgement.results(
            requirements: try catalogue().requirements,
            checks: checks.map { check, finding in
                CheckResult(check, verdict: finding == nil ? .exact : .fails, findings: finding.map { [$0] } ?? [], comparisons: 1)
            },
            vectorFiles: [],
            mutants: [
                MutantResult(id: "UDX-1", requirement: "UDX-1", bug: "b", fate: kills ? .killed(by: "udx.one") : .survived)
            ],
            implementation: .init(name: "swift", version: "1"), referenceName: "node", corpusDigest: "00", toolVersion: "1", seed: 1)
    }

    static let wrongAck = Finding(field: "udx.ack", expected: "1", actual: "2", location: "packet 7")
}
