import Conformance
import Testing

/// Every layer's own checks and mutants, as the tool runs them.
@Suite struct ConformanceTests {
    static let layers = Array(Set(Support.suites.map(\.layer))).sorted()

    @Test(arguments: layers) func everyCheckPassesAndEveryMutantDies(layer: String) throws {
        let suites = Support.suites.filter { $0.layer == layer }
        #expect(SuiteTrial.weaknesses(suites, corpus: try Support.corpus()) == [])
    }
}
