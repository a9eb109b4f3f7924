import Conformance

/// The catalogue's share of HyperDHT, besides the golden exchanges.
public enum HyperDHTChecks {
    public static let suite = CheckSuite(
        layer: "hyperdht",
        checks: HyperDHTVectors.checks + HyperDHTMachineChecks.checks + HyperDHTConnectChecks.checks + HyperDHTConnectionChecks.checks
            + HyperDHTRelayChecks.checks + HyperDHTPunchChecks.checks + HyperDHTHostileChecks.checks + HyperDHTNATMatrix.checks
            + HyperDHTScale.checks,
        mutants: HyperDHTMutants.mutants)
}
