import Conformance

/// The catalogue's share of HyperDHT.
public enum HyperDHTChecks {
    public static let suite = CheckSuite(
        layer: "hyperdht", checks: HyperDHTVectors.checks + HyperDHTConnectChecks.checks,
        mutants: HyperDHTMutants.mutants)
}
