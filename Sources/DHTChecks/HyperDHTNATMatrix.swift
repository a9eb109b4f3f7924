import Conformance
import HyperDHT
import NetworkSimulator
import SansIO
import Simulations

/// Two users behind every pair of NATs: who connects, by which path, with how many packets, and when.
public enum HyperDHTNATMatrix {
    /// Where a user stands.
    public enum Place: String, CaseIterable, Sendable {
        /// A public address, no box.
        case open
        /// One port for all, everybody may write.
        case fullCone = "full cone"
        /// One port for all, hosts that were written to may answer.
        case addressFiltered = "consistent, host filter"
        /// One port for all, endpoints that were written to may answer.
        case consistent = "consistent"
        /// Two boxes, one behind the other, both consistent.
        case doubleConsistent = "two consistent boxes"
        /// A port of its own for each destination.
        case random

        var isRandom: Bool { self == .random }
    }

    /// One cell of the matrix.
    public struct Cell: Sendable {
        public let client: String
        public let server: String
        public let viaRelay: Bool
        public let isConnected: Bool
        public let isRelayed: Bool
        /// What the specification says that Node does.
        public let mustConnect: Bool
        /// Datagrams that the two users sent between the dial and the end.
        public let packets: Int
        /// From the dial to the first word at the server, or to the error.
        public let milliseconds: Int64
        public let error: String?

        public var isAsExpected: Bool { isConnected == mustConnect }
    }

    /// Every pair of places, and two users behind one box with and without hairpin.
    public static func run(seed: UInt64, relayed: Bool = false) throws -> [Cell] {
        var cells: [Cell] = []
        for client in Place.allCases {
            for server in Place.allCases { cells.append(try cell(client, server, seed: seed, relayed: relayed)) }
        }
        for hairpin in [true, false] { cells.append(try sameBox(hairpin: hairpin, seed: seed)) }
        return cells
    }

    static func cell(_ client: Place, _ server: Place, seed: UInt64, relayed: Bool) throws -> Cell {
        let scene = try Scene(seed: seed, relayed: relayed)
        let a = scene.user(server, 200, .v4(0x0a00_0002))
        let b = scene.user(client, 220, .v4(0xc0a8_0102))
        return try scene.dial(
            client: b, server: a, names: (client.rawValue, server.rawValue), mustConnect: relayed || !(client.isRandom && server.isRandom))
    }

    /// Two users of one LAN: the shortcut needs no hairpin.
    static func sameBox(hairpin: Bool, seed: UInt64) throws -> Cell {
        let scene = try Scene(seed: seed, relayed: false)
        var behaviour = NATBehaviour.consistent
        behaviour.hairpin = hairpin
        let segment = scene.network.simulation.addNAT(behaviour, outside: HyperDHTSimulation.address(200))
        let a = scene.network.addUser(on: segment, address: .v4(0xc0a8_0102))
        let b = scene.network.addUser(on: segment, address: .v4(0xc0a8_0103))
        let name = hairpin ? "same box, hairpin" : "same box, no hairpin"
        return try scene.dial(client: b, server: a, names: (name, name), mustConnect: true)
    }

    private final class Scene {
        let network: HyperDHTSimulation
        private let relayKey = try? HyperDHTConnectChecks.keyPair(50)
        private let relayed: Bool

        init(seed: UInt64, relayed: Bool) throws {
            self.relayed = relayed
            network = HyperDHTSimulation(seed: seed)
            try network.start(core: 8)
            guard relayed, let relayKey else { return }
            var options = ServerOptions()
            options.servesRelaying = true
            let relay = network.nodes[2]
            let id = try network.command(relay) { try $0.listen(relayKey, options: options) }
            try network.run(seconds: 10) { relay.isListening(id) }
        }

        func user(_ place: Place, _ number: Int, _ inside: IPAddress) -> HyperDHTSimulatedNode {
            let outside = HyperDHTSimulation.address(number)
            let simulation = network.simulation
            switch place {
            case .open: return network.addUser(address: outside)
            case .fullCone: return network.addUser(on: simulation.addNAT(.open, outside: outside), address: inside)
            case .addressFiltered:
                let behaviour = NATBehaviour(mapping: .endpointIndependent, filtering: .addressDependent, ports: .preserving)
                return network.addUser(on: simulation.addNAT(behaviour, outside: outside), address: inside)
            case .consistent: return network.addUser(on: simulation.addNAT(.consistent, outside: outside), address: inside)
            case .doubleConsistent:
                let outer = simulation.addNAT(.consistent, outside: outside)
                let inner = simulation.addNAT(.consistent, outside: .v4(0x6440_0000 | UInt32(number)), on: outer)
                return network.addUser(on: inner, address: inside)
            case .random: return network.addUser(on: simulation.addNAT(.random, outside: outside), address: inside)
            }
        }

        func dial(
            client: HyperDHTSimulatedNode, server: HyperDHTSimulatedNode, names: (String, String), mustConnect: Bool
        ) throws -> Cell {
            try network.run(seconds: 30) { server.node.isReady && client.node.isReady }
            let key = try HyperDHTConnectChecks.keyPair(1)
            var serverOptions = ServerOptions()
            if relayed, let relayKey { serverOptions.relayThrough = [relayKey.publicKey] }
            let id = try network.command(server) { try $0.listen(key, options: serverOptions) }
            try network.run(seconds: 20) { server.isListening(id) }
            let counter = Counter(
                [client, server].compactMap(\.host).compactMap {
                    self.network.simulation.localEndpoint($0, SimulatedSockets.server)?.address
                })
            network.simulation.tap = { counter.see($0) }
            let began = network.simulation.now
            let connection = network.command(client) { node in
                let id = node.connect(key.publicKey)
                node.write(id, [1])
                return id
            }
            let isConnected = try network.run(seconds: 120) {
                client.closure(of: connection) != nil || server.accepted.contains { !server.data(of: $0).isEmpty }
            }
            let closure = client.closure(of: connection)
            return Cell(
                client: names.0, server: names.1, viaRelay: relayed, isConnected: isConnected && closure == nil,
                isRelayed: client.node.info(of: connection)?.isRelayed ?? false, mustConnect: mustConnect, packets: counter.packets,
                milliseconds: (network.simulation.now - began).milliseconds, error: (closure ?? nil)?.rawValue)
        }
    }

    private final class Counter {
        private let hosts: [IPAddress]
        private(set) var packets = 0
        init(_ hosts: [IPAddress]) { self.hosts = hosts }
        func see(_ packet: SimulatedPacket) { if hosts.contains(packet.source.address) { packets += 1 } }
    }

    /// A table for people.
    public static func table(_ cells: [Cell]) -> String {
        var rows: [[String]] = [["client", "server", "outcome", "path", "packets", "ms", "Node"]]
        for cell in cells {
            rows.append([
                cell.client, cell.server, cell.isConnected ? "connected" : cell.error ?? "nothing",
                cell.isConnected ? (cell.isRelayed ? "relay" : "direct") : "", "\(cell.packets)", "\(cell.milliseconds)",
                cell.mustConnect ? "connects" : "aborts",
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).map { text, width in text + String(repeating: " ", count: width - text.count) }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    static let checks: [Check] =
        Place.allCases.map { client in
            Check("hyperdht.nat-matrix.\(client)", ["HDHT-52", "HDHT-60"], .simulation) { exam in
                for server in Place.allCases {
                    let cell = try cell(client, server, seed: exam.seed, relayed: false)
                    exam.equal(
                        "\(client) to \(server)", cell.isConnected ? "connected" : cell.error ?? "nothing",
                        cell.mustConnect ? "connected" : "HOLEPUNCH_ABORTED")
                }
            }
        } + [
            Check("hyperdht.nat-matrix.lan", ["HDHT-52"], .simulation) { exam in
                for hairpin in [true, false] {
                    let cell = try sameBox(hairpin: hairpin, seed: exam.seed)
                    exam.equal("same box, hairpin \(hairpin)", cell.isConnected, true)
                }
            },
            Check("hyperdht.nat-matrix.relayed", ["HDHT-66"], .simulation) { exam in
                for client in [Place.random, .consistent] {
                    let cell = try cell(client, .random, seed: exam.seed, relayed: true)
                    exam.equal("\(client) to random with a relay", cell.isConnected ? "connected" : cell.error ?? "nothing", "connected")
                }
            },
        ]
}
