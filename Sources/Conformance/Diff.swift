import Dissection
import PacketCapture
import SansIO

/// Compares captures by protocol meaning.
public enum Diff {
    /// - Parameters: two bundles, or single captures as bundles.
    public static func compare(_ a: TraceBundle, _ b: TraceBundle) -> CaptureDiff { compare(a, b, Dissection(a), Dissection(b)) }

    public static func compare(_ a: TraceBundle, _ b: TraceBundle, _ dissectionA: Dissection, _ dissectionB: Dissection) -> CaptureDiff {
        let relation = relation(a.capture.packets, b.capture.packets)
        var diff = CaptureDiff(
            nameA: a.name, nameB: b.name, relation: relation, packetsA: dissectionA.packets.count, packetsB: dissectionB.packets.count)
        for (bundle, dissection) in [(a, dissectionA), (b, dissectionB)] {
            let foreign = dissection.packets.filter { if case .kadepy = $0.kind { true } else { false } }.count
            if foreign > 0 { diff.notes.append("\(bundle.name) holds \(foreign) packets of KadePy, which is not Hyperswarm") }
            for (reason, count) in dissection.captureIssues { diff.notes.append("\(bundle.name): \(reason) (\(count))") }
        }
        switch relation {
        case .copy:
            var comparison = DiffCopy(a: dissectionA, b: dissectionB, diff: diff)
            comparison.run()
            diff = comparison.diff
        case .runs:
            func endpoints(_ dissection: Dissection) -> Set<Endpoint> {
                Set(dissection.packets.flatMap { [$0.packet.source, $0.packet.destination] })
            }
            let common = endpoints(dissectionA).intersection(endpoints(dissectionB))
            var comparison = DiffRuns(
                dissectionA, dissectionB, DiffLabels(a, common: common), DiffLabels(b, common: common), diff)
            comparison.run()
            diff = comparison.diff
        }
        return diff
    }

    /// Two runs never share times to the microsecond; a copy shares nearly all.
    private static func relation(_ a: [CapturedPacket], _ b: [CapturedPacket]) -> CaptureDiff.Relation {
        var times: [Int64: Int] = [:]
        for packet in a { times[packet.timeNanoseconds, default: 0] += 1 }
        var shared = 0
        for packet in b {
            if let count = times[packet.timeNanoseconds], count > 0 {
                shared += 1
                times[packet.timeNanoseconds] = count - 1
            }
        }
        return shared * 2 >= max(1, min(a.count, b.count)) ? .copy : .runs
    }
}
