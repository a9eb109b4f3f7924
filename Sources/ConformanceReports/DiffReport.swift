import Conformance
import StrictJSON

/// A comparison of two captures, for people and for programs.
public struct DiffReport {
    public let diff: CaptureDiff
    /// Findings beyond this many are only counted in text.
    public var limit = 60

    public init(_ diff: CaptureDiff) { self.diff = diff }

    /// One sentence that says it all.
    public var headline: String {
        switch diff.verdict {
        case .identical: "identical: \(Text.plural(diff.packetsA, "packet")), nothing differs"
        case .equivalent: "equivalent: only what may differ does"
        case .deviates: "\(Text.plural(diff.findings.count, "deviation"))"
        }
    }

    public func text(colours: Bool) -> String {
        let palette = Palette(on: colours)
        var lines = [
            "A  \(diff.nameA), \(Text.plural(diff.packetsA, "packet"))", "B  \(diff.nameB), \(Text.plural(diff.packetsB, "packet"))",
            "compared as \(diff.relation == .copy ? "a recording and its copy: every field is exact" : "two runs: what is drawn at random may differ as declared")",
        ]
        lines += diff.notes
        lines.append("")
        for finding in diff.findings.prefix(limit) {
            let places = [finding.packetA.map { "A packet \($0)" }, finding.packetB.map { "B packet \($0)" }].compactMap { $0 }
            let offset = finding.offset.map { ", byte \($0)" } ?? ""
            lines.append("\(palette.red(finding.kind.rawValue)) \(palette.bold(finding.field))\(offset)  \(places.joined(separator: ", "))")
            lines.append(palette.dim("  in  \(finding.conversation)"))
            lines.append("  A   \(Text.shortened(finding.a, 160))")
            lines.append("  B   \(Text.shortened(finding.b, 160))")
            lines.append("  by  \(finding.rule)")
        }
        if diff.findings.count > limit { lines.append("and \(diff.findings.count - limit) more: see --format json or --html") }
        if !diff.findings.isEmpty { lines.append("") }
        lines.append(
            "\(diff.foldedPackets) pairs of packets without deviation are folded; \(diff.equalFields) of \(diff.comparedFields) compared fields are equal"
        )
        let free = diff.allowed.filter { if case .free = $0.rule { true } else { false } }
        let other = diff.allowed.filter { if case .free = $0.rule { false } else { true } }
        if !other.isEmpty {
            lines.append("differs as declared:")
            for item in other { lines.append("  \(Text.padded(item.field, 36)) \(Text.right("\(item.count)", 5)) x  \(item.rule)") }
        }
        if !free.isEmpty {
            lines.append("not compared, free:")
            for item in free { lines.append("  \(Text.padded(item.field, 36)) \(Text.right("\(item.count)", 5)) x  \(item.rule)") }
        }
        lines.append(diff.verdict == .deviates ? palette.red(headline) : palette.green(headline))
        return lines.joined(separator: "\n") + "\n"
    }

    public var json: JSON {
        func number(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
        return [
            "schema": "hyperconform-diff/1",
            "a": ["name": .string(diff.nameA), "packets": .integer(diff.packetsA)],
            "b": ["name": .string(diff.nameB), "packets": .integer(diff.packetsB)],
            "relation": .string(diff.relation.rawValue),
            "verdict": .string(diff.verdict.rawValue),
            "foldedPackets": .integer(diff.foldedPackets),
            "comparedFields": .integer(diff.comparedFields),
            "equalFields": .integer(diff.equalFields),
            "findings": .array(
                diff.findings.map {
                    [
                        "kind": .string($0.kind.rawValue), "field": .string($0.field), "offset": number($0.offset),
                        "packetA": number($0.packetA), "packetB": number($0.packetB), "a": .string($0.a), "b": .string($0.b),
                        "rule": .string($0.rule.name), "conversation": .string($0.conversation),
                    ]
                }),
            "allowed": .array(
                diff.allowed.map {
                    [
                        "field": .string($0.field), "rule": .string($0.rule.name), "reason": .string($0.rule.description),
                        "count": .integer($0.count), "a": .string($0.a), "b": .string($0.b),
                    ]
                }),
            "notes": .array(diff.notes.map { .string($0) }),
        ]
    }

    /// Findings by packet, for comments in an annotated capture of B. What only A has stands at the packet before which it is missing.
    public func comments(packetsOfB: [Int]) -> [Int: [String]] {
        var result: [Int: [String]] = [:]
        for finding in diff.findings {
            let number = finding.packetB ?? packetsOfB.last { $0 <= finding.packetA ?? 0 } ?? packetsOfB.first ?? 1
            let offset = finding.offset.map { ", byte \($0)" } ?? ""
            let other = finding.packetA.map { " (A packet \($0))" } ?? ""
            result[number, default: []].append(
                "\(finding.kind.rawValue) \(finding.field)\(offset)\(other): A \(Text.shortened(finding.a, 400)), B \(Text.shortened(finding.b, 400)); rule \(finding.rule)"
            )
        }
        return result
    }
}
