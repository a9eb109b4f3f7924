import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import HyperswarmCore
import NetworkSimulator
import SansIO
import Simulations

/// A node, with a swarm on it or not, on a simulated network.
final class SimulatedSwarm: SimulatedHost {
    let node: HyperDHTNode
    let swarm: SwarmNode?
    private var sockets: SimulatedSockets
    fileprivate(set) var host: HostID?
    private(set) var isReady = false
    /// Connections that the swarm emitted and that are still open, by key.
    private(set) var connections: [Bytes32: Set<SwarmConnectionID>] = [:]
    private(set) var initiators: [SwarmConnectionID: Bool] = [:]
    /// How often each peer was emitted.
    private(set) var emitted: [Bytes32: Int] = [:]
    private(set) var events: [(at: Instant, event: SwarmEvent)] = []
    /// Application data that arrived, by the node's connection.
    private(set) var received: [ConnectionID: [UInt8]] = [:]
    let address: IPAddress

    init(_ config: HyperDHTConfig, address: IPAddress, entropy: any Entropy, port: UInt16, swarm options: SwarmOptions?, now: Instant) {
        let node = HyperDHTNode(config: config, entropy: entropy, at: now)
        self.node = node
        swarm = options.map { SwarmNode(node: node, options: $0, entropy: entropy, now: now) }
        sockets = SimulatedSockets(port: port)
        self.address = address
        node.start()
    }

    var publicKey: Bytes32 { node.defaultKeyPair.publicKey }

    private func drain() {
        sockets.add(node.takeSocketRequests())
        let (nodeEvents, swarmEvents) = swarm?.takeEvents() ?? (node.takeEvents(), [])
        for event in nodeEvents {
            switch event {
            case .bind: sockets.bind()
            case .closeSockets(let closed): sockets.close(closed)
            case .ready: isReady = true
            case .data(let id, let bytes): received[id, default: []] += bytes
            default: break
            }
        }
        for event in swarmEvents {
            events.append((node.now, event))
            switch event {
            case .connection(let id, let key, let isInitiator, _):
                connections[key, default: []].insert(id)
                initiators[id] = isInitiator
                emitted[key, default: 0] += 1
            case .disconnected(let id, let key):
                connections[key]?.remove(id)
                if connections[key]?.isEmpty == true { connections[key] = nil }
            default: break
            }
        }
    }

    // MARK: The contract

    func takeSocketRequests() -> [SocketRequest] {
        drain()
        return sockets.take()
    }

    func socketOpened(_ socket: SocketID, local: Endpoint, now: Instant) {
        guard let bound = sockets.opened(socket, at: local) else { return }
        node.advance(to: now)
        node.bound(bound)
        drain()
    }

    func receive(_ payload: [UInt8], from source: Endpoint, on socket: SocketID, now: Instant) {
        if let swarm {
            swarm.receive(payload, from: source, on: socket, now: now)
        } else {
            node.receive(payload, from: source, on: socket, now: now)
        }
        drain()
    }

    func advance(to now: Instant) {
        if let swarm { swarm.advance(to: now) } else { node.advance(to: now) }
        drain()
    }

    var nextWakeUp: Instant { swarm?.nextWakeUp ?? node.nextWakeUp }
    func takeTransmits() -> [Transmit] { node.takeTransmits() }
}

/// A DHT of persistent nodes on a simulated internet, and swarms on it.
final class SwarmWorld {
    let simulation: Simulation
    private(set) var nodes: [SimulatedSwarm] = []
    private(set) var swarms: [SimulatedSwarm] = []
    private let bootstrap = Endpoint(.v4(0x0505_0001), 49737)
    private var addresses: UInt32 = 0x0505_0001

    init(seed: UInt64, nodes count: Int, link: LinkProfile = LinkProfile(delay: .milliseconds(10))) throws {
        simulation = Simulation(seed: seed, link: link)
        for number in 0..<count {
            var config = number == 0 ? HyperDHTConfig.bootstrapper(bootstrap) : HyperDHTConfig()
            config.rpc.bindHost = .v4(addresses)
            if number > 0 {
                config.rpc.bootstrap = [BootstrapEntry(bootstrap)]
                config.rpc.persistence = .atStart
                config.rpc.firewalled = false
            }
            nodes.append(add(config, seed: UInt64(number), port: 49737, swarm: nil))
            try simulation.run(until: simulation.now + .seconds(10)) { self.nodes[number].isReady }
        }
    }

    private func add(_ config: HyperDHTConfig, seed: UInt64, port: UInt16, swarm: SwarmOptions?) -> SimulatedSwarm {
        let address = IPAddress.v4(addresses)
        addresses += 1
        let host = SimulatedSwarm(
            config, address: address, entropy: SeededEntropy(seed: simulation.seed &* 1_000_003 &+ seed), port: port, swarm: swarm,
            now: simulation.now)
        let id = simulation.addHost(host, address: address)
        host.host = id
        simulation.touch(id)
        return host
    }

    /// A swarm on the open internet whose key pair comes from `key`, when it is ready.
    func addSwarm(_ key: UInt8, _ configure: (inout SwarmOptions) -> Void = { _ in }) throws -> SimulatedSwarm {
        let swarm = startSwarm([UInt8](repeating: key, count: 32), configure)
        try simulation.run(until: simulation.now + .seconds(10)) { swarm.isReady }
        return swarm
    }

    /// As `addSwarm`, without waiting for it.
    func startSwarm(_ seed: [UInt8], keepAlive: Interval? = .seconds(5), _ configure: (inout SwarmOptions) -> Void) -> SimulatedSwarm {
        var config = HyperDHTConfig()
        config.rpc.bootstrap = [BootstrapEntry(bootstrap)]
        config.rpc.bindHost = .v4(addresses)
        config.defaultKeyPair = KeyPair(seed: seed)
        config.connectionKeepAlive = keepAlive
        var options = SwarmOptions()
        configure(&options)
        let swarm = add(config, seed: 1000 + UInt64(swarms.count), port: 49737, swarm: options)
        swarms.append(swarm)
        return swarm
    }

    /// Gives a swarm a command.
    @discardableResult
    func tell<Result>(_ host: SimulatedSwarm, _ body: (SwarmMachine, Instant) throws -> Result) rethrows -> Result? {
        guard let swarm = host.swarm, let id = host.host else { return nil }
        swarm.advance(to: simulation.now)
        let result = try swarm.command(body)
        simulation.touch(id)
        return result
    }

    /// The host vanishes without a word.
    func crash(_ host: SimulatedSwarm) { if let id = host.host { simulation.setUp(id, false) } }

    func run(for interval: Interval) throws { try simulation.run(until: simulation.now + interval) }

    @discardableResult
    func run(atMost interval: Interval, until finished: () -> Bool) throws -> Bool {
        try simulation.run(until: simulation.now + interval, finished)
    }
}
