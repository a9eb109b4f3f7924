import Conformance

/// What judges dht-rpc, besides the golden exchanges.
enum DHTRPCSuite {
    static let suite = CheckSuite(layer: "dht-rpc", checks: DHTRPCVectors.checks, mutants: DHTRPCMutants.mutants)
}
