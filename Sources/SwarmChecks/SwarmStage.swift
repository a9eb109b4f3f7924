import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO

/// A swarm over a scripted DHT: it answers what the swarm asks as the script says, and keeps what the swarm did.
final class SwarmStage {
    let machine: SwarmMachine
    private(set) var now = Instant.zero
    /// Everything the swarm asked for, with the time.
    private(set) var effects: [(at: Instant, effect: SwarmEffect)] = []
    private(set) var events: [(at: Instant, event: SwarmEvent)] = []
    /// Answers every operation at once. Off: `finish` does it.
    var answersOperations = true
    /// What every query finds, in one reply each.
    var replies: [[FoundPeer]] = []
    /// What becomes of dials: nil leaves them in flight.
    var answersDials: ((SwarmConnectionID, Bytes32) -> DialAnswer)?
    private(set) var pendingDials: [(id: SwarmConnectionID, key: Bytes32)] = []
    private(set) var pendingOperations: [(id: SwarmOperationID, effect: SwarmEffect)] = []
    /// Most dials that were in flight at a time.
    private(set) var mostInFlight = 0

    enum DialAnswer {
        case open
        case fail(String)
        case nothing
    }

    static func key(_ first: UInt8, _ last: UInt8 = 0) -> Bytes32 {
        Bytes32([first] + [UInt8](repeating: 0x11, count: 30) + [last]) ?? .zero
    }
    static let topic = [UInt8](0..<32)
    static let topicKey = Bytes32(topic) ?? .zero
    /// Greater than all keys of found peers but those that begin with 0xff.
    static let greatKey = key(0xf0)

    init(_ exam: Examination, key: Bytes32 = SwarmStage.greatKey, _ configure: (inout SwarmOptions) -> Void = { _ in }) {
        var options = SwarmOptions()
        configure(&options)
        machine = SwarmMachine(publicKey: key, options: options, entropy: SeededEntropy(seed: exam.seed), now: .zero)
    }

    static func peers(_ count: Int, from first: UInt8 = 1) -> [FoundPeer] {
        (0..<count).map { FoundPeer(publicKey: key(first + UInt8($0)), relayAddresses: [.loopback(1000 + UInt16($0))]) }
    }

    // MARK: Driving

    /// Takes effects and events until there are no more.
    func pump() {
        while true {
            let effects = machine.takeEffects()
            for event in machine.takeEvents() { events.append((now, event)) }
            if effects.isEmpty { return }
            for effect in effects {
                self.effects.append((now, effect))
                answer(effect)
            }
        }
    }

    private func answer(_ effect: SwarmEffect) {
        switch effect {
        case .query(let id, _, _, _):
            pendingOperations.append((id, effect))
            if answersOperations { finish(id) }
        case .listen(let id), .unannounce(let id, _), .suspendServer(let id), .resumeServer(let id), .closeServer(let id),
            .suspendNode(let id),
            .resumeNode(let id), .destroyNode(let id):
            pendingOperations.append((id, effect))
            if answersOperations { finish(id) }
        case .cancelQuery(let id): pendingOperations.removeAll { $0.id == id }
        case .connect(let id, let key, _, _):
            pendingDials.append((id, key))
            mostInFlight = max(mostInFlight, pendingDials.count)
            switch answersDials?(id, key) ?? .nothing {
            case .open: open(id)
            case .fail(let code): close(id, code)
            case .nothing: break
            }
        case .destroyConnection(let id, _): close(id)
        case .sendKeepAlive: break
        }
    }

    /// Ends an operation; a query first brings its replies.
    func finish(_ id: SwarmOperationID) {
        guard let index = pendingOperations.firstIndex(where: { $0.id == id }) else { return }
        let effect = pendingOperations.remove(at: index).effect
        if case .query = effect { for reply in replies { machine.queryReplied(id, reply, now: now) } }
        machine.operationFinished(id, now: now)
    }

    func open(_ id: SwarmConnectionID) {
        pendingDials.removeAll { $0.id == id }
        machine.connectionOpened(id, now: now)
    }

    func close(_ id: SwarmConnectionID, _ code: String? = nil) {
        pendingDials.removeAll { $0.id == id }
        machine.connectionClosed(id, code: code, now: now)
    }

    func act(_ body: () throws -> Void) rethrows {
        try body()
        pump()
    }

    /// Lets time pass, stopping at each wake-up.
    func run(for interval: Interval) {
        let end = now + interval
        while machine.nextWakeUp <= end {
            now = max(now, machine.nextWakeUp)
            machine.advance(to: now)
            pump()
        }
        now = end
        machine.advance(to: now)
        pump()
    }

    /// The machine slept: no wake-up between.
    func sleep(for interval: Interval) {
        now = now + interval
        machine.advance(to: now)
        pump()
    }

    // MARK: Looking

    var queries: [(at: Instant, kind: SwarmEffect.QueryKind, target: Bytes32)] {
        effects.compactMap { if case .query(_, let kind, let target, _) = $0.effect { ($0.at, kind, target) } else { nil } }
    }
    var dials: [(at: Instant, id: SwarmConnectionID, key: Bytes32, relay: Bytes32?)] {
        effects.compactMap { if case .connect(let id, let key, _, let relay) = $0.effect { ($0.at, id, key, relay) } else { nil } }
    }
    var unannounced: [Bytes32] { effects.compactMap { if case .unannounce(_, let target) = $0.effect { target } else { nil } } }
    var destroyed: [SwarmConnectionID] { effects.compactMap { if case .destroyConnection(let id, _) = $0.effect { id } else { nil } } }
    var keptAlive: [SwarmConnectionID] { effects.compactMap { if case .sendKeepAlive(let id) = $0.effect { id } else { nil } } }
    var connected: [(id: SwarmConnectionID, key: Bytes32)] {
        events.compactMap { if case .connection(let id, let key, _, _) = $0.event { (id, key) } else { nil } }
    }
    func count(_ matches: (SwarmEffect) -> Bool) -> Int { effects.count { matches($0.effect) } }
    func saw(_ event: SwarmEvent) -> Bool { events.contains { $0.event == event } }

    /// Sets the scene: one topic joined as client, the peers found, every dial open.
    func connect(_ peers: [FoundPeer]) throws {
        replies = [peers]
        answersDials = { _, _ in .open }
        try act { try machine.join(SwarmStage.topic, server: false, now: now) }
        replies = []
    }
}
