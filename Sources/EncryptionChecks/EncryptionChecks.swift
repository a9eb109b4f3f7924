import Conformance

/// This target's share of the catalogue: one suite a layer.
public enum EncryptionChecks {
    public static let suites: [CheckSuite] = [
        CheckSuite(layer: "ground", checks: CompactEncodingVectors.checks + DerivationVectors.checks, mutants: []),
        CheckSuite(
            layer: "noise",
            checks: NoiseVectors.checks + NoiseSpecification.checks + NoiseMachineChecks.checks + NoiseStreamChecks.checks
                + ReplayChecks.noise,
            mutants: NoiseMutants.mutants),
        CheckSuite(
            layer: "secret-stream",
            checks: SecretStreamVectors.checks + SecretStreamStartChecks.checks + SecretStreamMessageChecks.checks
                + SecretStreamLifeChecks.checks + UnorderedChecks.checks + ReplayChecks.secretStream,
            mutants: SecretStreamMutants.mutants),
        CheckSuite(
            layer: "protomux", checks: ProtomuxVectors.checks + ProtomuxChecks.checks + ProtomuxFlowChecks.checks,
            mutants: ProtomuxMutants.mutants),
        CheckSuite(layer: "blind-relay", checks: BlindRelayVectors.checks + BlindRelayChecks.checks, mutants: BlindRelayMutants.mutants),
    ]
}
