import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// Plays one golden exchange against a node under a virtual clock: the steps in order, every datagram compared.
///
/// tids of the node's own requests are its own choice: a recorded tid stands for the tid that the node uses, one for one, so that a
/// retransmission must repeat it and a response must echo it.
final class ExchangeRunner {
    /// One way between node and tester.
    static let latency = Interval.microseconds(100)
    /// How exact `afterMilliseconds` is meant.
    static let tolerance = Interval.milliseconds(300)

    private struct Delivery {
        let at: Instant
        let number: Int
        let action: Action

        enum Action {
            case toNode([UInt8], source: Endpoint, port: UInt16)
            case toTester(Int, [UInt8], source: Endpoint)
            case answer(from: Int, [UInt8], to: Endpoint)
        }
    }

    let exchange: ExchangeCase
    let exam: Examination
    let node: any ExchangeNode
    var testers: [ExchangeTester]
    private(set) var now = Instant(microseconds: 1_000_000_000)
    private var deliveries: [Delivery] = []
    private var deliveryNumber = 0
    /// Events that no step has consumed.
    var events: [JSON] = []
    /// Everything that left the node, by port.
    private(set) var wire: [(datagram: ExchangeDatagram, isInternalRequest: Bool)] = []
    /// Recorded tid to the node's tid and back.
    private var actualTID: [UInt16: UInt16] = [:]
    private var recordedTID: [UInt16: UInt16] = [:]
    /// tids of packets with a name.
    var namedTIDs: [String: UInt16] = [:]
    private var instants = 0
    private(set) var isStuck = false

    init(_ exchange: ExchangeCase, _ node: any ExchangeNode, _ exam: Examination) {
        self.exchange = exchange
        self.node = node
        self.exam = exam
        testers = exchange.testers
        // tids of the testers' own requests come back as they are, also through a relay.
        for step in exchange.steps {
            guard let text = step["send"]?.string, let bytes = Hex.decode(text), bytes.first == MessageType.request.rawValue,
                let tid = Exchange.tid(bytes)
            else { continue }
            actualTID[tid] = tid
            recordedTID[tid] = tid
        }
    }

    func run() throws {
        try node.start(at: now)
        collect()
        if exchange.node.awaitReady {
            let ready = wait(upTo: .seconds(60)) { $0.events.contains { $0["type"]?.string == "ready" } }
            exam.require("ready", ready, "the node never became ready")
            // What arrives before is not part of the case; let what is under way arrive.
            for index in testers.indices {
                testers[index].inbox = []
                testers[index].streamPackets = []
                testers[index].transactions = []
            }
            events = []
        }
        for (number, step) in exchange.steps.enumerated() {
            try exam.at("step \(number + 1) (offset \(step.offset))") { try perform(step) }
            if isStuck {
                return exam.report("time", expected: "the node sleeps between its deadlines", actual: "it asks to be called again at once")
            }
        }
        guard !exchange.isLeftoverAllowed else { return }
        for tester in testers {
            exam.require("\(tester.name), left over", tester.inbox.isEmpty, "\(tester.inbox.count) more: \(shown(tester.inbox.first))")
        }
    }

    func shown(_ arrival: ExchangeTester.Arrival?) -> String {
        arrival.map { "\(Hex.encode($0.payload)) from \($0.source)" } ?? "nothing"
    }

    func tester(_ name: String, _ json: JSON) throws -> Int {
        guard let index = testers.firstIndex(where: { $0.name == name }) else {
            throw ExchangeFormatError("there is no tester \"\(name)\"", json)
        }
        return index
    }

    // MARK: tids

    /// Whether the node's tid stands for the recorded one; learns it on first sight.
    func sameTransaction(recorded: UInt16, actual: UInt16) -> Bool {
        if let known = actualTID[recorded] { return known == actual }
        guard recordedTID[actual] == nil else { return false }
        actualTID[recorded] = actual
        recordedTID[actual] = recorded
        return true
    }

    // MARK: Virtual network

    func send(_ payload: [UInt8], from source: Endpoint, to destination: Endpoint) {
        guard destination.address == exchange.node.address.address else { return }
        schedule(.toNode(payload, source: source, port: destination.port), after: ExchangeRunner.latency)
    }

    private func schedule(_ action: Delivery.Action, after delay: Interval) {
        deliveryNumber += 1
        deliveries.append(Delivery(at: now + delay, number: deliveryNumber, action: action))
    }

    /// Lets time pass until `condition` holds, at most for `limit`. Returns whether it holds.
    @discardableResult
    func wait(upTo limit: Interval, until condition: (ExchangeRunner) -> Bool = { _ in false }) -> Bool {
        let end = now + limit
        var spins = 0
        while true {
            if condition(self) { return true }
            let nextDelivery = deliveries.min { ($0.at, $0.number) < ($1.at, $1.number) }
            let next = min(nextDelivery?.at ?? .distantFuture, node.nextWakeUp)
            guard next <= end else { break }
            if next > now {
                now = next
                spins = 0
            } else {
                spins += 1
                if spins > 100_000 {
                    isStuck = true
                    return false
                }
            }
            if let delivery = nextDelivery, delivery.at <= now {
                deliveries.removeAll { $0.number == delivery.number }
                deliver(delivery.action)
            } else {
                node.advance(to: now)
                collect()
            }
        }
        now = max(now, end)
        node.advance(to: now)
        collect()
        return condition(self)
    }

    /// Takes what the node has to say and sends it on its way.
    func collect() {
        for datagram in node.takeDatagrams() {
            let request = try? Request(decoding: datagram.payload)
            wire.append((datagram, request?.isInternal ?? false))
            guard let index = testers.firstIndex(where: { $0.endpoint == datagram.to }) else { continue }
            let source = Endpoint(exchange.node.address.address, datagram.fromPort)
            schedule(.toTester(index, datagram.payload, source: source), after: ExchangeRunner.latency)
        }
        events += node.takeEvents()
    }

    private func deliver(_ action: Delivery.Action) {
        switch action {
        case .toNode(let payload, let source, let port):
            guard node.boundPorts.contains(port) else { return }
            node.receive(payload, from: source, atPort: port, at: now)
            collect()
        case .toTester(let index, let payload, let source): arrived(index, payload, source)
        case .answer(let index, let payload, let destination): send(payload, from: testers[index].endpoint, to: destination)
        }
    }

    private func arrived(_ index: Int, _ payload: [UInt8], _ source: Endpoint) {
        let arrival = ExchangeTester.Arrival(at: now, source: source, payload: payload)
        if Exchange.isStreamPacket(payload) {
            testers[index].streamPackets.append(arrival)
            return
        }
        if let tid = Exchange.tid(payload) { testers[index].transactions.insert(tid) }
        var isIgnored = false
        if let request = try? Request(decoding: payload) {
            isIgnored = testers[index].ignored.contains { $0.matches(request, fromPort: source.port) }
            answer(index, request, source)
        }
        if !isIgnored { testers[index].inbox.append(arrival) }
    }

    private func answer(_ index: Int, _ request: Request, _ source: Endpoint) {
        guard
            let position = testers[index].answers.firstIndex(where: {
                ($0.times ?? 1) > 0 && $0.match.matches(request, fromPort: source.port)
            })
        else { return }
        if let times = testers[index].answers[position].times { testers[index].answers[position].times = times - 1 }
        let answer = testers[index].answers[position]
        let destination = Endpoint(source.address, answer.toPort ?? source.port)
        var reply = answer.reply
        Exchange.setTID(&reply, request.tid)
        if !answer.keepTo {
            var writer = Writer(capacity: 6)
            writer.address(destination)
            reply.replaceSubrange(4..<10, with: writer.bytes)
        }
        let sender = answer.from.flatMap { name in testers.firstIndex { $0.name == name } } ?? index
        if answer.delayMilliseconds > 0 {
            schedule(.answer(from: sender, reply, to: destination), after: .milliseconds(answer.delayMilliseconds))
        } else {
            send(reply, from: testers[sender].endpoint, to: destination)
        }
    }
}
