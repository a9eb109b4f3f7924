import Conformance

/// This target's share of the catalogue: one suite a layer.
public enum DHTChecks {
    public static let suites: [CheckSuite] = [DHTRPCSuite.suite, HyperDHTChecks.suite, exchanges]

    /// The golden exchanges of HyperDHT; the mutants are those of its own suite.
    private static let exchanges = CheckSuite(
        layer: "hyperdht", checks: ExchangeChecks.checks(in: Corpus.find(), layer: "hyperdht"), mutants: [])
}
