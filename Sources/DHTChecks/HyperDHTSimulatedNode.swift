import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import NetworkSimulator
import SansIO
import Simulations

/// A HyperDHT node on a simulated network.
final class HyperDHTSimulatedNode: SimulatedHost {
    let node: HyperDHTNode
    private(set) var events: [HyperDHTEvent] = []
    private var sockets: SimulatedSockets
    fileprivate(set) var host: HostID?

    init(_ config: HyperDHTConfig, entropy: any Entropy, port: UInt16, at now: Instant) {
        node = HyperDHTNode(config: config, entropy: entropy, at: now)
        sockets = SimulatedSockets(port: port)
        node.start()
        drain()
    }

    private func drain() {
        for event in node.takeEvents() {
            switch event {
            case .bind: sockets.bind()
            case .closeSockets(let closed): sockets.close(closed)
            default: events.append(event)
            }
        }
        sockets.add(node.takeSocketRequests())
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
        drain()
        return sockets.take()
    }

    // MARK: What happened

    func data(of connection: ConnectionID) -> [[UInt8]] {
        events.compactMap { if case .data(connection, let bytes) = $0 { bytes } else { nil } }
    }

    /// Connections that servers of this node took, in order.
    var accepted: [ConnectionID] { events.compactMap { if case .connection(_, let id, _) = $0 { id } else { nil } } }

    func isListening(_ server: ServerID) -> Bool {
        events.contains { if case .listening(server, _) = $0 { true } else { false } }
    }

    func isConnected(_ connection: ConnectionID) -> Bool {
        events.contains { if case .connected(connection, _) = $0 { true } else { false } }
    }

    /// nil: not closed. Otherwise the reason, which may be none.
    func closure(of connection: ConnectionID) -> HyperDHTError?? {
        for case .connectionClosed(connection, let reason) in events { return .some(reason) }
        return nil
    }

    func result(of operation: OperationID) -> OperationResult? {
        for case .finished(operation, let result) in events { return result }
        return nil
    }

    /// Signatures that were asked for.
    var questions: [SignatureQuestion] { events.compactMap { if case .signature(let question) = $0 { question } else { nil } } }
}

/// A simulated network of HyperDHT nodes: the first is the bootstrapper.
final class HyperDHTSimulation {
    let simulation: Simulation
    private(set) var nodes: [HyperDHTSimulatedNode] = []
    private let seed: UInt64

    init(seed: UInt64, delay: Interval = .milliseconds(20)) {
        self.seed = seed
        simulation = Simulation(seed: seed, link: LinkProfile(delay: delay))
    }

    /// Public addresses, none of a reserved class.
    static func address(_ number: Int) -> IPAddress { .v4(0x2d4d_0000 | UInt32(number)) }
    static let bootstrapper = Endpoint(address(1), 49737)

    /// An open node of the network's core; the first is the bootstrapper.
    @discardableResult
    func addCore() -> HyperDHTSimulatedNode {
        let address = HyperDHTSimulation.address(nodes.count + 1)
        var config = HyperDHTConfig.bootstrapper(HyperDHTSimulation.bootstrapper)
        if !nodes.isEmpty {
            config = HyperDHTConfig()
            config.rpc.bootstrap = [BootstrapEntry(HyperDHTSimulation.bootstrapper)]
            config.rpc.persistence = .atStart
            config.rpc.firewalled = false
        }
        return add(config, address: address, on: .internet)
    }

    /// A node of a user: firewalled until proven otherwise.
    @discardableResult
    func addUser(on segment: SegmentID = .internet, address: IPAddress? = nil, _ change: (inout HyperDHTConfig) -> Void = { _ in })
        -> HyperDHTSimulatedNode
    {
        var config = HyperDHTConfig()
        config.rpc.bootstrap = [BootstrapEntry(HyperDHTSimulation.bootstrapper)]
        change(&config)
        return add(config, address: address ?? HyperDHTSimulation.address(nodes.count + 1), on: segment)
    }

    private func add(_ config: HyperDHTConfig, address: IPAddress, on segment: SegmentID) -> HyperDHTSimulatedNode {
        var config = config
        config.localAddresses = [address]
        let entropy = SeededEntropy(seed: seed &* 1000 &+ UInt64(nodes.count))
        let node = HyperDHTSimulatedNode(config, entropy: entropy, port: 49737, at: simulation.now)
        nodes.append(node)
        let host = simulation.addHost(node, address: address, on: segment)
        node.host = host
        if simulation.now > .zero { simulation.touch(host) }
        return node
    }

    /// A core of so many nodes that is ready.
    func start(core count: Int) throws {
        for _ in 0..<count { addCore() }
        try run(seconds: 30) { self.nodes.allSatisfy { $0.node.isReady && $0.node.isPersistent } }
    }

    /// Gives a node commands.
    @discardableResult
    func command<T>(_ node: HyperDHTSimulatedNode, _ body: (HyperDHTNode) throws -> T) rethrows -> T {
        node.node.advance(to: simulation.now)
        let result = try body(node.node)
        if let host = node.host { simulation.touch(host) }
        return result
    }

    /// Lets time pass until the condition holds. Returns whether it did.
    @discardableResult
    func run(seconds: Int64, until condition: () -> Bool = { false }) throws -> Bool {
        try simulation.run(until: simulation.now + .seconds(seconds), condition)
    }
}
