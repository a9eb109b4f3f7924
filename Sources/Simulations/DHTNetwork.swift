import CompactEncoding
import DHTRPC
import HyperDHT
import NetworkSimulator
import SansIO

/// A simulated network of HyperDHT nodes: the first is the bootstrapper.
final class DHTNetwork {
    let simulation: Simulation
    private var hosts: [DHTHost] = []
    private let scenario: DHTScenario
    private let entropy: SeededEntropy
    private var nextNumber = 0

    init(_ scenario: DHTScenario) {
        self.scenario = scenario
        entropy = SeededEntropy(seed: scenario.seed)
        simulation = Simulation(seed: scenario.seed)
        simulation.chooseLink = { a, b in
            let pair = UInt64(min(a.number, b.number)) << 32 | UInt64(max(a.number, b.number))
            let mixed = (pair &* 0x9e37_79b9_7f4a_7c15) >> 40
            return LinkProfile(delay: .microseconds(5000 + Int64(mixed % 95_000)))
        }
    }

    private static func endpoint(_ number: Int) -> Endpoint { Endpoint(.v4(0x2d00_0001 + UInt32(number)), 49737) }

    private func add(_ number: Int) {
        let address = DHTNetwork.endpoint(number)
        var config = number == 0 ? HyperDHTConfig.bootstrapper(address) : HyperDHTConfig()
        if number > 0 {
            config.rpc.bootstrap = [BootstrapEntry(DHTNetwork.endpoint(0))]
            config.rpc.persistence = .atStart
        }
        let seeded = SeededEntropy(seed: scenario.seed &* 1_000_003 &+ UInt64(number))
        let host = DHTHost(config, seeded, address, simulation.now)
        let id = simulation.addHost(host, address: address.address)
        host.id = id
        hosts.append(host)
        simulation.touch(id)
    }

    /// Every node joins; half a minute later it has had time to become persistent.
    func join() throws {
        add(0)
        let step = scenario.joining.microseconds / Int64(max(1, scenario.nodes))
        for number in 1..<max(2, scenario.nodes) {
            simulation.schedule(at: simulation.now + .microseconds(step * Int64(number))) { [unowned self] _ in add(number) }
        }
        try simulation.run(until: simulation.now + scenario.joining + .seconds(30))
    }

    /// Addresses of persistent nodes that are up.
    var persistent: [Endpoint] { hosts.filter { $0.isUp && $0.node.isPersistent }.map(\.address) }

    /// A node that is up; one with nothing to do, if a few draws find one.
    private func draw() -> DHTHost {
        var draws = 0
        while true {
            draws += 1
            let host = hosts[Int(entropy.uniform(below: UInt64(hosts.count), for: EntropyLabel(.test)))]
            if host.isUp, host.isIdle || draws > 20 { return host }
        }
    }

    /// Has one node after the other begin an operation, waits for all to end, and returns what each came to, in the order of the targets.
    func perform(
        _ targets: [Bytes32], _ operation: @escaping (HyperDHTNode, Bytes32) -> OperationID
    ) throws -> [(by: Endpoint, search: DHTHost.Search)] {
        var begun: [(host: DHTHost, number: Int)] = []
        for target in targets {
            let host = draw()
            let number = nextNumber
            nextNumber += 1
            host.begin(number, simulation.now) { operation($0, target) }
            begun.append((host, number))
            if let id = host.id { simulation.touch(id) }
            try simulation.run(until: simulation.now + scenario.pace)
        }
        // Everything ends within two minutes; a look now and then is enough.
        for _ in 0..<1200 {
            if begun.allSatisfy({ $0.host.searches[$0.number]?.ended != nil }) { break }
            try simulation.run(until: simulation.now + .milliseconds(100))
        }
        return begun.compactMap { entry in entry.host.searches[entry.number].map { (entry.host.address, $0) } }
    }

    /// Every fifth node vanishes at once, without a word; the bootstrapper stays.
    func removeFifth() {
        for number in stride(from: 1, to: hosts.count, by: 5) {
            hosts[number].isUp = false
            if let id = hosts[number].id { simulation.setUp(id, false) }
        }
    }
}
