import Conformance

/// This target's share of the catalogue: one suite a layer.
public enum UDXChecks {
    public static let suites: [CheckSuite] = [
        CheckSuite(
            layer: "udx",
            checks: [PacketVectors.check] + LimitChecks.checks + WindowChecks.checks + PathChecks.checks + LifeChecks.checks
                + ReplayChecks.checks,
            mutants: UDXMutants.all)
    ]

    /// As `suites`, with a check for each golden exchange that this corpus holds.
    public static func suites(in corpus: Corpus) -> [CheckSuite] {
        suites + [CheckSuite(layer: "udx", checks: ExchangeChecks.checks(in: corpus), mutants: [])]
    }
}
