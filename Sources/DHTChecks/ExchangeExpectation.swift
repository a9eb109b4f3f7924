import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// A datagram that must arrive.
struct ExpectedDatagram {
    /// A part that may differ, and why.
    struct Loose {
        let range: Range<Int>
        let field: String
        let reason: String
        /// Varies in the reference itself, so that nothing can be compared.
        let isVolatile: Bool
    }

    let packet: [UInt8]
    let source: Endpoint
    let name: String?
    let afterMilliseconds: Int64?
    let loose: [Loose]

    init(_ json: JSON, _ node: ExchangeNodeSetup) throws {
        let object = try ExchangeObject(
            json, required: ["packet", "fields"], optional: ["source", "name", "afterMilliseconds", "mayDiffer", "volatile"])
        packet = try object.bytes("packet")
        source = try object["source"].map(Exchange.endpoint) ?? node.address
        name = try object["name"].map { _ in try object.string("name") }
        afterMilliseconds = try object["afterMilliseconds"].map { _ in try object.integer("afterMilliseconds") }
        var loose: [Loose] = []
        for (key, isVolatile) in [("mayDiffer", false), ("volatile", true)] {
            for entry in try object.list(key) {
                let part = try ExchangeObject(entry, required: ["offset", "length", "reason"], optional: ["field"])
                let start = Int(clamping: try part.integer("offset"))
                let length = Int(clamping: try part.integer("length"))
                guard start >= 0, length >= 0, start + length <= packet.count else {
                    throw ExchangeFormatError("the part lies outside the packet", entry)
                }
                loose.append(
                    Loose(
                        range: start..<start + length, field: part["field"]?.string ?? "", reason: try part.string("reason"),
                        isVolatile: isVolatile))
            }
        }
        self.loose = loose
        try ExchangeFields.check(object["fields"] ?? json, packet)
    }

    /// Byte for byte, but for what may differ: that is compared by meaning.
    func compare(_ actual: [UInt8], _ exam: Examination) {
        guard actual != packet, !loose.isEmpty else { return exam.bytes("packet", actual, packet) }
        if actual.count == packet.count {
            var masked = actual
            for part in loose { masked.replaceSubrange(part.range, with: packet[part.range]) }
            exam.bytes("packet without what may differ", masked, packet)
        }
        for part in loose where actual.count != packet.count || actual[part.range] != packet[part.range] {
            if !part.isVolatile { compareMeaning(part, actual, exam) }
            exam.allow("\(part.field): \(part.reason)")
        }
    }

    /// The two ways in which the file allows a node to differ: another order or choice of closer nodes, another choice of records.
    private func compareMeaning(_ part: Loose, _ actual: [UInt8], _ exam: Examination) {
        guard let ours = try? Response(decoding: actual), let theirs = try? Response(decoding: packet) else {
            return exam.report(part.field, expected: "a response", actual: Hex.encode(actual))
        }
        exam.equal("tid", ours.tid, theirs.tid)
        exam.equal("to", ours.to, theirs.to)
        exam.equal("id", ours.id, theirs.id)
        exam.equal("token", ours.token, theirs.token)
        exam.equal("error", ours.error, theirs.error)
        switch part.field {
        case "closerNodes":
            exam.equal("value", ours.value, theirs.value)
            exam.equal("number of closer nodes", ours.closerNodes.count, theirs.closerNodes.count)
            exam.equal("different closer nodes", Set(ours.closerNodes).count, ours.closerNodes.count)
            if part.reason == "any order" { exam.equal("closer nodes", ours.closerNodes.sorted(), theirs.closerNodes.sorted()) }
        case "value":
            exam.equal("closer nodes", ours.closerNodes, theirs.closerNodes)
            exam.equal("there is a value", ours.value != nil, theirs.value != nil)
        default: exam.report(part.field, expected: "a field that the runner can compare by meaning", actual: part.reason)
        }
    }
}
