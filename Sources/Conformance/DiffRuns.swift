import CompactEncoding
import Dissection
import PacketCapture
import SansIO

/// Compares two runs of one scenario: conversations are aligned by what they are about, fields by declared variance.
struct DiffRuns {
    let a: Dissection
    let b: Dissection
    let labelsA: DiffLabels
    let labelsB: DiffLabels
    var diff: CaptureDiff
    /// Both, if both are runs of swarms.
    private let swarms: (a: DiffSwarms, b: DiffSwarms)?
    /// Packets that some comparison has dealt with.
    private var seenA: Set<Int> = []
    private var seenB: Set<Int> = []

    init(_ a: Dissection, _ b: Dissection, _ labelsA: DiffLabels, _ labelsB: DiffLabels, _ diff: CaptureDiff) {
        self.a = a
        self.b = b
        self.labelsA = labelsA
        self.labelsB = labelsB
        self.diff = diff
        if let one = DiffSwarms(a, labelsA), let other = DiffSwarms(b, labelsB) { swarms = (one, other) } else { swarms = nil }
    }

    mutating func run() {
        exchanges()
        streams()
        loosePackets()
        diff.findings.sort { ($0.packetA ?? $0.packetB ?? 0, $0.field) < ($1.packetA ?? $1.packetB ?? 0, $1.field) }
    }

    // MARK: Requests and responses

    /// From the strictest likeness to the loosest; within one, in order of time.
    private func likeness(_ exchange: Exchange, _ dissection: Dissection, _ labels: DiffLabels) -> [String] {
        let mode =
            dissection.packets[exchange.request].units.first { $0.layer == .hyperDHT }?.field("mode")
            .map { "\($0.value)" } ?? ""
        let command = "\(exchange.command) \(mode)"
        let target = labels.name(exchange.target)
        var outcome = exchange.response == nil ? "silent" : "answered"
        // Of queries only those are alike that were answered in the same way: a run may ask one more or fewer of either kind.
        var kind = ""
        if DiffRules.count(exchange.command) != nil, let response = exchange.response,
            case .response(let message) = dissection.packets[response].message
        {
            kind = "|\(message.error)"
        }
        if let response = exchange.response, case .response(let message) = dissection.packets[response].message {
            outcome += " \(message.error) \(message.value == nil ? "" : "value")"
        }
        let size = dissection.packets[exchange.request].packet.payload.count
        let (from, to) = (labels.name(exchange.requester), labels.name(exchange.responder))
        let (fromRole, toRole) = (labels.role(exchange.requester), labels.askedRole(exchange.responder))
        return [
            "\(command)|\(from)|\(to)|\(target)|\(outcome)|\(size)", "\(command)|\(from)|\(to)|\(target)|\(outcome)",
            "\(command)|\(from)|\(toRole)|\(target)|\(outcome)", "\(command)|\(fromRole)|\(toRole)|\(target)|\(outcome)",
            // A node that knows that it can be reached sends from its server socket, until then from the other one.
            "\(command)|\(from.prefix { $0 != "." })|\(toRole)|\(target)|\(outcome)",
            "\(command)|\(fromRole)|\(toRole)|\(outcome)", "\(command)|\(fromRole)|\(toRole)\(kind)", "\(command)|\(outcome)",
            command + kind,
        ]
    }

    /// A target that no peer of the manifest has: a node's id, a topic, a value, a random id.
    private func isVague(_ target: Bytes32?, _ labels: DiffLabels) -> Bool { !labels.name(target).hasPrefix("target of") }

    private mutating func exchanges() {
        let keysA = a.exchanges.map { likeness($0, a, labelsA) }
        let keysB = b.exchanges.map { likeness($0, b, labelsB) }
        var restA = Array(a.exchanges.indices)
        var restB = Array(b.exchanges.indices)
        var pairs: [(Int, Int)] = []
        for level in 0..<9 {
            var waiting: [String: [Int]] = [:]
            for index in restA.reversed() { waiting[keysA[index][level], default: []].append(index) }
            var paired: Set<Int> = []
            restB.removeAll { index in
                guard let candidates = waiting[keysB[index][level]], !candidates.isEmpty else { return false }
                // From level 5 on the target is no part of the likeness: only targets that name nobody in particular may meet.
                guard
                    let position = candidates.lastIndex(where: {
                        level < 5 || (isVague(a.exchanges[$0].target, labelsA) && isVague(b.exchanges[index].target, labelsB))
                    })
                else { return false }
                let found = candidates[position]
                waiting[keysB[index][level]]?.remove(at: position)
                pairs.append((found, index))
                paired.insert(found)
                return true
            }
            restA.removeAll { paired.contains($0) }
        }
        for (x, y) in pairs.sorted(by: { $0.0 < $1.0 }) { compare(a.exchanges[x], b.exchanges[y]) }
        counts(restA, restB)
    }

    private mutating func compare(_ x: Exchange, _ y: Exchange) {
        let conversation = "\(labelsA.name(x.requester)) to \(labelsA.name(x.responder)), \(x.command)"
        seenA.formUnion(x.requests + x.duplicateResponses)
        seenB.formUnion(y.requests + y.duplicateResponses)
        compare(a.packets[x.request], b.packets[y.request], conversation + " request")
        if x.retransmissions.count != y.retransmissions.count {
            diff.allow("dht-rpc retransmissions", .free("timing"), "\(x.retransmissions.count)", "\(y.retransmissions.count)")
        }
        switch (x.response, y.response) {
        case (let p?, let q?):
            seenA.insert(p)
            seenB.insert(q)
            compare(a.packets[p], b.packets[q], conversation + " response")
        case (nil, nil): break
        case (let p, let q):
            if let p { seenA.insert(p) }
            if let q { seenB.insert(q) }
            let texts = (
                p == nil ? "nothing (\(x.unansweredReason ?? "silence"))" : "a response",
                q == nil ? "nothing (\(y.unansweredReason ?? "silence"))" : "a response"
            )
            if x.command == "PING" || x.command == "PING_NAT" || x.command == "DOWN_HINT" {
                diff.allow("\(x.command) response", .free("the other party may be closing"), texts.0, texts.1)
            } else {
                add(
                    q == nil ? .missing : .extra, conversation, a.packets[x.request], b.packets[y.request], "response", nil, texts.0,
                    texts.1, .exact)
            }
        }
    }

    /// What found no counterpart: allowed within the limits of its command, as long as both runs have the command at all.
    private mutating func counts(_ restA: [Int], _ restB: [Int]) {
        var commands: [String] = []
        for exchange in restA.map({ a.exchanges[$0] }) + restB.map({ b.exchanges[$0] }) where !commands.contains(exchange.command) {
            commands.append(exchange.command)
        }
        for command in commands.sorted() {
            let totalA = a.exchanges.filter { $0.command == command }.count
            let totalB = b.exchanges.filter { $0.command == command }.count
            let lost = restA.filter { a.exchanges[$0].command == command }
            let new = restB.filter { b.exchanges[$0].command == command }
            for index in lost { seenA.formUnion(packets(a.exchanges[index])) }
            for index in new { seenB.formUnion(packets(b.exchanges[index])) }
            // Whichever of two peers dials first, the same two meet; through the server itself or through a node, which takes two requests more. While
            // the first way is being answered a second is tried, with the three requests that it takes.
            let met = meetings(command, a, labelsA)
            let crosses = command == "PEER_HANDSHAKE" && met == meetings(command, b, labelsB)
            let excess = crosses ? abs(totalA - totalB) : max(lost.count, new.count)
            let detours = crosses ? 3 * met.count : 0
            // Nodes of the network check each other when they get round to it: one run may end before.
            if totalA > 0 && totalB > 0 || command == "PING", let limit = DiffRules.count(command),
                excess <= max(detours, limit.slack(max(totalA, totalB)))
            {
                diff.allow("number of \(command) requests", limit.rule, "\(totalA)", "\(totalB)")
                continue
            }
            if let swarms, let rule = DiffSwarms.allows(command, swarms.a, swarms.b) {
                diff.allow("number of \(command) requests", rule, "\(totalA)", "\(totalB)")
                continue
            }
            let rule = DiffRules.count(command)?.rule ?? .exact
            for index in lost {
                let exchange = a.exchanges[index]
                add(
                    .missing, "\(labelsA.name(exchange.requester)) to \(labelsA.name(exchange.responder))", a.packets[exchange.request],
                    nil,
                    "\(command) request", nil, "\(totalA) in all", "\(totalB) in all", rule)
            }
            for index in new {
                let exchange = b.exchanges[index]
                add(
                    .extra, "\(labelsB.name(exchange.requester)) to \(labelsB.name(exchange.responder))", nil, b.packets[exchange.request],
                    "\(command) request", nil, "\(totalA) in all", "\(totalB) in all", rule)
            }
        }
    }

    /// Who meets whom in the exchanges that clients begin, without direction.
    private func meetings(_ command: String, _ dissection: Dissection, _ labels: DiffLabels) -> Set<[String]> {
        var result: Set<[String]> = []
        for exchange in dissection.exchanges where exchange.command == command && exchange.origin == nil {
            let mode = dissection.packets[exchange.request].units.first { $0.layer == .hyperDHT }?.field("mode")?.value
            guard mode == .uint(0) else { continue }
            let peer = labels.name(exchange.requester).split(separator: ".").first.map(String.init) ?? ""
            let other = labels.name(exchange.target)
            guard other.hasPrefix("target of ") else { continue }
            result.insert([peer, String(other.dropFirst("target of ".count))].sorted())
        }
        return result
    }

    private func packets(_ exchange: Exchange) -> [Int] {
        exchange.requests + exchange.duplicateResponses + (exchange.response.map { [$0] } ?? [])
    }

    // MARK: Fields

    /// Compares two packets unit by unit. What belongs to streams is compared there.
    mutating func compare(_ x: DissectedPacket, _ y: DissectedPacket, _ conversation: String) {
        let before = diff.findings.count
        let streamed: Set<Layer> = [.secretStream, .protomux, .blindRelay, .message]
        let unitsX = x.units.filter { !streamed.contains($0.layer) }
        var unitsY = y.units.filter { !streamed.contains($0.layer) }
        for unit in unitsX {
            // Only packets at the same place of a stream are held against each other: END may ride on the last DATA or follow it.
            guard
                let index = unitsY.firstIndex(where: {
                    $0.layer == unit.layer && ($0.kindName == unit.kindName || unit.layer == .udx)
                })
            else {
                unitOnly(.missing, unit, x, y, conversation)
                continue
            }
            compare(unit, unitsY.remove(at: index), x, y, conversation)
        }
        for unit in unitsY { unitOnly(.extra, unit, x, y, conversation) }
        if diff.findings.count == before { diff.foldedPackets += 1 }
    }

    private mutating func unitOnly(
        _ kind: DiffFinding.Kind, _ unit: Unit, _ x: DissectedPacket, _ y: DissectedPacket, _ conversation: String
    ) {
        // A value that only one response carries is judged where the value is.
        if unit.layer == .hyperDHT, ["peer record", "LOOKUP reply", "mutable record"].contains(unit.name) { return }
        add(
            kind, conversation, x, y, "\(unit.layer.rawValue) \(unit.name)", unit.isWire ? unit.range.lowerBound : nil,
            kind == .missing ? unit.name : "nothing", kind == .missing ? "nothing" : unit.name, .exact)
    }

    mutating func compare(_ unit: Unit, _ other: Unit, _ x: DissectedPacket, _ y: DissectedPacket, _ conversation: String) {
        let fieldsX = DiffField.all(of: unit)
        let fieldsY = DiffField.all(of: other)
        let nested = x.units.filter {
            $0.isWire && unit.isWire && $0.range.count < unit.range.count && unit.range.contains($0.range.lowerBound)
        }
        func isContainer(_ field: DiffField) -> Bool {
            field.record.value == .bytes && nested.contains { field.record.range.contains($0.range.lowerBound) }
        }
        let offer = holepunchOffer(unit, fieldsX, other, fieldsY)
        var twins: [String: DiffField] = [:]
        for field in fieldsY { twins[field.path] = field }
        for field in fieldsX {
            guard let twin = twins.removeValue(forKey: field.path) else {
                if let offer, field.path.hasPrefix("holepunch.") {
                    diff.allow("\(unit.layer.rawValue).\(field.pattern)", offer, field.text(unit.bytes), "nothing")
                    continue
                }
                presence(.missing, unit, field, x, y, conversation)
                continue
            }
            diff.comparedFields += 1
            if isContainer(field) { continue }
            let rule = DiffRules.value(unit.layer, unit.name, field.pattern)
            let (old, new) = (field.text(unit.bytes), twin.text(other.bytes))
            if old == new {
                if rule == .fresh, field.record.range.count >= 8 {
                    fieldDiffers(unit, field, x, y, conversation, old, "the same", .fresh)
                } else {
                    diff.equalFields += 1
                }
                continue
            }
            if let offer, field.path == "flags", (Int(old) ?? 0) ^ (Int(new) ?? 0) == 1 {
                diff.allow("\(unit.layer.rawValue).\(field.pattern)", offer, old, new)
                continue
            }
            if rule == .exact || !DiffRules.isWithin(unit.layer, field.pattern, old, new) {
                fieldDiffers(unit, field, x, y, conversation, old, new, rule)
            } else if case .linked = rule, let broken = brokenLink(field, twin, unit, other) {
                fieldDiffers(unit, field, x, y, conversation, broken.0, broken.1, rule)
            } else {
                diff.allow("\(unit.layer.rawValue).\(field.pattern)", rule, old, new)
            }
        }
        for field in fieldsY where twins[field.path] != nil {
            if let offer, field.path.hasPrefix("holepunch.") {
                diff.allow("\(unit.layer.rawValue).\(field.pattern)", offer, "nothing", field.text(other.bytes))
                continue
            }
            presence(.extra, other, field, x, y, conversation)
        }
    }

    /// A server offers to punch a hole exactly if it does not know that it can be reached: then the one follows from the other.
    private func holepunchOffer(_ one: Unit, _ fieldsOfOne: [DiffField], _ other: Unit, _ fieldsOfOther: [DiffField]) -> Variance? {
        guard one.layer == .noisePayload else { return nil }
        func offers(_ fields: [DiffField]) -> Bool { fields.contains { $0.path.hasPrefix("holepunch.") } }
        func isOpen(_ fields: [DiffField], _ bytes: [UInt8]) -> Bool { fields.first { $0.path == "firewall" }?.text(bytes) == "1" }
        let (first, second) = (offers(fieldsOfOne), offers(fieldsOfOther))
        return first != second && first != isOpen(fieldsOfOne, one.bytes) && second != isOpen(fieldsOfOther, other.bytes)
            ? .linked("a server that knows that it can be reached offers no hole punch") : nil
    }

    /// A linked value names the same party in both runs, where the manifests tell who that is.
    private func brokenLink(_ field: DiffField, _ twin: DiffField, _ unit: Unit, _ other: Unit) -> (String, String)? {
        guard field.record.value == .bytes, field.record.range.count == 32,
            field.pattern.hasSuffix("publicKey") || field.pattern == "target",
            let x = Bytes32(unit.bytes[field.record.range]), let y = Bytes32(other.bytes[twin.record.range])
        else { return nil }
        func role(_ name: String) -> String { name.filter { !$0.isNumber } }
        let (nameX, nameY) = (labelsA.name(x), labelsB.name(y))
        let vague: Set<String> = ["unknown", "a value of the run"]
        return role(nameX) == role(nameY) || vague.contains(nameX) || vague.contains(nameY) || role(nameX).hasPrefix("id of")
            || role(nameY).hasPrefix("id of")
            ? nil : (nameX, nameY)
    }

    private mutating func presence(
        _ kind: DiffFinding.Kind, _ unit: Unit, _ field: DiffField, _ x: DissectedPacket, _ y: DissectedPacket, _ conversation: String
    ) {
        diff.comparedFields += 1
        let rule = DiffRules.presence(unit.layer, unit.name, field.pattern)
        let text = field.text(unit.bytes)
        let (old, new) = kind == .missing ? (text, "nothing") : ("nothing", text)
        if case .exact = rule {
            fieldDiffers(unit, field, x, y, conversation, old, new, .exact)
        } else {
            diff.allow("\(unit.layer.rawValue).\(field.pattern)", rule, old, new)
        }
    }

    private mutating func fieldDiffers(
        _ unit: Unit, _ field: DiffField, _ x: DissectedPacket, _ y: DissectedPacket, _ conversation: String, _ old: String, _ new: String,
        _ rule: Variance
    ) {
        add(
            .changed, conversation, x, y, "\(unit.layer.rawValue).\(field.path)", unit.isWire ? field.record.range.lowerBound : nil, old,
            new,
            rule)
    }

    mutating func add(
        _ kind: DiffFinding.Kind, _ conversation: String, _ x: DissectedPacket?, _ y: DissectedPacket?, _ field: String, _ offset: Int?,
        _ old: String, _ new: String, _ rule: Variance
    ) {
        diff.findings.append(
            DiffFinding(
                kind: kind, conversation: conversation, packetA: x?.number, packetB: y?.number, field: field, offset: offset, a: old,
                b: new,
                rule: rule))
    }

    // MARK: Datagrams of no conversation

    /// Probes, an application's own datagrams, other projects' packets: by kind and sender's role.
    private mutating func loosePackets() {
        func group(_ dissection: Dissection, _ seen: Set<Int>, _ labels: DiffLabels) -> [String: [Int]] {
            var result: [String: [Int]] = [:]
            for (index, packet) in dissection.packets.enumerated() where !seen.contains(index) {
                switch packet.kind {
                case .udx, .empty, .marker, .other: continue
                // Stand-alone secret streams are compared as streams; their handshakes, message by message, here.
                case .tcp: if !packet.units.contains(where: { $0.layer == .noise }) { continue }
                case .dhtRequest, .dhtResponse, .probe, .kadepy, .raw:
                    result[
                        "\(packet.kind.name)\(packet.isToItself ? " to itself" : ""), \(labels.role(packet.packet.source)) to \(labels.role(packet.packet.destination))",
                        default: []
                    ]
                    .append(index)
                }
            }
            return result
        }
        let groupA = group(a, seenA, labelsA)
        let groupB = group(b, seenB, labelsB)
        for key in Set(groupA.keys).union(groupB.keys).sorted() {
            let (x, y) = (groupA[key] ?? [], groupB[key] ?? [])
            for (p, q) in zip(x, y) { compare(a.packets[p], b.packets[q], key) }
            if x.count == y.count { continue }
            let isOwn = x.allSatisfy { a.packets[$0].isToItself } && y.allSatisfy { b.packets[$0].isToItself }
            if isOwn {
                diff.allow(
                    "number of datagrams to oneself", .free("a host's test of its own address reaches nobody"), "\(x.count)", "\(y.count)")
                continue
            }
            let isProbe = key.hasPrefix("probe")
            if isProbe, groupA.keys.contains(where: { $0.hasPrefix("probe,") }), groupB.keys.contains(where: { $0.hasPrefix("probe,") }) {
                diff.allow("number of probes", .free("probes are sent until one gets through"), "\(x.count)", "\(y.count)")
                continue
            }
            if isProbe, let swarms, let rule = DiffSwarms.allows("probe", swarms.a, swarms.b) {
                diff.allow("number of probes", rule, "\(x.count)", "\(y.count)")
                continue
            }
            for index in x.dropFirst(y.count) {
                add(.missing, key, a.packets[index], nil, a.packets[index].kind.name, nil, "\(x.count) in all", "\(y.count) in all", .exact)
            }
            for index in y.dropFirst(x.count) {
                add(.extra, key, nil, b.packets[index], b.packets[index].kind.name, nil, "\(x.count) in all", "\(y.count) in all", .exact)
            }
        }
    }
}

extension DissectedPacket {
    /// From a socket to the same socket.
    fileprivate var isToItself: Bool { packet.source == packet.destination }
}
