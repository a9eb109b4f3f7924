import CompactEncoding
import Dissection
import PacketCapture
import SansIO

/// Compares a recording with a copy of it: every packet and every byte is exact.
struct DiffCopy {
    let a: Dissection
    let b: Dissection
    var diff: CaptureDiff

    mutating func run() {
        let (pairs, missing, extra) = align()
        // Orphans that stand between the same neighbours are one packet whose addresses or time were changed.
        var lost = missing
        var new = extra
        var changed: [(Int, Int)] = []
        for index in missing {
            guard let found = new.first(where: { between(index, pairs) == between($0, pairs.map { ($0.1, $0.0) }, swapped: true) }) else {
                continue
            }
            changed.append((index, found))
            lost.removeAll { $0 == index }
            new.removeAll { $0 == found }
        }
        for (x, y) in (pairs + changed).sorted(by: { $0.0 < $1.0 }) { compare(a.packets[x], b.packets[y]) }
        let order = Set(outOfOrder(pairs.sorted { $0.1 < $1.1 }.map(\.0)))
        for (x, y) in pairs where order.contains(x) {
            report(.reordered, a.packets[x], b.packets[y], "order", nil, "packet \(a.packets[x].number)", "packet \(b.packets[y].number)")
        }
        for index in lost { report(.missing, a.packets[index], nil, a.packets[index].kind.name, nil, a.packets[index].summary, "nothing") }
        for index in new { report(.extra, nil, b.packets[index], b.packets[index].kind.name, nil, "nothing", b.packets[index].summary) }
        diff.findings.sort { ($0.packetA ?? $0.packetB ?? 0, $0.offset ?? -1) < ($1.packetA ?? $1.packetB ?? 0, $1.offset ?? -1) }
    }

    private struct Key: Hashable {
        let time: Int64
        let source: Endpoint
        let destination: Endpoint
    }

    /// Pairs of indices: first by time and addresses, then by addresses and bytes, then by time alone.
    private func align() -> (pairs: [(Int, Int)], missing: [Int], extra: [Int]) {
        var pairs: [(Int, Int)] = []
        var restA = Array(a.packets.indices)
        var restB = Array(b.packets.indices)
        func pass<K: Hashable>(_ key: (CapturedPacket) -> K) {
            var waiting: [K: [Int]] = [:]
            for index in restA.reversed() { waiting[key(a.packets[index].packet), default: []].append(index) }
            var paired: Set<Int> = []
            restB.removeAll { index in
                guard let found = waiting[key(b.packets[index].packet)]?.popLast() else { return false }
                pairs.append((found, index))
                paired.insert(found)
                return true
            }
            restA.removeAll { paired.contains($0) }
        }
        struct Whole: Hashable {
            let key: Key
            let payload: [UInt8]
        }
        pass { Whole(key: Key(time: $0.timeNanoseconds, source: $0.source, destination: $0.destination), payload: $0.payload) }
        pass { Key(time: $0.timeNanoseconds, source: $0.source, destination: $0.destination) }
        pass { Whole(key: Key(time: 0, source: $0.source, destination: $0.destination), payload: $0.payload) }
        pass { $0.timeNanoseconds }
        return (pairs.sorted { $0.0 < $1.0 }, restA, restB)
    }

    /// The last paired packet before an index, as an index into A.
    private func between(_ index: Int, _ pairs: [(Int, Int)], swapped: Bool = false) -> Int {
        let before = pairs.filter { $0.0 < index }.max { $0.0 < $1.0 }
        return before.map { swapped ? $0.1 : $0.0 } ?? -1
    }

    /// Values that are not part of a longest increasing subsequence.
    private func outOfOrder(_ values: [Int]) -> [Int] {
        var tails: [Int] = []
        var previous = [Int](repeating: -1, count: values.count)
        for (index, value) in values.enumerated() {
            var low = 0
            var high = tails.count
            while low < high {
                let middle = (low + high) / 2
                if values[tails[middle]] < value { low = middle + 1 } else { high = middle }
            }
            previous[index] = low > 0 ? tails[low - 1] : -1
            if low == tails.count { tails.append(index) } else { tails[low] = index }
        }
        var kept: Set<Int> = []
        var index = tails.last ?? -1
        while index >= 0 {
            kept.insert(values[index])
            index = previous[index]
        }
        return values.filter { !kept.contains($0) }
    }

    private mutating func compare(_ x: DissectedPacket, _ y: DissectedPacket) {
        let before = diff.findings.count
        let fields = x.units.filter(\.isWire).reduce(0) { $0 + $1.fields.count } + 4
        diff.comparedFields += fields
        func header(_ field: String, _ a: String, _ b: String) {
            if a != b { report(.changed, x, y, field, nil, a, b) }
        }
        header("source", "\(x.packet.source)", "\(y.packet.source)")
        header("destination", "\(x.packet.destination)", "\(y.packet.destination)")
        header("ip.ttl", "\(x.packet.timeToLive)", "\(y.packet.timeToLive)")
        if x.packet.timeNanoseconds != y.packet.timeNanoseconds {
            diff.allow(
                "time", .free("when a packet was seen is no part of it"), "\(x.packet.timeNanoseconds)", "\(y.packet.timeNanoseconds)")
        }
        if x.packet.payload != y.packet.payload { payload(x, y) }
        let found = diff.findings.count - before
        diff.equalFields += max(0, fields - found)
        if found == 0 { diff.foldedPackets += 1 }
    }

    /// Names each changed field once: the innermost that covers a changed byte.
    private mutating func payload(_ x: DissectedPacket, _ y: DissectedPacket) {
        let p = x.packet.payload
        let q = y.packet.payload
        if p.count == q.count {
            var seen: Set<String> = []
            for offset in p.indices where p[offset] != q[offset] {
                let place = DiffPlace.find(a, x, offset)
                guard seen.insert(place.name).inserted else { continue }
                let (old, new) = place.texts(p, q, other: y)
                report(.changed, x, y, place.name, offset, old, new)
            }
            return
        }
        // Another length: fields moved, so they are compared by name.
        let before = diff.findings.count
        for unit in x.units where unit.isWire {
            guard let other = y.units.first(where: { $0.layer == unit.layer && $0.isWire }) else { continue }
            let fieldsX = DiffField.all(of: unit)
            let fieldsY = DiffField.all(of: other)
            let nested = x.units.filter { $0.isWire && $0.range != unit.range && unit.range.contains($0.range.lowerBound) }
            for field in fieldsX
            where !nested.contains(where: { field.record.range.contains($0.range.lowerBound) && $0.layer != unit.layer }) {
                let name = "\(unit.layer.rawValue).\(field.path)"
                guard let twin = fieldsY.first(where: { $0.path == field.path }) else {
                    report(.changed, x, y, name, field.record.range.lowerBound, field.text(unit.bytes), "nothing")
                    continue
                }
                let (old, new) = (field.text(unit.bytes), twin.text(other.bytes))
                if old != new { report(.changed, x, y, name, field.record.range.lowerBound, old, new) }
            }
            for field in fieldsY where !fieldsX.contains(where: { $0.path == field.path }) {
                report(
                    .changed, x, y, "\(unit.layer.rawValue).\(field.path)", field.record.range.lowerBound, "nothing",
                    field.text(other.bytes))
            }
        }
        if diff.findings.count == before {
            let offset = zip(p, q).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(p.count, q.count)
            report(.changed, x, y, DiffPlace.find(a, x, offset).name, offset, "\(p.count) bytes", "\(q.count) bytes")
        }
    }

    private mutating func report(
        _ kind: DiffFinding.Kind, _ x: DissectedPacket?, _ y: DissectedPacket?, _ field: String, _ offset: Int?, _ old: String,
        _ new: String
    ) {
        let packet = x ?? y
        let conversation = packet.map { "\($0.packet.source) to \($0.packet.destination), \($0.summary)" } ?? ""
        diff.findings.append(
            DiffFinding(
                kind: kind, conversation: conversation, packetA: x?.number, packetB: y?.number, field: field, offset: offset, a: old,
                b: new,
                rule: .exact))
    }
}

/// What a byte of a payload belongs to.
struct DiffPlace {
    let name: String
    let field: DiffField?
    let unit: Unit?

    /// The innermost field of the wire units, or the part of the encrypted frame that the byte belongs to.
    static func find(_ dissection: Dissection, _ packet: DissectedPacket, _ offset: Int) -> DiffPlace {
        var best: (unit: Unit, field: DiffField)?
        for unit in packet.units where unit.isWire && unit.range.contains(offset) {
            for field in DiffField.all(of: unit) where field.record.wholeRange.contains(offset) {
                if best.map({ field.record.wholeRange.count <= $0.field.record.wholeRange.count }) ?? true { best = (unit, field) }
            }
        }
        guard let best else { return DiffPlace(name: frame(dissection, packet, offset) ?? "payload", field: nil, unit: nil) }
        if best.unit.layer == .udx, best.field.path == "payload", let frame = frame(dissection, packet, offset) {
            return DiffPlace(name: frame, field: best.field, unit: best.unit)
        }
        return DiffPlace(name: "\(best.unit.layer.rawValue).\(best.field.path)", field: best.field, unit: best.unit)
    }

    /// Both values of the field as text.
    func texts(_ a: [UInt8], _ b: [UInt8], other: DissectedPacket) -> (String, String) {
        guard let field, let unit else { return (Hex.encode(a), Hex.encode(b)) }
        let twin = other.units.first { $0.layer == unit.layer && $0.isWire && $0.range == unit.range }
            .flatMap { twin in DiffField.all(of: twin).first { $0.path == field.path }.map { ($0, twin) } }
        if let twin, twin.0.record.wholeRange == field.record.wholeRange {
            let (old, new) = (field.text(a), twin.0.text(b))
            if old != new { return (old, new) }
        }
        let range = field.record.wholeRange.clamped(to: 0..<min(a.count, b.count))
        return (Hex.encode(a[range]), Hex.encode(b[range]))
    }

    private static func frame(_ dissection: Dissection, _ packet: DissectedPacket, _ offset: Int) -> String? {
        guard let index = dissection.index(of: packet.number) else { return nil }
        for stream in dissection.secretStreams {
            guard let flow = stream.flow, let chunk = dissection.flows[flow].chunks.first(where: { $0.packet == index }),
                (chunk.payloadOffset..<chunk.payloadOffset + chunk.count).contains(offset)
            else { continue }
            let place = chunk.offset + offset - chunk.payloadOffset
            guard let number = stream.frames.firstIndex(where: { ($0.offset..<$0.offset + $0.length).contains(place) }) else {
                return "secret-stream.header"
            }
            let inside = place - stream.frames[number].offset
            let part =
                switch inside {
                case 0..<3: "length"
                case 3: "encryptedTag"
                default: inside >= stream.frames[number].length - 16 ? "mac" : "ciphertext"
                }
            return "secret-stream.frames[\(number)].\(part)"
        }
        return nil
    }
}
