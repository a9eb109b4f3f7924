import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// The steps of an exchange.
extension ExchangeRunner {
    func perform(_ step: JSON) throws {
        if step["send"] != nil {
            try sendStep(step)
        } else if step["receive"] != nil {
            try receiveStep(step)
        } else if step["count"] != nil {
            try countStep(step)
        } else if step["stream"] != nil {
            try streamStep(step)
        } else if step["application"] != nil {
            let object = try ExchangeObject(step, required: ["application"], optional: ["note"])
            try node.perform(object["application"] ?? step)
            collect()
        } else if step["event"] != nil {
            try eventStep(step)
        } else if step["noEvent"] != nil {
            let object = try ExchangeObject(step, required: ["noEvent", "withinMilliseconds"], optional: ["note"])
            let wanted = object["noEvent"] ?? step
            let came = wait(upTo: .milliseconds(try object.integer("withinMilliseconds"))) { runner in
                runner.events.contains { ExchangeRunner.isMeant($0, wanted) }
            }
            exam.require("no \(wanted.text())", !came, "it came")
        } else if step["wire"] != nil {
            try wireStep(step)
        } else if step["answers"] != nil {
            let object = try ExchangeObject(step, required: ["answers"], optional: ["note"])
            let change = try ExchangeObject(object["answers"] ?? step, required: ["tester", "list"])
            testers[try tester(try change.string("tester"), step)].answers = try change.array("list").map { try ExchangeTester.Answer($0) }
        } else if step["discard"] != nil {
            let object = try ExchangeObject(step, required: ["discard"], optional: ["note"])
            // What is under way belongs to what is discarded.
            wait(upTo: ExchangeRunner.latency)
            for name in try object.array("discard") {
                let index = try tester(name.string ?? "", step)
                testers[index].inbox = []
            }
        } else {
            let object = try ExchangeObject(step, required: ["wait"], optional: ["note"])
            wait(upTo: .milliseconds(try object.integer("wait")))
        }
    }

    private func sendStep(_ step: JSON) throws {
        var destination = exchange.node.address
        let source: Endpoint
        var payload: [UInt8]
        if step["fromPortZero"] != nil {
            let object = try ExchangeObject(step, required: ["fromPortZero", "send"], optional: ["fields", "note"])
            source = Endpoint(try object.host("fromPortZero"), 0)
            payload = try object.bytes("send")
            if let fields = object["fields"] { try ExchangeFields.check(fields, payload) }
        } else {
            let object = try ExchangeObject(step, required: ["from", "send"], optional: ["to", "tidOf", "fields", "note"])
            source = testers[try tester(try object.string("from"), step)].endpoint
            payload = try object.bytes("send")
            if let to = object["to"] { destination = try Exchange.endpoint(to) }
            if let fields = object["fields"] { try ExchangeFields.check(fields, payload, isTemplate: object["tidOf"] != nil) }
            if object["tidOf"] != nil {
                let name = try object.string("tidOf")
                guard let tid = namedTIDs[name] else {
                    return exam.report("tidOf \(name)", expected: "the packet of that name has arrived", actual: "it has not")
                }
                Exchange.setTID(&payload, tid)
            }
        }
        send(payload, from: source, to: destination)
    }

    // MARK: Datagrams

    private func receiveStep(_ step: JSON) throws {
        let object = try ExchangeObject(
            step, required: ["at", "receive", "withinMilliseconds"],
            optional: ["times", "unordered", "notBeforeMilliseconds", "note"])
        let index = try tester(try object.string("at"), step)
        let expected = try object.array("receive").map { try ExpectedDatagram($0, exchange.node) }
        let limit = Interval.milliseconds(try object.integer("withinMilliseconds"))
        let began = now
        guard !expected.isEmpty else {
            let came = wait(upTo: limit) { !$0.testers[index].inbox.isEmpty }
            return exam.require("\(testers[index].name), silence", !came, "\(shown(testers[index].inbox.first))")
        }
        wait(upTo: limit) { $0.testers[index].inbox.count >= expected.count }
        let arrived = Array(testers[index].inbox.prefix(expected.count))
        testers[index].inbox.removeFirst(arrived.count)
        exam.equal("\(testers[index].name), datagrams", arrived.count, expected.count)
        if object["notBeforeMilliseconds"] != nil, let first = arrived.first {
            let earliest = Interval.milliseconds(try object.integer("notBeforeMilliseconds"))
            exam.require("not before \(earliest.milliseconds) ms", first.at - began >= earliest, "\((first.at - began).milliseconds) ms")
        }
        let isTimed = try object.bool("times", default: false)
        if try object.bool("unordered", default: false) {
            compareUnordered(testers[index].name, expected, arrived)
        } else {
            for (number, pair) in zip(expected, arrived).enumerated() {
                exam.at("\(testers[index].name), datagram \(number + 1)") {
                    compare(pair.0, pair.1)
                    if isTimed, let after = pair.0.afterMilliseconds, let first = arrived.first {
                        let offset = pair.1.at - first.at
                        let error = offset.microseconds - Interval.milliseconds(after).microseconds
                        exam.require(
                            "afterMilliseconds", abs(error) <= ExchangeRunner.tolerance.microseconds,
                            "\(offset.milliseconds) ms where \(after) ms are expected")
                    }
                }
            }
        }
    }

    private func compareUnordered(_ name: String, _ expected: [ExpectedDatagram], _ arrived: [ExchangeTester.Arrival]) {
        var left = arrived
        for (number, one) in expected.enumerated() {
            exam.at("\(name), datagram \(number + 1) of any order") {
                // The nearest: equal but for the tid, else the next of the same length.
                let match =
                    left.firstIndex {
                        $0.source == one.source && ExchangeRunner.withoutTID($0.payload) == ExchangeRunner.withoutTID(one.packet)
                    }
                    ?? left.firstIndex { $0.payload.count == one.packet.count } ?? left.indices.first
                guard let match else { return }
                compare(one, left.remove(at: match))
            }
        }
    }

    private static func withoutTID(_ bytes: [UInt8]) -> [UInt8] {
        var copy = bytes
        Exchange.setTID(&copy, 0)
        return copy
    }

    private func compare(_ expected: ExpectedDatagram, _ arrival: ExchangeTester.Arrival) {
        exam.equal("source", arrival.source, expected.source)
        var actual = arrival.payload
        if let recorded = Exchange.tid(expected.packet), let tid = Exchange.tid(actual) {
            exam.require(
                "tid", sameTransaction(recorded: recorded, actual: tid), "\(tid) can't stand for the recorded \(recorded)")
            if let name = expected.name { namedTIDs[name] = tid }
            Exchange.setTID(&actual, recorded)
        }
        expected.compare(actual, exam)
    }

    private func countStep(_ step: JSON) throws {
        let object = try ExchangeObject(step, required: ["at", "count", "duringMilliseconds"], optional: ["note"])
        let index = try tester(try object.string("at"), step)
        let count = try ExchangeObject(
            object["count"] ?? step, required: ["atLeast", "atMost"],
            optional: ["seen", "distinct", "sourcePortsAtMost", "seenSourcePorts"])
        wait(upTo: .milliseconds(try object.integer("duringMilliseconds")))
        let inbox = testers[index].inbox
        testers[index].inbox = []
        let seen = try count.bool("distinct", default: false) ? testers[index].transactions.count : inbox.count
        let range = (try count.integer("atLeast"))...(max(try count.integer("atLeast"), try count.integer("atMost")))
        exam.require("\(testers[index].name), number of datagrams", range.contains(Int64(seen)), "\(seen), not \(range)")
        if count["sourcePortsAtMost"] != nil {
            let ports = Set(inbox.map(\.source.port)).count
            exam.require(
                "\(testers[index].name), source ports", ports <= (try count.integer("sourcePortsAtMost")), "\(ports) different ones")
        }
    }

    /// A UDX packet for this stream arrives, or none.
    private func streamStep(_ step: JSON) throws {
        let object = try ExchangeObject(step, required: ["at", "stream", "withinMilliseconds"], optional: ["note"])
        let index = try tester(try object.string("at"), step)
        let limit = Interval.milliseconds(try object.integer("withinMilliseconds"))
        if object["stream"]?.string == "none" {
            let came = wait(upTo: limit) { !$0.testers[index].streamPackets.isEmpty }
            return exam.require("\(testers[index].name), no stream packet", !came, shown(testers[index].streamPackets.first))
        }
        let wanted = UInt64(clamping: try ExchangeObject(object["stream"] ?? step, required: ["streamId"]).integer("streamId"))
        func isMeant(_ arrival: ExchangeTester.Arrival) -> Bool {
            var reader = Reader(arrival.payload, range: 4..<8)
            return (try? reader.uint32("id")).map(UInt64.init) == wanted
        }
        let came = wait(upTo: limit) { $0.testers[index].streamPackets.contains(where: isMeant) }
        exam.require("\(testers[index].name), stream \(wanted)", came, "no packet; \(testers[index].streamPackets.count) of other streams")
        testers[index].streamPackets = []
    }

    /// What left a port, without dht-rpc's internal requests.
    private func wireStep(_ step: JSON) throws {
        let object = try ExchangeObject(step, required: ["wire"], optional: ["note"])
        let wanted = try ExchangeObject(object["wire"] ?? step, required: ["fromPort", "datagrams"], optional: ["summary"])
        let port = try wanted.port("fromPort")
        let sent = wire.filter { $0.datagram.fromPort == port && !$0.isInternalRequest }.map(\.datagram)
        func timeToLive(_ datagram: ExchangeDatagram) -> UInt8 { datagram.timeToLive == 0 ? 64 : datagram.timeToLive }
        if try wanted.bool("summary", default: false) {
            let kinds = Set(sent.map { "\($0.payload.count)/\(timeToLive($0))" }).sorted()
            return exam.equal("kinds of datagrams from port \(port)", kinds, try wanted.array("datagrams").compactMap(\.string).sorted())
        }
        let shown: [JSON] = sent.map {
            ["to": Exchange.json($0.to), "length": .integer($0.payload.count), "ttl": .integer(timeToLive($0))]
        }
        exam.equal("datagrams from port \(port)", JSON.array(shown).text(), JSON.array(try wanted.array("datagrams")).text())
    }

    // MARK: Events

    /// Whether an event is the one that a step speaks of: type and name agree.
    static func isMeant(_ event: JSON, _ wanted: JSON) -> Bool {
        event["type"] == wanted["type"] && (wanted["of"] == nil || event["of"] == wanted["of"])
    }

    private func eventStep(_ step: JSON) throws {
        let object = try ExchangeObject(step, required: ["event", "withinMilliseconds"], optional: ["note"])
        let wanted = object["event"] ?? step
        let came = wait(upTo: .milliseconds(try object.integer("withinMilliseconds"))) { runner in
            runner.events.contains { ExchangeRunner.isMeant($0, wanted) }
        }
        guard came, let index = events.firstIndex(where: { ExchangeRunner.isMeant($0, wanted) }) else {
            return exam.report("event", expected: wanted.text(), actual: "nothing in time")
        }
        let event = events.remove(at: index)
        for member in wanted.object?.members ?? [] {
            exam.equal("event.\(member.key)", event[member.key]?.text() ?? "missing", member.value.text())
        }
    }
}
