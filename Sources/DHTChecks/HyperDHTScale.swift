import Conformance
import SansIO
import Simulations

/// Networks of whole nodes: do announces and lookups work, and do they survive when nodes vanish.
enum HyperDHTScale {
    static let checks: [Check] = [
        Check("hyperdht.many-nodes", ["HDHT-7", "HDHT-16", "HDHT-19"], .simulation) { exam in
            var scenario = DHTScenario(nodes: 64, announces: 10, seed: exam.seed)
            scenario.joining = .seconds(30)
            let report = try scenario.run()
            exam.require("persistent", report.persistent >= 63, "\(report.persistent)")
            exam.equal("lookups that ended", report.lookups.ended, 10)
            exam.equal("lookups that found the record", report.lookups.found, 10)
            exam.equal("lookups with the true closest nodes", report.lookups.accurate, 10)
            exam.equal("found after a fifth vanished", report.lookupsAfterLoss.found, 10)
        },
        Check("hyperdht.same-seed", ["HDHT-7"], .simulation) { exam in
            var scenario = DHTScenario(nodes: 24, announces: 3, seed: exam.seed)
            scenario.joining = .seconds(10)
            let first = try scenario.run()
            exam.equal("what the lookups saw", try scenario.run(), first)
        },
    ]
}
