import Conformance

/// What judges dht-rpc, besides the golden exchanges.
enum DHTRPCSuite {
    static let suite = CheckSuite(
        layer: "dht-rpc",
        checks: DHTRPCVectors.checks + DHTRPCAnswerChecks.checks + DHTRPCTableChecks.checks + DHTRPCRequestChecks.checks
            + DHTRPCQueryChecks.checks + DHTRPCLifeChecks.checks + DHTRPCHostileChecks.checks
            + DHTRPCSimulationChecks.checks,
        mutants: DHTRPCMutants.mutants)
}
