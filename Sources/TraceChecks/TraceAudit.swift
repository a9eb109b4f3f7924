import Dissection
import PacketCapture

/// Everything that can be said against one capture: what its dissection found, and what the rules of the layers find.
public struct TraceAudit: Sendable {
    public let dissection: Dissection
    public let report: TraceReport

    public var findings: [TraceFinding] { report.findings }

    /// Judges the bundle's main capture, or the one given; `vantage` is where it was taken, by default where the main one was.
    public init(_ bundle: TraceBundle, capture: Capture? = nil, vantage: TraceVantage? = nil) {
        self.init(TraceContext(bundle, capture: capture, vantage: vantage ?? TraceVantage.ofMainCapture(of: bundle)))
    }

    init(_ context: TraceContext) {
        dissection = context.dissection
        var report = TraceReport()
        for issue in dissection.issues {
            report.add("dissection.\(issue.rule.rawValue)", issue.packet, issue.field, issue.offset, issue.message)
        }
        for (reason, count) in dissection.captureIssues { report.add("capture", 0, "frame", nil, "\(count) times: \(reason)") }
        GeneralRules.run(context, &report)
        UDXRules.run(context, &report)
        DHTRules.run(context, &report)
        DHTNodeRules.run(context, &report)
        HyperDHTRules.run(context, &report)
        StorageRules.run(context, &report)
        HandshakeRules.run(context, &report)
        StreamRules.run(context, &report)
        MuxRules.run(context, &report)
        RelayRules.run(context, &report)
        SwarmRules.run(context, &report)
        SwarmTopicRules.run(context, &report)
        self.report = report
    }
}

/// What every capture of Hyperswarm obeys.
enum GeneralRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        for packet in context.packets {
            switch packet.kind {
            case .raw:
                report.add(
                    "trace.foreign", packet.number, "payload", 0,
                    "a datagram of no protocol of the stack (first byte \(packet.packet.payload.first ?? 0))")
            case .kadepy(let message):
                report.add("trace.kadepy", packet.number, "payload", 0, "\(message) is not Hyperswarm")
            case .probe:
                report.check(
                    "trace.probe", packet.packet.payload == [0], packet.number, "payload", 0, "a hole-punch probe is one zero byte")
            case .other(let name) where name != "ARP" && !name.hasPrefix("ICMP") && name != "IP fragment":
                report.add("trace.foreign", packet.number, "frame", nil, name)
            default: report.count("trace.foreign", 1)
            }
        }
    }
}
