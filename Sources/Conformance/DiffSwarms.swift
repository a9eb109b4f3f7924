import CompactEncoding
import Dissection
import SansIO

/// How the swarms of one run met each other: what the numbers of their requests follow from.
///
/// Swarms announce and dial while the firewall check of their start is under way. Whether one knows by then that it can be reached, and which of
/// two dials first, is decided by races; from it follow the nodes asked, the holes punched, and the datagrams that these take. So the numbers are
/// held against what was to be done in their own run, not against each other.
struct DiffSwarms {
    /// Dials by the two peers that meet, whoever of them dials.
    private var dials: [[String]: Int] = [:]
    /// Requests that the initiator sent for one dial, at most.
    private var requestsForOneDial = 0
    /// Dials whose answer offers to punch a hole.
    private var punchable = 0
    private var holepunches = 0
    /// Firewall checks by the socket that asked for them.
    private var checks: [Endpoint: Int] = [:]
    /// PINGs from sockets that the manifest names, and from others: those of punchers, who sample what their NAT does.
    private var pings = (named: 0, sampling: 0)
    /// FIND_PEER requests, and the peers that announce themselves.
    private var findPeer = 0
    private var announced: Set<Bytes32> = []
    /// Probes from one socket to another.
    private var probes = 0
    private let seconds: Double

    private var dialCount: Int { dials.values.reduce(0, +) }

    /// nil: not a run of swarms, or not all that they said can be read.
    init?(_ dissection: Dissection, _ labels: DiffLabels) {
        guard let first = dissection.packets.first, let last = dissection.packets.last,
            dissection.exchanges.contains(where: { $0.command == "LOOKUP" })
        else { return nil }
        seconds = Double(last.packet.timeNanoseconds - first.packet.timeNanoseconds) / 1e9
        var begun: [Int: Exchange] = [:]
        for exchange in dissection.exchanges {
            begun[exchange.request] = exchange
            switch exchange.command {
            case "PEER_HOLEPUNCH": holepunches += 1
            case "PING_NAT": checks[exchange.requester, default: 0] += 1
            case "PING": if labels.isKnown(exchange.requester) { pings.named += 1 } else { pings.sampling += 1 }
            case "FIND_PEER": findPeer += 1
            case "ANNOUNCE": if let target = exchange.target, labels.name(target).hasPrefix("target of") { announced.insert(target) }
            default: break
            }
        }
        for handshake in dissection.handshakes where handshake.pattern == "IK" {
            guard let initiator = handshake.initiatorKey, let responder = handshake.responderKey, let requests = handshake.carriers.first
            else {
                return nil
            }
            dials[[labels.name(initiator), labels.name(responder)].sorted(), default: 0] += 1
            requestsForOneDial = max(requestsForOneDial, requests.filter { begun[$0].map { $0.origin == nil } ?? false }.count)
            guard handshake.carriers.count > 1, let answer = handshake.carriers[1].first else { continue }
            if dissection.packets[answer].units.contains(where: { DiffSwarms.offersHolepunch($0) }) { punchable += 1 }
        }
        if dials.isEmpty { return nil }
        probes = dissection.packets.filter { $0.kind == .probe && $0.packet.source != $0.packet.destination }.count
    }

    /// Whether a noise payload offers to punch a hole.
    static func offersHolepunch(_ unit: Unit) -> Bool {
        unit.layer == .noisePayload && DiffField.all(of: unit).contains { $0.path.hasPrefix("holepunch.") }
    }

    /// The rule by which two runs may have different numbers of a command, if they keep it.
    static func allows(_ command: String, _ a: DiffSwarms, _ b: DiffSwarms) -> Variance? {
        let longer = abs(a.seconds - b.seconds)
        func both(_ condition: (DiffSwarms) -> Bool) -> Bool { condition(a) && condition(b) }
        switch command {
        case "PEER_HANDSHAKE":
            // A dial that lost is tried again as time passes.
            let retries = Int(longer / 5)
            let alike = b.dials.allSatisfy { $0.value <= max(2, (a.dials[$0.key] ?? 0) + 1) + retries }
            guard Set(a.dials.keys) == Set(b.dials.keys), alike, both({ $0.requestsForOneDial <= 6 }) else { return nil }
            return .bounded("the same peers meet, whichever of them dial, each dial with at most six requests")
        case "PEER_HOLEPUNCH":
            guard both({ $0.holepunches <= 6 * $0.punchable }) else { return nil }
            return .bounded("at most six, legs counted, for each dial whose answer offers to punch a hole")
        case "PING_NAT":
            guard a.checks.count == b.checks.count, both({ $0.checks.values.allSatisfy { $0 <= 6 } }) else { return nil }
            return .bounded("one to six of each node that checks its firewall: five more where the first is answered in time")
        case "PING":
            // Each announced peer asks its three nodes every three seconds.
            let slack = max(4, max(a.pings.named, b.pings.named) / 2) + 3 * max(a.announced.count, b.announced.count) * Int(longer / 3)
            guard abs(a.pings.named - b.pings.named) <= slack, both({ $0.pings.sampling <= 8 * $0.dialCount }) else { return nil }
            return .bounded("of named sockets up to half as many more or fewer; of both parties' punchers four each for a dial")
        case "FIND_PEER":
            func rate(_ run: DiffSwarms) -> Double { Double(run.findPeer) / Double(run.announced.count + run.dialCount) }
            guard abs(rate(a) - rate(b)) <= max(rate(a), rate(b)) / 2 else { return nil }
            return .bounded("up to half as many more or fewer for each dial and each peer that announces itself")
        case "probe":
            guard both({ $0.probes <= ($0.holepunches > 0 ? 4 * $0.punchable : 0) }) else { return nil }
            return .bounded("at most four for each dial whose answer offers to punch a hole")
        default: return nil
        }
    }
}
