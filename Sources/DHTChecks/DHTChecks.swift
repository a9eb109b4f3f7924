import Conformance

/// This target's share of the catalogue: one suite a layer.
public enum DHTChecks {
    public static let suites: [CheckSuite] = [DHTRPCSuite.suite, HyperDHTChecks.suite]
}
