import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import HyperswarmCore
import NetworkSimulator
import SansIO
import UDX

/// Whole swarms on a simulated network: what a node of the DHT, and a peer, can see of them.
enum SimulationChecks {
    private static let topic = Blake2b.hash256(Array("a topic".utf8))

    /// A request that was seen on the wire.
    private struct Seen {
        let time: Instant
        let from: IPAddress
        let to: Endpoint
        let request: Request
    }

    private final class Wire {
        var requests: [Seen] = []
        /// Payloads of UDX DATA packets, by sender, each sequence number once.
        var data: [Endpoint: [(id: StreamID, seq: SequenceNumber, bytes: [UInt8])]] = [:]

        init(_ simulation: Simulation) {
            simulation.tap = { [unowned self] packet in
                if packet.payload.first == 0xff {
                    var reader = Reader(packet.payload)
                    guard let header = try? PacketHeader(from: &reader), header.type.contains(.data) else { return }
                    let bytes = Array(packet.payload.dropFirst(PacketHeader.size + Int(header.dataOffset)))
                    let known = self.data[packet.source] ?? []
                    if !known.contains(where: { $0.id == header.streamID && $0.seq == header.seq }) {
                        self.data[packet.source, default: []].append((header.streamID, header.seq, bytes))
                    }
                } else if let request = try? Request(decoding: packet.payload) {
                    self.requests.append(Seen(time: packet.time, from: packet.source.address, to: packet.destination, request: request))
                }
            }
        }

        func sent(by swarm: SimulatedSwarm, _ command: HyperDHTCommand, _ target: Bytes32? = nil) -> [Seen] {
            requests.filter {
                $0.from == swarm.address && !$0.request.isInternal && $0.request.command == command.rawValue
                    && (target == nil || $0.request.target == target)
            }
        }
    }

    static let checks: [Check] = [
        Check(
            "swarm.seen-by-the-network", ["SWARM-1", "SWARM-2", "SWARM-3", "SWARM-4", "SWARM-6", "SWARM-31"], .simulation
        ) { exam in
            let world = try SwarmWorld(seed: exam.seed, nodes: 8)
            let server = try world.addSwarm(1)
            let client = try world.addSwarm(2)
            let wire = Wire(world.simulation)
            try world.tell(server) { machine, now in try machine.join(topic.bytes, client: false, now: now) }
            try world.run(for: .seconds(5))
            try world.tell(client) { machine, now in try machine.join(topic.bytes, server: false, now: now) }
            try world.run(atMost: .seconds(20)) { !client.connections.isEmpty && !server.connections.isEmpty }
            exam.equal("connections of the client", client.connections[server.publicKey]?.count, 1)
            exam.equal("connections of the server", server.connections[client.publicKey]?.count, 1)
            try world.run(for: .seconds(30))

            // SWARM-1, SWARM-2: the topic itself is the target, and the record verifies where it is stored.
            let announces = wire.sent(by: server, .announce, topic)
            exam.require("announces of the topic", announces.count >= 8, "\(announces.count)")
            exam.require("lookups of the topic by the server", !wire.sent(by: server, .lookup, topic).isEmpty)
            exam.require("lookups of the topic by the client", !wire.sent(by: client, .lookup, topic).isEmpty)
            for seen in announces {
                guard let value = seen.request.value, let message = try? AnnounceMessage(decoding: value), let token = seen.request.token
                else {
                    exam.report("announce", expected: "a record and a token", actual: "none")
                    continue
                }
                exam.equal("key of the record", message.peer?.publicKey, server.publicKey)
                exam.require(
                    "relay addresses", (1...3).contains(message.peer?.relayAddresses.count ?? 0),
                    "\(message.peer?.relayAddresses.count ?? 0)")
                exam.require(
                    "signature",
                    RecordSignature.verify(.announce, message, target: topic, token: token, nodeID: NodeID.of(seen.to)))
            }
            // SWARM-3: the own key stands at its hash, the client's does not.
            let own = Blake2b.hash256(server.publicKey.bytes)
            exam.require("searches for the own key", !wire.sent(by: server, .findPeer, own).isEmpty)
            exam.require("announces of the own key", !wire.sent(by: server, .announce, own).isEmpty)
            exam.equal(
                "requests for the client's key", wire.requests.count { $0.request.target == Blake2b.hash256(client.publicKey.bytes) }, 0)
            // SWARM-4.
            exam.equal("announces by the client", wire.sent(by: client, .announce).count, 0)

            // SWARM-31: a header of 59 bytes, then keepalives of 20, and nothing else.
            let streams = wire.data.values.flatMap { $0 }.reduce(into: [StreamID: [Int]]()) {
                $0[$1.id, default: []].append($1.bytes.count)
            }
            exam.equal("streams", streams.count, 2)
            for (id, sizes) in streams.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                exam.equal("first packet of \(id)", sizes.first, 59)
                exam.require("keepalives of \(id)", sizes.count > 3, "\(sizes.count) packets")
                exam.equal("others of \(id)", Set(sizes.dropFirst()), [20])
            }

            // SWARM-6.
            let holders = Set(announces.map(\.to))
            world.tell(server) { machine, now in machine.leave(topic, now: now) }
            try world.run(for: .seconds(10))
            exam.equal("unannounced at", Set(wire.sent(by: server, .unannounce, topic).map(\.to)), holders)
            exam.equal("connections after leaving", server.connections[client.publicKey]?.count, 1)
        },
        Check("swarm.simulated-crossing", ["SWARM-15a", "SWARM-16", "SWARM-32"], .simulation) { exam in
            let world = try SwarmWorld(seed: exam.seed, nodes: 6, link: LinkProfile(delay: .milliseconds(40)))
            let swarms = try (1...4).map { try world.addSwarm(UInt8($0)) }
            for swarm in swarms { world.tell(swarm) { machine, now in machine.listen(now: now) } }
            try world.run(for: .seconds(10))
            // Everybody dials everybody at one instant.
            for swarm in swarms {
                for other in swarms where other !== swarm {
                    try world.tell(swarm) { machine, now in try machine.joinPeer(other.publicKey, now: now) }
                }
            }
            try world.run(for: .seconds(90))
            for swarm in swarms {
                for other in swarms where other !== swarm {
                    let open = swarm.connections[other.publicKey] ?? []
                    exam.equal("connections \(swarm.publicKey) to \(other.publicKey)", open.count, 1)
                    if let id = open.first {
                        exam.equal("initiator", swarm.initiators[id], swarm.publicKey > other.publicKey)
                    }
                }
                exam.equal(
                    "opened and closed as server", swarm.swarm?.machine.serverConnections, swarms.count { $0.publicKey > swarm.publicKey })
            }
        },
        Check("swarm.simulated-suspend", ["SWARM-27", "SWARM-28"], .simulation) { exam in
            let world = try SwarmWorld(seed: exam.seed, nodes: 6)
            let a = try world.addSwarm(1)
            let b = try world.addSwarm(2)
            let wire = Wire(world.simulation)
            try world.tell(a) { machine, now in try machine.join(topic.bytes, client: false, now: now) }
            try world.run(for: .seconds(5))
            try world.tell(b) { machine, now in try machine.join(topic.bytes, server: false, now: now) }
            try world.run(atMost: .seconds(20)) { !a.connections.isEmpty && !b.connections.isEmpty }
            exam.equal("connected", a.connections.count, 1)
            let own = Blake2b.hash256(a.publicKey.bytes)
            world.tell(a) { machine, now in machine.suspend(now: now) }
            try world.run(for: .seconds(30))
            exam.require("suspended", a.events.contains { $0.event == .suspended })
            exam.equal("connections", a.connections.count, 0)
            exam.require("topic unannounced", !wire.sent(by: a, .unannounce, topic).isEmpty)
            exam.require("key unannounced", !wire.sent(by: a, .unannounce, own).isEmpty)
            let silent = wire.requests.count { $0.from == a.address }
            try world.run(for: .seconds(60))
            exam.equal("requests while suspended", wire.requests.count { $0.from == a.address }, silent)
            let before = wire.sent(by: a, .announce, topic).count
            world.tell(a) { machine, now in machine.resume(now: now) }
            try world.run(for: .seconds(60))
            exam.require("resumed", a.events.contains { $0.event == .resumed })
            exam.require("announced again", wire.sent(by: a, .announce, topic).count > before)
            exam.require(
                "key announced again",
                wire.sent(by: a, .announce, own).contains { $0.time > (a.events.first { $0.event == .resumed }?.at ?? .zero) })
            let count = wire.sent(by: a, .unannounce).count
            world.tell(a) { machine, now in machine.destroy(now: now) }
            try world.run(for: .seconds(30))
            exam.require("destroyed", a.events.contains { $0.event == .destroyed })
            exam.require("unannounced at the end", wire.sent(by: a, .unannounce).count > count)
        },
        Check("swarm.simulated-firewall", ["SWARM-25"], .simulation) { exam in
            let world = try SwarmWorld(seed: exam.seed, nodes: 6)
            let outsider = try world.addSwarm(3)
            let refusedKey = outsider.publicKey
            let a = try world.addSwarm(1) { $0.firewall = .deny([refusedKey]) }
            try world.tell(a) { machine, now in try machine.join(topic.bytes, client: false, now: now) }
            try world.run(for: .seconds(5))
            try world.tell(outsider) { machine, now in try machine.join(topic.bytes, server: false, now: now) }
            let insider = try world.addSwarm(2)
            try world.tell(insider) { machine, now in try machine.join(topic.bytes, server: false, now: now) }
            try world.run(for: .seconds(60))
            exam.equal("let in", Set(a.connections.keys), [insider.publicKey])
            exam.equal("connections of the outsider", outsider.connections.count, 0)
            exam.require("ban event", a.events.contains { $0.event == .banned(publicKey: refusedKey, byFirewall: true) })
            exam.equal("handshakes answered", a.node.statistics.handshakesAnswered, 1)
        },
        Check("swarm.simulated-churn", ["SWARM-11", "SWARM-12", "SWARM-13a", "SWARM-32"], .simulation) { exam in
            // Swarms come to one topic one after the other, a third of them leaves and comes back: everybody ends up with everybody, once.
            let world = try SwarmWorld(seed: exam.seed, nodes: 8, link: LinkProfile(delay: .milliseconds(15), jitter: .milliseconds(5)))
            var swarms: [SimulatedSwarm] = []
            for number in 1...9 {
                let swarm = try world.addSwarm(UInt8(number)) { $0.maxParallel = 3 }
                swarms.append(swarm)
                try world.tell(swarm) { machine, now in try machine.join(topic.bytes, now: now) }
                try world.run(for: .seconds(3))
            }
            try world.run(for: .seconds(20))
            for swarm in swarms.prefix(3) { world.tell(swarm) { machine, now in machine.suspend(now: now) } }
            try world.run(for: .seconds(20))
            for swarm in swarms.suffix(6) { exam.equal("connections while three sleep", swarm.connections.count, 5) }
            for swarm in swarms.prefix(3) {
                world.tell(swarm) { machine, now in machine.resume(now: now) }
                try world.run(for: .seconds(5))
            }
            try world.run(for: .seconds(40))
            for swarm in swarms {
                exam.equal("peers of \(swarm.publicKey)", swarm.connections.count, 8)
                for (key, open) in swarm.connections.sorted(by: { $0.key < $1.key }) { exam.equal("connections to \(key)", open.count, 1) }
                exam.equal("dials in flight", swarm.swarm?.machine.connecting, 0)
            }
        },
    ]

}
