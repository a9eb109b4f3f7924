import CompactEncoding
import Dissection
import SansIO
import UDX

/// One direction of a stream, as the comparison sees it.
private struct StreamView {
    let flow: Int?
    let from: String
    let to: String
    /// Plaintexts of an encrypted stream, keepalives left out; one element with all bytes for a plain one.
    let messages: [[UInt8]]
    let isEncrypted: Bool
    let isRelayed: Bool
    let firstPacket: Int
    let unordered: [[UInt8]]
    let hasEnd: Bool
    let isDestroyed: Bool
    /// The packet with which either side destroyed the stream, and the last of this direction.
    let destroyed: Int?
    let lastPacket: Int
    /// Nothing but a DESTROY came back.
    let isUnanswered: Bool
    let units: [(packet: Int, unit: Unit)]

    var bytes: [UInt8] { Array(messages.joined()) }
    /// A peer sends from its server socket or from its client socket, whichever got through.
    var fromPeer: Substring { from.prefix { $0 != "." } }
    var toPeer: Substring { to.prefix { $0 != "." } }

    /// A connection of the same two peers that was destroyed while the other one lived on, or that only one side ever knew of, and that
    /// carried nothing but the beginning of what the other one carries.
    func lost(against other: StreamView) -> Bool {
        isEncrypted && other.isEncrypted && flow != other.flow && fromPeer == other.fromPeer && toPeer == other.toPeer
            && from != "another socket" && to != "another socket" && unordered.isEmpty && other.messages.starts(with: messages)
            && (isUnanswered || (destroyed ?? .max) < other.lastPacket)
    }
}

extension DiffRuns {
    mutating func streams() {
        let viewsA = views(a, labelsA)
        let viewsB = views(b, labelsB)
        // First by ends and content, then by ends, then by content: two connections between the same peers are told apart by what they carry.
        var restA = Array(viewsA.indices)
        var restB = Array(viewsB.indices)
        var pairs: [(Int, Int)] = []
        func pass(_ key: (StreamView) -> String) {
            var waiting: [String: [Int]] = [:]
            for index in restA.reversed() { waiting[key(viewsA[index]), default: []].append(index) }
            var paired: Set<Int> = []
            restB.removeAll { index in
                guard let found = waiting[key(viewsB[index])]?.popLast() else { return false }
                pairs.append((found, index))
                paired.insert(found)
                return true
            }
            restA.removeAll { paired.contains($0) }
        }
        func role(_ name: String) -> String { name.contains(":") ? name : name.filter { !$0.isNumber } }
        // A peer sends from its server socket or from its client socket, whichever got through.
        func peer(_ name: String) -> String { name.split(separator: ".").first.map(String.init) ?? name }
        func kind(_ view: StreamView) -> String { "\(view.isEncrypted) \(view.isRelayed)" }
        func content(_ view: StreamView) -> String { "\(view.messages.count) \(Hex.encode(view.bytes.prefix(64))) \(view.bytes.count)" }
        pass { "\(kind($0)) \($0.from) \($0.to) \(content($0))" }
        pass { "\(kind($0)) \(peer($0.from)) \(peer($0.to)) \(content($0))" }
        pass { "\(kind($0)) \(role($0.from)) \(role($0.to)) \(content($0))" }
        pass { "\(kind($0)) \($0.from) \($0.to) \($0.messages.isEmpty)" }
        pass { "\(kind($0)) \(content($0))" }
        pass { "\(kind($0)) \(role($0.from)) \(role($0.to)) \($0.messages.isEmpty)" }
        for (x, y) in pairs.sorted(by: { $0.0 < $1.0 }) { compare(viewsA[x], viewsB[y]) }
        for index in restA { only(.missing, viewsA[index], a, viewsA) }
        for index in restB { only(.extra, viewsB[index], b, viewsB) }
    }

    private mutating func only(_ kind: DiffFinding.Kind, _ view: StreamView, _ dissection: Dissection, _ all: [StreamView]) {
        let name = view.isEncrypted ? "secret stream" : "UDX stream"
        // Peers that dial each other at once open streams that carry nothing and are given up.
        if view.messages.isEmpty, view.unordered.isEmpty, view.isDestroyed || !view.hasEnd {
            diff.allow(
                "streams without data", .free("peers that dial each other at once give up one connection before it is used"), "\(kind)",
                view.from)
            return
        }
        // What a peer says first on every connection, it may have said on one that lost against a crossing one as well.
        if all.contains(where: { view.lost(against: $0) || $0.lost(against: view) && $0.messages == view.messages }) {
            diff.allow(
                "connections that crossed",
                .bounded("one that is given up carries no more than what its owner says first on the one that stays"), "\(kind)", view.from)
            return
        }
        let packet = dissection.packets[view.firstPacket]
        let text =
            "\(view.isRelayed ? "relayed, " : "")\(view.messages.count) messages, \(view.bytes.count) bytes from \(view.from) to \(view.to)"
        add(
            kind, "\(view.from) to \(view.to)", kind == .missing ? packet : nil, kind == .extra ? packet : nil, name, nil,
            kind == .missing ? text : "nothing", kind == .missing ? "nothing" : text, .exact)
    }

    private func views(_ dissection: Dissection, _ labels: DiffLabels) -> [StreamView] {
        var result: [StreamView] = []
        var encrypted: Set<Int> = []
        let layers: Set<Layer> = [.protomux, .blindRelay]
        // Empty packets of different streams may look alike; a relay's leg copies most of its packets.
        func isRelayed(_ flow: UDXFlow?) -> Bool {
            guard let flow, flow.relayedFrom != nil else { return false }
            return flow.packets.filter { dissection.packets[$0].relayedCopyOf != nil }.count * 2 > flow.packets.count
        }
        func destroyed(_ flow: UDXFlow?) -> Int? {
            [flow?.destroyed, flow?.reverse.flatMap { dissection.flows[$0].destroyed }].compactMap { $0 }.min()
        }
        func isUnanswered(_ flow: UDXFlow?) -> Bool {
            guard let flow else { return false }
            return flow.reverse.map { dissection.flows[$0].packets.allSatisfy { $0 == dissection.flows[flow.reverse ?? 0].destroyed } }
                ?? true
        }
        for stream in dissection.secretStreams {
            if let flow = stream.flow { encrypted.insert(flow) }
            let flow = stream.flow.map { dissection.flows[$0] }
            let frames = stream.frames.filter { !$0.isKeepalive }
            result.append(
                StreamView(
                    flow: stream.flow, from: labels.name(stream.from), to: labels.name(stream.to), messages: frames.map(\.plaintext),
                    isEncrypted: true, isRelayed: isRelayed(flow),
                    firstPacket: flow?.packets.first ?? stream.frames.first?.packet ?? 0,
                    unordered: stream.messages.map(\.plaintext), hasEnd: flow?.endSeq != nil, isDestroyed: flow?.destroyed != nil,
                    destroyed: destroyed(flow), lastPacket: flow?.packets.last ?? 0, isUnanswered: isUnanswered(flow),
                    // A packet may complete several frames; its units stand once.
                    units: Set(frames.map(\.packet)).sorted().flatMap { packet in
                        dissection.packets[packet].units.filter { layers.contains($0.layer) }.map { (packet, $0) }
                    }))
        }
        for (number, flow) in dissection.flows.enumerated() where !encrypted.contains(number) && !flow.packets.isEmpty {
            result.append(
                StreamView(
                    flow: number, from: labels.name(flow.from), to: labels.name(flow.to), messages: flow.bytes.isEmpty ? [] : [flow.bytes],
                    isEncrypted: false, isRelayed: isRelayed(flow), firstPacket: flow.packets[0],
                    unordered: flow.messages.map { Array(dissection.packets[$0.packet].packet.payload[$0.range]) },
                    hasEnd: flow.endSeq != nil, isDestroyed: flow.destroyed != nil, destroyed: destroyed(flow),
                    lastPacket: flow.packets.last ?? 0, isUnanswered: isUnanswered(flow), units: []))
        }
        return result
    }

    private mutating func compare(_ x: StreamView, _ y: StreamView) {
        let conversation = "\(x.isEncrypted ? "secret stream" : "UDX stream") from \(x.from) to \(x.to)"
        let (p, q) = (a.packets[x.firstPacket], b.packets[y.firstPacket])
        diff.comparedFields += 1
        if x.messages == y.messages {
            diff.equalFields += 1
        } else if x.isEncrypted, !x.units.isEmpty, !y.units.isEmpty {
            let before = diff.findings.count
            for (one, other) in zip(x.units, y.units) {
                guard one.unit.layer == other.unit.layer, one.unit.kindName == other.unit.kindName else {
                    add(
                        .changed, conversation, a.packets[one.packet], b.packets[other.packet], "\(one.unit.layer.rawValue) message", nil,
                        one.unit.name, other.unit.name, .exact)
                    continue
                }
                compare(one.unit, other.unit, a.packets[one.packet], b.packets[other.packet], conversation)
            }
            if x.units.count != y.units.count, diff.findings.count == before { content(x, y, conversation) }
        } else {
            // Bytes of a plain stream: the first that differs, with the packet that brought it.
            content(x, y, conversation)
        }
        if x.unordered != y.unordered {
            let index =
                zip(x.unordered, y.unordered).enumerated().first { $0.element.0 != $0.element.1 }?.offset
                ?? min(x.unordered.count, y.unordered.count)
            func text(_ messages: [[UInt8]]) -> String { index < messages.count ? Hex.encode(messages[index]) : "nothing" }
            add(.changed, conversation, p, q, "messages[\(index)]", nil, text(x.unordered), text(y.unordered), .exact)
        }
        teardown(x, y, conversation)
        headers(x, y, conversation)
    }

    private mutating func content(_ x: StreamView, _ y: StreamView, _ conversation: String) {
        let (old, new) = (x.bytes, y.bytes)
        let (p, q) = (a.packets[x.firstPacket], b.packets[y.firstPacket])
        if old == new {
            diff.allow(
                "secret-stream frames", .bounded("the same bytes, cut into other frames"), "\(x.messages.count)", "\(y.messages.count)")
            return
        }
        let offset = zip(old, new).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(old.count, new.count)
        func text(_ bytes: [UInt8]) -> String {
            offset < bytes.count
                ? "\(Hex.encode(bytes[offset..<min(bytes.count, offset + 16)]))... (\(bytes.count) bytes)"
                : "the end after \(bytes.count) bytes"
        }
        var first = p
        var second = q
        var place: Int?
        if !x.isEncrypted, let flow = x.flow, let found = a.flows[flow].packet(at: offset) {
            first = a.packets[found.packet]
            place = found.payloadOffset
        }
        if !y.isEncrypted, let flow = y.flow, let found = b.flows[flow].packet(at: offset) { second = b.packets[found.packet] }
        add(
            .changed, conversation, first, second,
            x.isEncrypted ? "plaintext, stream byte \(offset)" : "udx.payload, stream byte \(offset)", place,
            text(old), text(new), .exact)
    }

    /// How a stream ended is judged apart from what it carried.
    private mutating func teardown(_ x: StreamView, _ y: StreamView, _ conversation: String) {
        func text(_ view: StreamView) -> String { "\(view.hasEnd ? "END" : "no END"), \(view.isDestroyed ? "DESTROY" : "no DESTROY")" }
        guard text(x) != text(y) else { return }
        if x.isEncrypted || x.isRelayed {
            diff.allow("udx teardown", .free("which party closes first follows timing"), text(x), text(y))
        } else {
            add(.changed, conversation, a.packets[x.firstPacket], b.packets[y.firstPacket], "udx teardown", nil, text(x), text(y), .exact)
        }
    }

    /// Packets of the flows: DATA and END by their place in the stream, all others as a whole.
    private mutating func headers(_ x: StreamView, _ y: StreamView, _ conversation: String) {
        guard let first = x.flow, let second = y.flow else { return }
        let (flowX, flowY) = (a.flows[first], b.flows[second])
        if flowX.packets.count != flowY.packets.count {
            diff.allow("number of UDX packets", .free("timing"), "\(flowX.packets.count)", "\(flowY.packets.count)")
        }
        var packets: [UInt32: Int] = [:]
        func key(_ index: Int, _ dissection: Dissection, _ flow: UDXFlow) -> UInt32? {
            guard case .udx(let message) = dissection.packets[index].message, !message.header.type.isDisjoint(with: [.data, .end]),
                dissection.packets[index].retransmissionOf == nil
            else { return nil }
            return message.header.seq.rawValue &- flow.firstSeq.rawValue
        }
        for index in flowX.packets { if let key = key(index, a, flowX), packets[key] == nil { packets[key] = index } }
        for index in flowY.packets {
            guard let key = key(index, b, flowY), let twin = packets.removeValue(forKey: key) else { continue }
            compare(a.packets[twin], b.packets[index], conversation)
        }
    }
}
