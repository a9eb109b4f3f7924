import Conformance
import HyperDHT
import NetworkSimulator
import SansIO

/// What leaves the punchers, and when.
enum HyperDHTPunchChecks {
    static let checks: [Check] = [
        Check("hyperdht.random-punch-pace", ["HDHT-61"], .simulation) { exam in
            try randomPunch(exam)
        },
        Check("hyperdht.consistent-punch-rounds", ["HDHT-58", "HDHT-59"], .simulation) { exam in
            try consistentPunch(exam)
        },
    ]

    /// One-byte datagrams that left a host.
    private final class Probes {
        var sent: [(time: Instant, source: Endpoint, destination: Endpoint, timeToLive: UInt8)] = []

        func count(_ packet: SimulatedPacket) {
            guard packet.payload.count == 1 else { return }
            sent.append((packet.time, packet.source, packet.destination, packet.timeToLive))
        }

        func of(_ address: IPAddress) -> [(time: Instant, source: Endpoint, destination: Endpoint, timeToLive: UInt8)] {
            sent.filter { $0.source.address == address }
        }
    }

    private static let serverHost = IPAddress.v4(0x0a00_0002)
    private static let clientHost = IPAddress.v4(0xc0a8_0102)

    /// Two users whose probes never arrive.
    private static func scene(
        _ exam: Examination, client: NATBehaviour, server: NATBehaviour
    ) throws -> (HyperDHTSimulation, HyperDHTSimulatedNode, HyperDHTSimulatedNode, Probes) {
        let network = HyperDHTSimulation(seed: exam.seed)
        try network.start(core: 8)
        let first = network.simulation.addNAT(server, outside: HyperDHTSimulation.address(200))
        let second = network.simulation.addNAT(client, outside: HyperDHTSimulation.address(201))
        let serverNode = network.addUser(on: first, address: serverHost)
        let clientNode = network.addUser(on: second, address: clientHost)
        try network.run(seconds: 30) { serverNode.node.isReady && clientNode.node.isReady }
        let loses = LinkProfile(delay: .milliseconds(20), loss: .scripted { _, payload in payload.count == 1 })
        if let a = serverNode.host, let b = clientNode.host {
            network.simulation.setLink(from: a, to: b, loses)
            network.simulation.setLink(from: b, to: a, loses)
        }
        let probes = Probes()
        network.simulation.tap = { probes.count($0) }
        let key = try HyperDHTConnectChecks.keyPair(1)
        let id = try network.command(serverNode) { try $0.listen(key) }
        exam.require("listening", try network.run(seconds: 10) { serverNode.isListening(id) })
        return (network, clientNode, serverNode, probes)
    }

    private static func randomPunch(_ exam: Examination) throws {
        let (network, client, _, probes) = try scene(exam, client: .consistent, server: .random)
        let key = try HyperDHTConnectChecks.keyPair(1).publicKey
        let connection = network.command(client) { $0.connect(key) }
        exam.require("the punch ends", try network.run(seconds: 120) { client.closure(of: connection) != nil })
        exam.equal("reason", client.closure(of: connection) ?? nil, .holepunchAborted)
        // The consistent side: random ports, one socket.
        let ours = probes.of(clientHost).filter { $0.timeToLive > 5 }
        exam.require("datagrams of the consistent side", (100...1750).contains(ours.count), "\(ours.count)")
        pace(exam, "the consistent side", ours.map(\.time))
        exam.equal("its sockets", Set(ours.map(\.source)).count, 1)
        exam.require("its ports", ours.allSatisfy { $0.destination.port >= 1000 })
        try network.run(seconds: 1)
        // The random side: a burst that opens, then a walk over its sockets.
        let theirs = probes.of(serverHost)
        guard let began = theirs.first?.time else { return exam.report("the random side", expected: "datagrams", actual: "none") }
        let burst = theirs.prefix { $0.time - began < .milliseconds(50) }
        exam.require("opening burst", (200...256).contains(burst.count), "\(burst.count)")
        exam.require("it dies on the way", burst.allSatisfy { $0.timeToLive <= 5 })
        let rest = theirs.dropFirst(burst.count)
        exam.require("then", rest.count <= 1750, "\(rest.count)")
        pace(exam, "the random side", rest.map(\.time))
        // Less than 20 s after the end: refused, without a probe.
        probes.sent = []
        let again = network.command(client) { $0.connect(key) }
        exam.require("a second one is refused soon", try network.run(seconds: 12) { client.closure(of: again) != nil })
        exam.equal("its reason", client.closure(of: again) ?? nil, .holepunchAborted)
        exam.equal("its probes", probes.of(clientHost).filter { $0.timeToLive > 5 }.count, 0)
    }

    /// At least 20 ms apart on average.
    private static func pace(_ exam: Examination, _ who: String, _ times: [Instant]) {
        guard let first = times.first, let last = times.last, times.count > 1 else { return }
        let average = (last - first).microseconds / Int64(times.count - 1)
        exam.require("pace of \(who)", average >= 20_000, "\(average) microseconds apart on average")
    }

    private static func consistentPunch(_ exam: Examination) throws {
        let (network, client, _, probes) = try scene(exam, client: .consistent, server: .consistent)
        let connection = network.command(client) { $0.connect((try? HyperDHTConnectChecks.keyPair(1))?.publicKey ?? .zero) }
        exam.require("the punch ends", try network.run(seconds: 120) { client.closure(of: connection) != nil })
        exam.equal("reason", client.closure(of: connection) ?? nil, .holepunchAborted)
        let ours = probes.of(clientHost)
        exam.require("the NAT is opened first", ours.first.map { $0.timeToLive <= 5 } ?? false)
        let punches = ours.filter { $0.timeToLive > 5 }
        exam.equal("rounds", punches.count, 10)
        for (earlier, later) in zip(punches, punches.dropFirst()) {
            exam.equal("apart", (later.time - earlier.time).milliseconds, 1000)
        }
    }
}
