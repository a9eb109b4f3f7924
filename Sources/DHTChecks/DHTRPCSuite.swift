import Conformance

/// Everything that judges dht-rpc.
enum DHTRPCSuite {
    static let suite = CheckSuite(
        layer: "dht-rpc", checks: DHTRPCVectors.checks + ExchangeChecks.checks(in: Corpus.find(), layer: "dht-rpc"),
        mutants: DHTRPCMutants.mutants)
}
