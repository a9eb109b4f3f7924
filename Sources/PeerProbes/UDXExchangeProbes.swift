import CompactEncoding
import Conformance
import LivePeers
import SansIO
import StrictJSON
import UDXChecks

/// The golden exchanges of UDX, over real UDP: a peer's stream stands where libudx stood.
enum UDXExchangeProbes {
    static let longest: Int64 = 30_000
    static let timing = ExchangeComparison.Timing.real(early: 30, late: 400, takesRecorded: true)

    static func probes(in corpus: Corpus) throws -> [Probe] {
        let file = try VectorFile("udx-exchanges", in: corpus, schema: "hyperswarm-exchanges/1")
        return zip(file.ids, file.cases).flatMap { id, json -> [Probe] in
            func strings(_ key: String) -> [String] { json[key]?.array?.compactMap(\.string) ?? [] }
            // An older build's packets say how a tester might behave, not how a peer must.
            guard json["concerns"] == nil else { return [] }
            func probe(_ slug: String, _ requirements: [String], _ timing: ExchangeComparison.Timing) -> Probe {
                Probe("udx", slug, requirements, needs: ["udx.bind", "udx.stream", "udx.connect"]) { context in
                    try UDXExchangeProbes.run(file, id, context, timing)
                }
            }
            let slug = id.hasPrefix("udx-") ? String(id.dropFirst(4)) : id
            // With what a closed window is probed is UDX-30's to say; the other rules of these cases have probes of their own.
            let requirements = holdsOwnProbe(json) ? ["UDX-30"] : strings("requirements")
            var result = [probe(slug, requirements, timing)]
            if !strings("deviates").isEmpty {
                var strict = timing
                strict.takesRecorded = false
                result.append(probe(slug + "-by-the-text", strings("deviates"), strict))
            }
            return result
        }
    }

    /// Whether the recorded stream probes a closed window by HEARTBEAT; a relay's are the other side's.
    private static func holdsOwnProbe(_ json: JSON) -> Bool {
        guard json["setup"]?["partner"] == nil else { return false }
        let packets = (json["steps"]?.array ?? []).flatMap { $0["receive"]?.array ?? [] }
        return packets.contains { $0["packet"]?.string?.hasPrefix("ff0120") == true }
    }

    private static func run(
        _ file: VectorFile, _ id: String, _ context: ProbeContext, _ timing: ExchangeComparison.Timing
    ) throws {
        let exam = context.exam
        guard var trial = try attempt(file, id, context, timing) else { return }
        if let alternative = UDXAlternative.of[id], trial.findingCount > 0, timing.takesRecorded {
            // The first run's streams hold the ids of the second's.
            context.cleanUp()
            if let other = try attempt(file.changing(id, alternative.changed), id, context, timing), other.findingCount == 0 {
                guard alternative.isJudged else { return exam.notRun(alternative.name) }
                exam.allow(alternative.name)
                trial = other
            }
        }
        exam.count(trial.comparisons)
        for reason in trial.allowances { exam.allow(reason) }
        for finding in trial.findings { exam.report(finding.field, expected: finding.expected, actual: finding.actual) }
    }

    /// One run of a case, apart, so that what is found can be weighed before it counts.
    /// nil: the case can't be put to a peer, and the examination says so.
    private static func attempt(
        _ file: VectorFile, _ id: String, _ context: ProbeContext, _ timing: ExchangeComparison.Timing
    ) throws -> Examination? {
        var thrown: (any Error)?
        let trial = Examination(corpus: context.exam.corpus, seed: context.exam.seed)
        file.examine(trial, only: id) { node in
            let script = try ExchangeCase(node)
            if let reason = obstacle(script) { return context.exam.notRun(reason) }
            do { try UDXExchangeProbe(script, context, trial, timing).run() } catch let error as VectorNode.Mismatch { throw error } catch {
                thrown = error
            }
        }
        if let thrown { throw thrown }
        return context.exam.notRunReason == nil ? trial : nil
    }

    /// Why a case can't be put to a peer, if it can't.
    private static func obstacle(_ script: ExchangeCase) -> String? {
        if script.setup.firewall != nil { return "the contract has no firewall hook for a plain stream" }
        var duration: Int64 = 0
        for (_, step) in script.steps {
            switch step {
            case .receive(_, let milliseconds): duration += milliseconds
            case .wait(let milliseconds): duration += milliseconds
            case .application(let calls):
                if calls.count > 1 { return "the contract can't ask for several calls in one turn" }
                for call in calls {
                    if call.error != nil { return "by the contract a write before connect waits; it is not refused" }
                    if ["keepalive", "heldBytes", "maximumReceiveSize", "writeAndEnd"].contains(call.name) {
                        return "the contract has no command for \(call.name)"
                    }
                }
            case .send, .event: break
            }
        }
        return duration > longest ? "virtual-time" : nil
    }
}

/// One golden exchange with one peer.
private final class UDXExchangeProbe {
    private let script: ExchangeCase
    private let context: ProbeContext
    private let comparison: ExchangeComparison
    private let testers: [ExchangeCase.Place: UDPTester]
    private var sockets: [ExchangeCase.Sock: (handle: JSON, address: Endpoint)] = [:]
    private var stream = JSON.null
    private var partner: JSON?
    private var isFresh = true
    private var hasSent = false
    private var wasDestroyed = false
    /// A change that takes effect at once is an event for the contract, but none for libudx.
    private let tellsChange: Bool

    init(
        _ script: ExchangeCase, _ context: ProbeContext, _ exam: Examination, _ timing: ExchangeComparison.Timing
    ) throws {
        self.script = script
        self.context = context
        comparison = ExchangeComparison(script, exam, origin: .now, timing: timing)
        tellsChange = script.steps.contains { if case .event(_, "remoteChanged", _) = $0.step { true } else { false } }
        testers = [.a: try context.tester(), .b: try context.tester()]
    }

    private func bind() throws -> (handle: JSON, address: Endpoint) {
        let reply = try context.peer.request("udx.bind")
        guard let address = reply["address"]?.endpoint else { throw ProbeError("udx.bind told no address") }
        let handle = try reply.handle("socket")
        context.afterwards { [context] in context.quietly("close", ["socket": handle]) }
        return (handle, address)
    }

    private func makeStream(_ id: UInt32, first: UInt32 = 0) throws -> JSON {
        var arguments: JSONObject = ["localId": .integer(id)]
        if first != 0 { arguments.set("firstSequence", .integer(first)) }
        let handle = try context.peer.request("udx.stream", arguments).handle("stream")
        context.afterwards { [context] in context.quietly("destroy", ["stream": handle]) }
        return handle
    }

    private func connect(
        _ stream: JSON, _ socket: ExchangeCase.Sock, _ remoteID: UInt32, _ place: ExchangeCase.Place, acknowledged: UInt32 = 0
    ) throws {
        guard let socket = sockets[socket], let tester = testers[place] else { return }
        var arguments: JSONObject = ["stream": stream, "socket": socket.handle, "remoteId": .integer(remoteID)]
        if acknowledged != 0 { arguments.set("acknowledged", .integer(acknowledged)) }
        try context.peer.request("udx.connect", arguments.at(tester.endpoint))
    }

    func run() throws {
        let setup = script.setup
        sockets[.first] = try bind()
        sockets[.second] = try bind()
        stream = try makeStream(setup.localID, first: setup.localSeq)
        if setup.isConnected { try connect(stream, .first, setup.remoteID, .a, acknowledged: setup.remoteSeq) }
        if let other = setup.partner {
            let handle = try makeStream(other.localID)
            partner = handle
            try connect(handle, .second, other.remoteID, other.place)
            try context.peer.request("udx.relay", ["stream": stream, "to": handle])
            try context.peer.request("udx.relay", ["stream": handle, "to": stream])
        }
        _ = context.newEvents()
        for (node, step) in script.steps {
            switch step {
            case .application(let calls):
                // What the tester sent before must have been read before the application acts.
                if hasSent { try pass(25, isStep: false) }
                begin()
                for call in calls {
                    comparison.called(call)
                    try perform(call)
                }
                comparison.lag = (Instant.now - comparison.origin).milliseconds
            case .send(let datagrams, let times, _, let from, let to):
                begin()
                for _ in 0..<times { for datagram in datagrams { try send(datagram, from, to) } }
                hasSent = true
            case .receive(let expected, let milliseconds):
                try pass(milliseconds, isStep: true)
                comparison.compare(expected, node)
            case .wait(let milliseconds): try pass(milliseconds, isStep: true)
            case .event(let node, let kind, let stream):
                let bytes = kind == "read" ? (node.json.string?.utf8.count ?? 0) / 2 : 0
                let deadline = Instant.now + .milliseconds(1500)
                while !comparison.hasSeen(kind, bytes: bytes), .now < deadline { try pass(10, isStep: false) }
                try comparison.compareEvent(node, kind, stream)
            }
            try node.note()
        }
        try pass(20, isStep: false)
        comparison.finish()
    }

    private func begin() {
        if isFresh {
            comparison.origin = .now
            comparison.lag = 0
        }
        isFresh = false
    }

    private func send(_ datagram: [UInt8], _ from: ExchangeCase.Place, _ to: ExchangeCase.Sock) throws {
        collectEvents()
        comparison.testerSent(datagram)
        guard let socket = sockets[to] else { return }
        try testers[from]?.send(datagram, to: socket.address)
    }

    private func perform(_ call: ExchangeCase.Call) throws {
        let peer = context.peer
        switch call.name {
        case "write":
            try peer.request("write", ["stream": stream, "data": .string(Hex.encode(call.payload))])
        case "end": try peer.request("end", ["stream": stream])
        case "message": try peer.request("send", ["stream": stream, "data": .string(Hex.encode(call.payload))])
        case "destroy":
            wasDestroyed = true
            try peer.request("destroy", ["stream": stream])
        case "connect":
            try connect(stream, .first, call.remoteID, call.place, acknowledged: script.setup.remoteSeq)
        case "changeRemote":
            guard let socket = sockets[.first], let tester = testers[call.place] else { return }
            let arguments: JSONObject = ["stream": stream, "socket": socket.handle, "remoteId": .integer(call.remoteID)]
            // Answered when the change is acknowledged, which the script does later.
            _ = try peer.send("udx.changeRemote", arguments.at(tester.endpoint))
        default: throw ProbeError("the call \(call.name) has no command")
        }
    }

    /// Lets real time pass and takes in what arrives.
    private func pass(_ milliseconds: Int64, isStep: Bool) throws {
        if isStep {
            begin()
            isFresh = true
            hasSent = false
        }
        let end = (isStep ? comparison.origin + .milliseconds(comparison.lag) : .now) + .milliseconds(milliseconds)
        while let (tester, arrival) = UDPTester.next(of: Array(testers.values), until: end) { take(tester, arrival) }
        collectEvents()
    }

    private func take(_ tester: UDPTester, _ arrival: UDPTester.Arrival) {
        let place = testers.first { $0.value === tester }?.key ?? .a
        let socket = sockets.first { $0.value.address.port == arrival.source.port }?.key
        comparison.sent.append(
            ExchangeComparison.Sent(
                at: arrival.at, payload: arrival.payload, place: place.endpoint.description,
                socket: socket?.id.description ?? arrival.source.description))
    }

    private func collectEvents() {
        for event in context.newEvents() {
            let handle = event["stream"]
            let isPartner = partner != nil && handle == partner
            guard handle == stream || isPartner || event["socket"] == sockets[.first]?.handle || event["socket"] == sockets[.second]?.handle
            else { continue }
            switch event["event"]?.string {
            case "data": if let bytes = event["data"]?.string.flatMap({ Hex.decode($0) }), !bytes.isEmpty { comparison.read(bytes) }
            case "message": comparison.saw("message", event["data"]?.string ?? "", partner: isPartner)
            case "end": comparison.saw("end", "true", partner: isPartner)
            case "close":
                let code = event["error"]?["code"]?.string
                if code == nil && !isPartner && !wasDestroyed { comparison.hasFinished = true }
                comparison.saw("closed", code ?? "ok", partner: isPartner)
            case "remoteChanged": if tellsChange { comparison.saw("remoteChanged", "true", partner: isPartner) }
            case "socketMessage": comparison.saw("datagram", event["data"]?.string ?? "")
            default: break
            }
        }
    }
}
