import Conformance
import StrictJSON

/// Which planted bugs were noticed, and which requirements no bug covers.
public struct MutantReport {
    public let fates: [MutantResult]
    /// Requirements without a killed mutant, with the reason.
    public let uncovered: [(requirement: Requirement, reason: String)]
    public let requirements: [Requirement]

    public init(requirements: [Requirement], checks: [Check], fates: [MutantResult]) {
        self.fates = fates
        self.requirements = requirements
        let killed = Set(fates.filter(\.isKilled).map(\.requirement))
        let planted = Set(fates.map(\.requirement))
        let carried = Set(checks.filter { $0.subject == .codec || $0.subject == .stack }.flatMap(\.requirements))
        uncovered = requirements.filter { !killed.contains($0.id) }.map { requirement in
            let id = requirement.id
            if !carried.contains(id) { return (requirement, planted.contains(id) ? "no check" : "no check, no mutant") }
            if !planted.contains(id) { return (requirement, "no mutant") }
            return (requirement, MutantReport.describe(fates.first { $0.requirement == id }?.fate ?? .survived))
        }
    }

    static func describe(_ fate: MutantResult.Fate) -> String {
        switch fate {
        case .killed(let check): "killed by \(check)"
        case .survived: "survived: no check noticed it"
        case .baselineRed(let check): "can't be judged: \(check) fails without the bug, too"
        case .noCheck: "no check carries its requirement"
        }
    }

    public func text(colours: Bool) -> String {
        let palette = Palette(on: colours)
        let killed = fates.filter(\.isKilled).count
        var lines: [String] = []
        for layer in Layers.all {
            let ids = Set(requirements.filter { $0.layer == layer }.map(\.id))
            if ids.isEmpty { continue }
            let own = fates.filter { ids.contains($0.requirement) }
            let covered = Set(own.filter(\.isKilled).map(\.requirement)).count
            lines.append(
                "\(Text.padded(layer, 14)) \(Text.right("\(own.filter(\.isKilled).count)", 4)) of \(Text.right("\(own.count)", 4)) mutants killed, \(Text.right("\(covered)", 3)) of \(Text.right("\(ids.count)", 3)) requirements covered"
            )
        }
        let survivors = fates.filter { !$0.isKilled }
        if !survivors.isEmpty { lines.append("") }
        for fate in survivors {
            lines.append("\(palette.red(fate.id))  \(fate.bug)")
            lines.append("  \(MutantReport.describe(fate.fate))")
        }
        lines.append("")
        let rate = fates.isEmpty ? "-" : Text.percent(Double(killed) / Double(fates.count))
        lines.append("\(killed) of \(fates.count) mutants killed (\(rate)), \(Text.plural(uncovered.count, "requirement")) not covered")
        return lines.joined(separator: "\n") + "\n"
    }

    public var uncoveredText: String {
        if uncovered.isEmpty { return "every requirement is covered by a killed mutant\n" }
        return uncovered.map { "\(Text.padded($0.requirement.id, 10)) \(Text.padded($0.requirement.layer, 14)) \($0.reason)" }
            .joined(separator: "\n") + "\n"
    }

    public var json: JSON {
        [
            "schema": "hyperconform-mutants/1",
            "planted": .integer(fates.count),
            "killed": .integer(fates.filter(\.isKilled).count),
            "mutants": .array(
                fates.map { fate in
                    let (name, check): (JSON, JSON) =
                        switch fate.fate {
                        case .killed(let check): ("killed", .string(check))
                        case .survived: ("survived", nil)
                        case .baselineRed(let check): ("baseline-red", .string(check))
                        case .noCheck: ("no-check", nil)
                        }
                    return [
                        "id": .string(fate.id), "requirement": .string(fate.requirement), "bug": .string(fate.bug), "fate": name,
                        "check": check,
                    ]
                }),
            "uncovered": .array(uncovered.map { ["id": .string($0.requirement.id), "reason": .string($0.reason)] }),
        ]
    }
}
