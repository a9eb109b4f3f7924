import Dissection
import PacketCapture
import SansIO

/// Compares captures by protocol meaning.
public enum Diff {
    /// - Parameters: two bundles, or single captures as bundles.
    public static func compare(_ a: TraceBundle, _ b: TraceBundle) -> CaptureDiff { compare(a, b, Dissection(a), Dissection(b)) }

    public static func compare(_ a: TraceBundle, _ b: TraceBundle, _ dissectionA: Dissection, _ dissectionB: Dissection) -> CaptureDiff {
        let relation = relation(dissectionA, dissectionB)
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
                dissectionA, dissectionB, DiffLabels(a, common: common, like: b), DiffLabels(b, common: common, like: a), diff)
            comparison.run()
            diff = comparison.diff
        }
        return diff
    }

    /// Two runs never share times to the microsecond, nor datagrams with random numbers in them; a copy shares nearly all.
    private static func relation(_ a: Dissection, _ b: Dissection) -> CaptureDiff.Relation {
        let fewer = max(1, min(a.packets.count, b.packets.count))
        if shared(a.packets.map(\.packet.timeNanoseconds), b.packets.map(\.packet.timeNanoseconds)) * 2 >= fewer { return .copy }
        // Plain UDX streams with given ids are the same in every run; dht-rpc's transaction ids are not.
        func drawn(_ dissection: Dissection) -> [[UInt8]] {
            dissection.packets.filter { $0.kind == .dhtRequest || $0.kind == .dhtResponse }.map(\.packet.payload)
        }
        let (x, y) = (drawn(a), drawn(b))
        return shared(x, y) * 2 > max(1, min(x.count, y.count)) ? .copy : .runs
    }

    /// How many values both have, each as often as the other.
    private static func shared<T: Hashable>(_ a: [T], _ b: [T]) -> Int {
        var counts: [T: Int] = [:]
        for value in a { counts[value, default: 0] += 1 }
        var shared = 0
        for value in b {
            if let count = counts[value], count > 0 {
                shared += 1
                counts[value] = count - 1
            }
        }
        return shared
    }
}
