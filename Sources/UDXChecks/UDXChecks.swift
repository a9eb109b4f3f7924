import Conformance
import PacketCapture

/// This target's share of the catalogue: one suite a layer.
public enum UDXChecks {
    public static let suites: [CheckSuite] = [
        CheckSuite(
            layer: "udx",
            checks: [PacketVectors.check] + LimitChecks.checks + WindowChecks.checks + PathChecks.checks + BurstChecks.checks
                + LifeChecks.checks
                + DifferentialChecks.checks,
            mutants: UDXMutants.all)
    ]

    /// As `suites`, with checks for each golden exchange and each recorded plain stream that this corpus holds.
    public static func suites(in corpus: Corpus) -> [CheckSuite] {
        suites + [CheckSuite(layer: "udx", checks: ExchangeChecks.checks(in: corpus) + ReplayChecks.checks(in: corpus), mutants: [])]
    }

    /// The replays of one bundle.
    public static func replays(of bundle: TraceBundle) -> [Check] { ReplayChecks.checks(of: bundle) }
}
