import DHTRPC
import HyperDHT
import NetworkSimulator
import SansIO

/// A HyperDHT node on a simulated network that keeps of its events only what an operation ends with.
final class DHTHost: SimulatedHost {
    /// What one search came to.
    struct Search {
        var began: Instant
        /// Requests, retransmissions and answers of the node before it began; afterwards, while it ran.
        var traffic: Traffic
        var records = 0
        /// Nodes in a row that were asked until the first record was seen.
        var hops = 0
        var ended: Instant?
        var closest: [Endpoint]?
    }

    struct Traffic {
        var requests = 0
        var datagrams = 0

        init(_ statistics: DHTRPC.NodeStatistics) {
            requests = statistics.requestsTotal
            datagrams = statistics.requestsTotal + statistics.retries + statistics.responses
        }

        static func - (a: Traffic, b: Traffic) -> Traffic {
            var result = a
            result.requests -= b.requests
            result.datagrams -= b.datagrams
            return result
        }
    }

    let node: HyperDHTNode
    let address: Endpoint
    var id: HostID?
    var isUp = true
    /// By the number that the scenario gave it.
    private(set) var searches: [Int: Search] = [:]
    @exclusivity(unchecked) private var running: [OperationID: Int] = [:]
    @exclusivity(unchecked) private var sockets: SimulatedSockets

    init(_ config: HyperDHTConfig, _ entropy: any Entropy, _ address: Endpoint, _ now: Instant) {
        node = HyperDHTNode(config: config, entropy: entropy, at: now)
        self.address = address
        sockets = SimulatedSockets(port: address.port)
        node.start()
        drain()
    }

    var isIdle: Bool { running.isEmpty }

    /// Begins a search; its end is noted under `number`.
    func begin(_ number: Int, _ now: Instant, _ operation: (HyperDHTNode) -> OperationID) {
        node.advance(to: now)
        drain()
        searches[number] = Search(began: now, traffic: Traffic(node.rpcStatistics))
        running[operation(node)] = number
        drain()
    }

    private func drain() {
        for event in node.takeEvents() {
            switch event {
            case .bind: sockets.bind()
            case .reply(let id, let reply):
                guard let number = running[id], case .peers(let peers, _) = reply.content, !peers.isEmpty else { break }
                if searches[number]?.records == 0 { searches[number]?.hops = reply.hops }
                searches[number]?.records += peers.count
            case .finished(let id, let result):
                guard let number = running.removeValue(forKey: id), var search = searches[number] else { break }
                search.ended = node.now
                search.traffic = Traffic(node.rpcStatistics) - search.traffic
                if case .done(let closest) = result { search.closest = closest }
                searches[number] = search
            default: break
            }
        }
    }

    func socketOpened(_ socket: SocketID, local: Endpoint, now: Instant) {
        guard let bound = sockets.opened(socket, at: local) else { return }
        node.advance(to: now)
        node.bound(bound)
        drain()
    }

    func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        node.receive(payload, from: source, on: socket, now: now)
        drain()
    }

    func advance(to now: Instant) {
        node.advance(to: now)
        drain()
    }

    var nextWakeUp: Instant { node.nextWakeUp }
    func takeTransmits() -> [Transmit] { node.takeTransmits() }

    func takeSocketRequests() -> [SocketRequest] {
        sockets.add(node.takeSocketRequests())
        return sockets.take()
    }
}
