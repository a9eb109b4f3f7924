import Conformance
import Testing

/// The registry as a whole. Whether checks pass and mutants die is for each layer's own tests, and for the gate.
@Suite struct ConformanceTests {
    @Test func everyRequirementHasACheckAndAMutant() throws {
        let own = Support.suites.flatMap(\.checks).filter { $0.subject == .codec || $0.subject == .stack }
        let carried = Set(own.flatMap(\.requirements))
        let broken = Set(Support.suites.flatMap(\.mutants).map(\.requirement))
        let catalogue = try Catalogue(Support.corpus())
        #expect(catalogue.requirements.map(\.id).filter { !carried.contains($0) } == [])
        #expect(catalogue.requirements.map(\.id).filter { !broken.contains($0) } == [])
    }
}
