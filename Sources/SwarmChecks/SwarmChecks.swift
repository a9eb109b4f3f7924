import Conformance
import SansIO

/// This target's share of the catalogue: one suite a layer.
public enum SwarmChecks {
    public static let suites: [CheckSuite] = [
        CheckSuite(
            layer: "hyperswarm",
            checks: TopicChecks.checks + DialChecks.checks + DuplicateChecks.checks + RetryChecks.checks + LifeChecks.checks
                + SimulationChecks.checks,
            mutants: SwarmMutants.mutants)
    ]
}
