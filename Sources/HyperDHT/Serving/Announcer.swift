import CompactEncoding
import DHTRPC
import SansIO

/// A server's presence in the DHT: which nodes hold its announce, and what is being done about it. hyperdht.md section 17.
final class Announcer {
    let record: PeerRecord
    var state = State.idle
    /// The nodes that took the announce, with our address as each sees it: what clients are offered for punching.
    var relays: [NoisePayload.HolepunchInfo.Relay] = []
    /// Our own public address if we are open, then the relays: at most three.
    var relayAddresses: [Endpoint] = []
    /// The last three generations of relays, the newest last, in the order in which they answered.
    private var generations: [[Endpoint]] = [[], [], []]
    /// Seeds of the next search.
    var closestNodes: [Endpoint] = []
    var timer: NodeTimers<TimerPurpose>.ID?
    /// Pings since the last update.
    var rounds = 0
    /// Asked for a new update.
    var wantsRefresh = false
    var isStopped = false
    // What becomes known during an update.
    var pendingRelays: [NoisePayload.HolepunchInfo.Relay] = []
    var pendingAddresses: [Endpoint] = []
    var pendingClosest: [Endpoint] = []
    /// Counts the steps; answers to requests of an earlier step change nothing.
    private(set) var step = 0
    /// Requests out in the present step.
    var outstanding = 0
    var pongs = 0
    var pinged = 0
    /// The address that each announce's node saw us at.
    var seenAs: [Endpoint: Endpoint] = [:]

    enum State {
        case idle
        case searching(QueryID)
        case announcing
        /// The relays of the last generation are let go.
        case letting
        /// Between pings.
        case resting
        case pinging
        case waitingForNetwork
        /// Everything is taken back: closing, or suspending.
        case takingBack
        case stopped
    }

    /// Nodes that hold the announce.
    static let wanted = 3
    static let pingInterval = Interval.seconds(3)
    /// Pings until the announce is made anew: about five minutes.
    static let pingRounds = 100

    init(record: PeerRecord) { self.record = record }

    /// Begins a step with so many requests.
    func enter(_ state: State, requests: Int = 0) {
        self.state = state
        step += 1
        outstanding = requests
    }

    /// Whether the address is one of our relays, of three generations.
    func isRelay(_ address: Endpoint) -> Bool { generations.contains { $0.contains(address) } }

    var current: [Endpoint] { generations[2] }
    var previous: [Endpoint] { generations[1] }

    func add(_ relay: Endpoint) { generations[2].append(relay) }
    func turnGenerations() { generations = [generations[1], generations[2], []] }
}
