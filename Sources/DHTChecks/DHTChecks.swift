import Conformance

/// This target's share of the catalogue: one suite a layer.
public enum DHTChecks {
    public static let suites: [CheckSuite] = [DHTRPCSuite.suite, HyperDHTChecks.suite, NoiseServerChecks.suite]

    /// As `suites`, with a check for each golden exchange and each recording of DHT nodes that this corpus holds.
    public static func suites(in corpus: Corpus) -> [CheckSuite] {
        suites
            + ["dht-rpc", "hyperdht"].map { layer in
                CheckSuite(
                    layer: layer,
                    checks: ExchangeChecks.checks(in: corpus, layer: layer) + NodeReplayChecks.checks(in: corpus, layer: layer), mutants: []
                )
            }
    }
}
