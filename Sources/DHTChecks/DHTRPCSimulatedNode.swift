import CompactEncoding
import DHTRPC
import NetworkSimulator
import SansIO
import Simulations

/// A bare dht-rpc node as a host of the simulator; application requests are answered as by a store without records.
final class DHTRPCSimulatedNode: SimulatedHost {
    static let port: UInt16 = 49737

    let node: DHTRPCNode
    private var sockets = SimulatedSockets(port: DHTRPCSimulatedNode.port)
    private(set) var outcomes: [QueryID: QueryOutcome] = [:]

    init(_ config: NodeConfig, seed: UInt64, at now: Instant) {
        node = DHTRPCNode(config: config, entropy: SeededEntropy(seed: seed), at: now)
        node.start()
        handleEvents()
    }

    func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        node.receive(payload, from: source, on: socket, at: now)
        handleEvents()
    }

    func advance(to now: Instant) {
        node.advance(to: now)
        handleEvents()
    }

    var nextWakeUp: Instant { node.nextWakeUp }

    func takeTransmits() -> [Transmit] {
        handleEvents()
        return node.takeTransmits()
    }

    func takeSocketRequests() -> [SocketRequest] { sockets.take() }

    func socketOpened(_ socket: SocketID, local: Endpoint, now: Instant) {
        guard let bound = sockets.opened(socket, at: local) else { return }
        node.advance(to: now)
        node.bound(bound)
        handleEvents()
    }

    private func handleEvents() {
        while true {
            let events = node.takeEvents()
            if events.isEmpty { return }
            for event in events {
                switch event {
                case .bind: sockets.bind()
                case .closeSockets(let closed): sockets.close(closed)
                case .request(let request):
                    if node.isPersistent { node.reply(to: request) } else { node.replyUnknownCommand(to: request) }
                case .queryFinished(let id, let outcome): outcomes[id] = outcome
                default: break
                }
            }
        }
    }
}

/// A network of bare nodes that join one after the other.
final class DHTRPCSimulation {
    let simulation: Simulation
    private(set) var nodes: [DHTRPCSimulatedNode] = []
    private(set) var hosts: [HostID] = []
    private(set) var down: Set<Int> = []

    /// Round trips of 10 to 200 ms, different for each pair.
    init(seed: UInt64) {
        simulation = Simulation(seed: seed)
        simulation.chooseLink = { a, b in
            let low = UInt64(min(a.number, b.number))
            let high = UInt64(max(a.number, b.number))
            var mixed = (low &* 0x9e37_79b9_7f4a_7c15) ^ (high &* 0xbf58_476d_1ce4_e5b9) ^ seed
            mixed ^= mixed >> 31
            mixed = mixed &* 0x94d0_49bb_1331_11eb
            return LinkProfile(delay: .milliseconds(5 + Int64((mixed >> 33) % 96)))
        }
    }

    static func endpoint(_ index: Int) -> Endpoint { Endpoint(.v4(0x0b00_0001 + UInt32(index)), DHTRPCSimulatedNode.port) }

    /// Adds a node that is to become persistent; the first one is the bootstrapper.
    func join() {
        let index = nodes.count
        let place = DHTRPCSimulation.endpoint(index)
        var config = index == 0 ? NodeConfig.bootstrapper(place) : NodeConfig()
        if index > 0 {
            config.persistence = .atStart
            config.port = .from(DHTRPCSimulatedNode.port)
            config.bootstrap = [BootstrapEntry(DHTRPCSimulation.endpoint(0))]
        }
        let node = DHTRPCSimulatedNode(config, seed: simulation.seed &+ UInt64(index) &* 7919, at: simulation.now)
        nodes.append(node)
        hosts.append(simulation.addHost(node, address: place.address))
        simulation.touch(hosts[index])
    }

    func run(_ span: Interval) throws { try simulation.run(until: simulation.now + span) }

    func vanish(_ index: Int) {
        down.insert(index)
        simulation.setUp(hosts[index], false)
    }

    /// A search from one node; the outcome and how long it took.
    func search(from index: Int, _ target: Bytes32, _ options: QueryOptions = QueryOptions()) throws -> (QueryOutcome?, Interval) {
        let began = simulation.now
        let node = nodes[index]
        node.node.advance(to: began)
        let id = node.node.query(target: target, command: 3, options: options)
        simulation.touch(hosts[index])
        try simulation.run(until: began + .seconds(60)) { node.outcomes[id] != nil }
        return (node.outcomes[id], simulation.now - began)
    }

    /// The true twenty closest of those that are up and persistent, but for the searcher itself.
    func closest(to target: Bytes32, but index: Int) -> [Endpoint] {
        Array(
            nodes.indices.filter { !down.contains($0) && $0 != index && nodes[$0].node.isPersistent }
                .map { (NodeID.of(DHTRPCSimulation.endpoint($0)) ^ target, DHTRPCSimulation.endpoint($0)) }
                .sorted { $0.0 < $1.0 }.prefix(20).map(\.1))
    }
}
