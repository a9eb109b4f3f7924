import ArgumentParser
import Foundation
import PacketCapture
import TraceChecks

/// For developers of the harness: does the judge notice damage?
struct FlipsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flips", abstract: "Flips single bytes of recordings and counts how often the damage is named.",
        discussion:
            "Without bundles, all of the corpus that hold a class of bytes. Exit code 1 if less than 99 % of authenticated or 95 % of other bytes are named.",
        shouldDisplay: false)

    @OptionGroup var corpus: CorpusOptions
    @Argument(help: "Bundle folders.") var bundles: [String] = []
    @Option(help: "Flips per class and bundle.") var count = 100
    @Option(help: "Seed.") var seed: UInt64 = 1
    @Flag(help: "List what went unnoticed.") var misses = false

    func run() throws {
        let folders =
            bundles.isEmpty ? try TraceBundle.folders(in: try corpus.load().root + "/Fixtures").filter { !$0.contains("kadepy") } : bundles
        var totals: [FlipCampaign.ByteKind: FlipCampaign.Summary] = [:]
        for folder in folders {
            let campaign = FlipCampaign(try TraceBundle(path: folder))
            for kind in FlipCampaign.ByteKind.allCases where campaign.targets[kind] != nil {
                let summary = campaign.run(kind, count: count, seed: seed)
                totals[kind, default: FlipCampaign.Summary()].add(summary)
                if misses {
                    for miss in summary.misses {
                        print(
                            "\(campaign.bundle.name) \(kind.rawValue): packet \(miss.packet) byte \(miss.offset) \(miss.field) mask \(miss.mask) authenticated \(miss.isAuthenticated), \(miss.others) findings elsewhere"
                        )
                    }
                }
            }
            for (reason, bytes) in campaign.opaque { print("\(campaign.bundle.name): \(bytes) opaque bytes outside: \(reason)") }
        }
        var failed = false
        for kind in FlipCampaign.ByteKind.allCases {
            guard let total = totals[kind] else { continue }
            let open = total.flips - total.authenticated
            let openFound = total.found - total.authenticatedFound
            func percent(_ part: Int, _ all: Int) -> Double { all == 0 ? 100 : Double(part) * 100 / Double(all) }
            let line = String(
                format: "%6d flips: authenticated %d of %d (%.2f %%), others %d of %d (%.2f %%)", total.flips, total.authenticatedFound,
                total.authenticated, percent(total.authenticatedFound, total.authenticated), openFound, open, percent(openFound, open))
            print(kind.rawValue + String(repeating: " ", count: max(1, 18 - kind.rawValue.count)) + line)
            if percent(total.authenticatedFound, total.authenticated) < 99 || percent(openFound, open) < 95 { failed = true }
        }
        if failed { throw ExitCode(1) }
    }
}
