import Conformance

/// This target's share of the catalogue: one suite a layer.
public enum TraceChecks {
    public static let suites: [CheckSuite] = []
}
