import ArgumentParser
import Foundation
import PacketCapture
import TraceChecks

/// For developers of the harness: does the judge notice recordings that mean something else?
struct DamageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "damage", abstract: "Alters recordings so that they mean something else, and counts which alterations a rule names.",
        discussion: "Without bundles, all of the corpus. Exit code 1 if an alteration that a rule is meant for went unnoticed everywhere.",
        shouldDisplay: false)

    @OptionGroup var corpus: CorpusOptions
    @Argument(help: "Bundle folders.") var bundles: [String] = []
    @Option(help: "Alterations of each kind and bundle.") var count = 3
    @Option(help: "Seed.") var seed: UInt64 = 1
    @Option(help: "Only alterations whose name contains this.") var only = ""
    @Flag(help: "List what went unnoticed.") var misses = false

    func run() throws {
        let folders =
            bundles.isEmpty ? try TraceBundle.folders(in: try corpus.load().root + "/Fixtures").filter { !$0.contains("kadepy") } : bundles
        var totals: [String: (tried: Int, noticed: Int, named: Int, rules: [String: Int])] = [:]
        let chosen = Alteration.all.filter { only.isEmpty || $0.name.contains(only) }
        for folder in folders {
            let campaign = DamageCampaign(try TraceBundle(path: folder))
            for alteration in chosen where campaign.allows(alteration) {
                for outcome in campaign.run(alteration, count: count, seed: seed) {
                    var total = totals[alteration.name] ?? (0, 0, 0, [:])
                    total.tried += 1
                    total.noticed += outcome.isNoticed ? 1 : 0
                    total.named += outcome.isNamed ? 1 : 0
                    for rule in outcome.rules { total.rules[rule, default: 0] += 1 }
                    totals[alteration.name] = total
                    if misses, !outcome.isNoticed {
                        print("\(campaign.bundle.name): \(alteration.name), packet \(outcome.packet) (\(outcome.summary)): unnoticed")
                    }
                }
            }
        }
        var isBlind = false
        for alteration in chosen {
            guard let total = totals[alteration.name] else {
                print("\(alteration.name): nowhere to be made")
                continue
            }
            let rules = total.rules.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(4).map { "\($0.key) \($0.value)" }
            print(
                "\(alteration.name): \(total.noticed) of \(total.tried) noticed, \(total.named) by the rule meant (\(rules.joined(separator: ", ")))"
            )
            if !alteration.rules.isEmpty, total.named == 0 { isBlind = true }
        }
        if isBlind { throw ExitCode(1) }
    }
}
