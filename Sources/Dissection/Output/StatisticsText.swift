/// Statistics for people.
public enum StatisticsText {
    public static func text(_ statistics: Statistics, _ dissection: Dissection) -> String {
        var lines: [String] = ["\(dissection.name): \(statistics.packets) packets"]
        func row(_ title: String, _ values: [(String, Int)]) {
            let shown = values.filter { $0.1 > 0 }
            guard !shown.isEmpty else { return }
            lines.append("  " + pad(title, 16) + shown.map { "\($0.1) \($0.0)" }.joined(separator: ", "))
        }
        row("bytes", ByteClass.allCases.reversed().map { ($0.name, statistics.bytes[$0] ?? 0) })
        row("dht-rpc", [("requests", statistics.requests), ("responses", statistics.responses)])
        row("commands", statistics.commands.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) })
        row("errors", statistics.errors.sorted { $0.key < $1.key }.map { (CommandName.error($0.key), $0.value) })
        row("udx", Statistics.udxKinds.map { ($0, statistics.udx[$0] ?? 0) })
        row(
            "secret-stream",
            [("frames", statistics.frames), ("keepalives", statistics.keepalives), ("unordered messages", statistics.messages)])
        row("protomux", [("messages", statistics.protomuxFrames)])
        row("other", [("raw", statistics.raw), ("kadepy", statistics.kadepy)])
        row("verified", statistics.verified.all.map { ($0.name, $0.count) })
        row("failed", statistics.failed.all.map { ($0.name, $0.count) })
        for (reason, count) in statistics.opaque { lines.append("  opaque          \(count) bytes: \(reason)") }
        for entry in statistics.unanswered { lines.append("  unanswered      packet \(entry.packet): \(entry.reason)") }
        for stream in statistics.streams {
            let id = stream.streamID.map { " id \($0)" } ?? " (TCP)"
            let kind = stream.handshakeHash == nil ? "plain" : "decrypted"
            lines.append("  stream          \(stream.from) > \(stream.to)\(id): \(stream.bytes) bytes \(kind), sha256 \(stream.sha256)")
        }
        for issue in dissection.issues.prefix(50) { lines.append("  PROBLEM         \(issue)") }
        if dissection.issues.count > 50 { lines.append("  ... and \(dissection.issues.count - 50) problems more") }
        return lines.joined(separator: "\n") + "\n"
    }

    static func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }
}
