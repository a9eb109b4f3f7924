import Conformance

/// All that can be asked of a peer from the outside.
public enum PeerProbes {
    public static func all(in corpus: Corpus) throws -> [Probe] {
        try UDXExchangeProbes.probes(in: corpus) + UDXProbes.probes + DHTRPCAnswerProbes.probes + DHTRPCRequestProbes.probes
            + RecordProbes.probes
            + XXProbes.probes + SecretStreamProbes.probes + ProtomuxProbes.probes + RoutingProbes.probes + ServerProbes.probes
            + ConnectionProbes.probes
            + RelayProbes.probes + RelayClientProbes.probes + ClientProbes.probes + PunchProbes.probes + SwarmProbes.probes
    }
}
