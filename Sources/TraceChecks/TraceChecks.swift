import Conformance
import Dissection

/// This target's share of the catalogue: one suite a layer. The mutants that these checks notice stand in the layers' own suites.
public enum TraceChecks {
    public static let suites: [CheckSuite] = [
        CheckSuite(layer: "noise", checks: EncryptionTraceChecks.noise, mutants: []),
        CheckSuite(layer: "secret-stream", checks: EncryptionTraceChecks.secretStream, mutants: []),
        CheckSuite(
            layer: "protomux",
            checks: [
                TraceCheck.codec("protomux.trace-codec", ["MUX-1", "MUX-13"], layers: [.protomux]),
                TraceCheck.recording("protomux.trace-opens", ["MUX-2", "MUX-5", "MUX-8"], "protomux.open", "protomux.answered"),
                TraceCheck.recording("protomux.trace-channels", ["MUX-4"], "protomux.channel"),
                TraceCheck.recording("protomux.trace-rejects", ["MUX-3"], "protomux.reject"),
                TraceCheck.recording("protomux.trace-closes", ["MUX-7"], "protomux.close"),
            ], mutants: []),
        CheckSuite(
            layer: "blind-relay",
            checks: [
                TraceCheck.codec("blind-relay.trace-codec", ["RELAY-2"], layers: [.blindRelay]),
                TraceCheck.recording("blind-relay.trace-channel", ["RELAY-1"], "blind-relay.channel"),
                TraceCheck.recording("blind-relay.trace-pair", ["RELAY-3"], "blind-relay.pair"),
                TraceCheck.recording(
                    "blind-relay.trace-roles", ["RELAY-11", "RELAY-12", "HDHT-68"], "blind-relay.role", "blind-relay.token"),
                TraceCheck.recording("blind-relay.trace-streams", ["HDHT-66"], "blind-relay.stream"),
            ], mutants: []),
        CheckSuite(layer: "udx", checks: udx, mutants: []),
        CheckSuite(layer: "dht-rpc", checks: dhtRPC, mutants: []),
        CheckSuite(layer: "hyperdht", checks: hyperDHT, mutants: []),
        CheckSuite(
            layer: "hyperswarm",
            checks: [
                TraceCheck.recording("hyperswarm.trace-topics", ["SWARM-1"], "hyperswarm.join"),
                TraceCheck.recording("hyperswarm.trace-records", ["SWARM-2"], "hyperswarm.record"),
                TraceCheck.recording("hyperswarm.trace-client-only", ["SWARM-4"], "hyperswarm.client-only"),
                TraceCheck.recording("hyperswarm.trace-unannounced", ["SWARM-6", "SWARM-27", "SWARM-28"], "hyperdht.unannounced"),
                TraceCheck.recording("hyperswarm.trace-written", ["SWARM-31"], "secret-stream.written"),
                TraceCheck.recording("hyperswarm.trace-listening", ["SWARM-3"], "hyperdht.self-announce"),
                TraceCheck.recording("hyperswarm.trace-crossing", ["SWARM-15a", "SWARM-16"], "hyperswarm.crossing"),
                TraceCheck.recording("hyperswarm.trace-one-connection", ["SWARM-32"], "hyperswarm.one-connection"),
            ], mutants: []),
    ]

    private static let udx: [Check] = [
        TraceCheck.codec("udx.trace-codec", ["UDX-1"], layers: [.udx]),
        TraceCheck.recording("udx.trace-types", ["UDX-4", "UDX-26b"], "udx.type", "udx.length"),
        TraceCheck.recording("udx.trace-stream-ids", ["UDX-2"], "udx.id"),
        TraceCheck.recording("udx.trace-numbers", ["UDX-3", "UDX-70"], "udx.seq"),
        TraceCheck.recording("udx.trace-acks", ["UDX-8"], "udx.ack"),
        TraceCheck.recording("udx.trace-answers", ["UDX-15"], "udx.answer"),
        TraceCheck.recording("udx.trace-sacks", ["UDX-17", "UDX-19"], "udx.sack"),
        TraceCheck.recording("udx.trace-heartbeats", ["UDX-22"], "udx.heartbeat"),
        TraceCheck.recording("udx.trace-window", ["UDX-33"], "udx.window-step", "udx.window"),
        TraceCheck.recording("udx.trace-size", ["UDX-37"], "udx.size"),
        TraceCheck.recording("udx.trace-dont-fragment", ["UDX-41"], "udx.dont-fragment"),
        TraceCheck.recording("udx.trace-first-burst", ["UDX-28", "UDX-51"], "udx.first-burst"),
        TraceCheck.recording("udx.trace-closed-window", ["UDX-29"], "udx.window-closed"),
        TraceCheck.recording("udx.trace-window-probe", ["UDX-30"], "udx.window-probe"),
        TraceCheck.recording("udx.trace-sacked-repeats", ["UDX-48"], "udx.sacked-repeat"),
        TraceCheck.recording("udx.trace-end", ["UDX-54"], "udx.end"),
        TraceCheck.recording("udx.trace-duplicates", ["UDX-16"], "udx.duplicate"),
        TraceCheck.recording("udx.trace-causes", ["UDX-21", "UDX-57"], "udx.cause"),
        TraceCheck.recording("udx.trace-reopened-window", ["UDX-31"], "udx.window-open"),
        TraceCheck.recording("udx.trace-timeouts", ["UDX-45"], "udx.timeout"),
        TraceCheck.recording("udx.trace-repairs", ["UDX-47"], "udx.repair"),
        TraceCheck.recording("udx.trace-written", ["UDX-55"], "udx.written"),
        TraceCheck.recording("udx.trace-closed", ["UDX-58"], "udx.closed"),
        TraceCheck.recording("udx.trace-end-acknowledged", ["UDX-60"], "udx.end-acknowledged", "udx.settled"),
        TraceCheck.recording("udx.trace-reset", ["UDX-62"], "udx.reset"),
        TraceCheck.recording("udx.trace-beginning", ["UDX-65"], "udx.beginning"),
        TraceCheck.recording("udx.trace-messages", ["UDX-69", "UDX-70"], "udx.message"),
        TraceCheck.recording("udx.trace-keepalive", ["UDX-71"], "udx.keepalive"),
        TraceCheck.recording("udx.trace-relay", ["UDX-74", "RELAY-6"], "udx.relay"),
        TraceCheck.check("udx.trace-retransmissions", ["UDX-44"], .recording) { _, audit in
            TraceCheck.Outcome(
                comparisons: audit.dissection.flows.reduce(0) { $0 + $1.retransmissions },
                findings: audit.findings.filter { $0.rule == "dissection.copy" })
        },
        TraceCheck.check("udx.trace-destroy", ["UDX-61"], .recording) { _, audit in
            TraceCheck.Outcome(
                comparisons: audit.dissection.flows.reduce(0) { $0 + ($1.destroyed == nil ? 0 : 1) },
                findings: audit.findings.filter { $0.rule == "udx.destroy" })
        },
    ]

    private static let dhtRPC: [Check] = [
        TraceCheck.codec("dht-rpc.trace-codec", ["DHT-15"], layers: [.dhtRPC]),
        tally("dht-rpc.trace-node-ids", ["DHT-3"], .nodeID) { $0.nodeIDs },
        tally("dht-rpc.trace-tokens", ["DHT-26"], .token) { $0.tokens },
        TraceCheck.recording(
            "dht-rpc.trace-to", ["DHT-1"], "dht-rpc.to", "dht-rpc.flags", "dht-rpc.answered", "hyperdht.answered", "noise.answered",
            "trace.kadepy", "trace.foreign"),
        TraceCheck.recording("dht-rpc.trace-ping-nat", ["DHT-11"], "dht-rpc.nat-port"),
        TraceCheck.recording(
            "dht-rpc.trace-replies", ["DHT-14"], "dht-rpc.reply-token", "dht-rpc.reply-closer", "dht-rpc.reply-value",
            "dht-rpc.closer-nodes"),
        TraceCheck.recording("dht-rpc.trace-errors", ["DHT-23", "DHT-24"], "dht-rpc.error", "dht-rpc.command"),
        TraceCheck.recording("dht-rpc.trace-delayed-ping", ["DHT-21"], "dht-rpc.delay"),
        TraceCheck.recording("dht-rpc.trace-retries", ["DHT-33", "DHT-34"], "dht-rpc.retries"),
        TraceCheck.recording("dht-rpc.trace-identity", ["DHT-4"], "dht-rpc.ephemeral"),
        TraceCheck.recording("dht-rpc.trace-sockets", ["DHT-48"], "dht-rpc.socket"),
        TraceCheck.recording("dht-rpc.trace-rests", ["DHT-52"], "dht-rpc.suspended"),
        TraceCheck.recording("dht-rpc.trace-lists", ["DHT-14"], "dht-rpc.closer-order", "dht-rpc.closer-known"),
        TraceCheck.recording("dht-rpc.trace-once", ["DHT-33"], "dht-rpc.twice"),
        TraceCheck.recording("dht-rpc.trace-commits", ["DHT-41"], "dht-rpc.request-token"),
    ]

    private static let hyperDHT: [Check] = [
        TraceCheck.codec("hyperdht.trace-codec", ["HDHT-7", "HDHT-24"], layers: [.hyperDHT, .noisePayload, .holepunch]),
        tally("hyperdht.trace-signatures", ["HDHT-7", "HDHT-21", "HDHT-24"], .signature) { $0.signatures },
        tally("hyperdht.trace-hashes", ["HDHT-29"], .hash) { $0.hashes },
        TraceCheck.recording("hyperdht.trace-records", ["HDHT-7", "HDHT-17"], "hyperdht.record", "hyperdht.bump", "hyperdht.lookup"),
        TraceCheck.recording(
            "hyperdht.trace-handshake-legs", ["HDHT-36", "HDHT-37"], "hyperdht.noise", "hyperdht.mode", "hyperdht.peer-address"),
        TraceCheck.recording("hyperdht.trace-holepunch-legs", ["HDHT-47", "HDHT-49"], "hyperdht.slot"),
        TraceCheck.recording("hyperdht.trace-self-announce", ["HDHT-62a"], "hyperdht.self-announce"),
        TraceCheck.recording("hyperdht.trace-fast-open", ["HDHT-59"], "hyperdht.fast-open"),
        TraceCheck.recording("hyperdht.trace-persistent", ["HDHT-5"], "hyperdht.persistent"),
        TraceCheck.recording(
            "hyperdht.trace-stored", ["HDHT-3", "HDHT-7", "HDHT-17", "HDHT-19", "HDHT-21", "HDHT-25", "HDHT-27", "HDHT-29"],
            "hyperdht.stored"),
        TraceCheck.recording("hyperdht.trace-routes", ["HDHT-34", "HDHT-36"], "hyperdht.route"),
        TraceCheck.recording("hyperdht.trace-payloads", ["HDHT-40"], "hyperdht.payload"),
        TraceCheck.recording("hyperdht.trace-refusals", ["HDHT-44", "SWARM-25"], "hyperdht.refused"),
        TraceCheck.recording("hyperdht.trace-punch-tokens", ["HDHT-52"], "hyperdht.punch-token"),
        TraceCheck.recording("hyperdht.trace-same-noise", ["HDHT-55"], "hyperdht.same-noise"),
        TraceCheck.recording("hyperdht.trace-probe-count", ["HDHT-58"], "hyperdht.probes"),
        TraceCheck.recording("hyperdht.trace-unannounced", ["HDHT-64"], "hyperdht.unannounced"),
        TraceCheck.recording("hyperdht.trace-keepalive", ["HDHT-70"], "secret-stream.keepalive"),
        TraceCheck.recording("hyperdht.trace-probes", ["HDHT-53"], "trace.probe"),
    ]

    /// Our ids, tokens, signatures and hashes against those that Node made.
    private static func tally(
        _ id: String, _ requirements: [String], _ rule: Issue.Rule, _ count: @escaping @Sendable (Tally) -> Int
    ) -> Check {
        TraceCheck.check(id, requirements, .codec) { _, audit in
            TraceCheck.Outcome(
                comparisons: count(audit.dissection.verified) + count(audit.dissection.failed),
                findings: audit.findings.filter { $0.rule == "dissection.\(rule.rawValue)" })
        }
    }
}
