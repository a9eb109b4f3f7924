import BlindRelay
import CompactEncoding
import Conformance
import HyperCrypto
import HyperDHT
import NetworkSimulator
import Protomux
import SansIO
import UDX

/// Blind relays: nodes that are relayed, and testers that pair by hand.
enum HyperDHTRelayChecks {
    static let checks: [Check] = [
        Check("hyperdht.relayed", ["HDHT-66", "HDHT-68", "RELAY-6", "RELAY-11", "RELAY-13"], .simulation) { exam in
            // Both offer a relay: the server's is used.
            let scene = try Scene(exam, nat: (.random, .random), relays: 2)
            try scene.listen(relay: 0)
            try scene.connect(relay: 1)
            try scene.echo()
            exam.equal("links of the server's relay", scene.relays[0].node.relayCounts.links, 1)
            exam.equal("links of the client's relay", scene.relays[1].node.relayCounts.links, 0)
            exam.equal("the client says that it is relayed", scene.clientInfo?.isRelayed, true)
            exam.bytes("one handshake hash", scene.clientInfo?.handshakeHash, scene.serverInfo?.handshakeHash ?? [])
            exam.require("no datagram shows the plaintext", !scene.sawPlaintext)
        },
        Check("hyperdht.relayed-client-only", ["HDHT-68", "RELAY-12"], .simulation) { exam in
            let scene = try Scene(exam, nat: (.random, .random), relays: 2)
            try scene.listen(relay: nil)
            try scene.connect(relay: 1)
            try scene.echo()
            exam.equal("links of the client's relay", scene.relays[1].node.relayCounts.links, 1)
            exam.equal("links of the other node", scene.relays[0].node.relayCounts.links, 0)
            // The client, whose relay it is, paired as the initiator.
            exam.equal("the initiator's link", scene.pairInitiatorIsClient, true)
        },
        Check("hyperdht.relay-upgrade", ["RELAY-14"], .simulation) { exam in
            let scene = try Scene(exam, nat: (.consistent, .consistent), relays: 1)
            // The direct path is slow, so that the relay comes first.
            scene.slowDirectPath()
            try scene.listen(relay: 0)
            try scene.connect(relay: nil)
            try scene.echo()
            exam.equal("relayed at first", scene.clientInfo?.isRelayed, true)
            exam.require(
                "both sides go over to the direct path",
                try scene.network.run(seconds: 60) { scene.isDirect(scene.client) && scene.isDirect(scene.server) })
            try scene.echo()
            exam.require(
                "the connections to the relay end", try scene.network.run(seconds: 60) { scene.relays[0].node.connectionCount == 0 },
                "\(scene.relays[0].node.connectionCount) are left")
            try scene.echo()
        },
        Check("hyperdht.relay-silent", ["HDHT-69", "RELAY-10"], .simulation) { exam in
            // A node that takes connections but pairs nobody: both are random, so nothing else helps.
            let scene = try Scene(exam, nat: (.random, .random), relays: 1, serving: false)
            try scene.listen(relay: nil)
            let began = scene.network.simulation.now
            try scene.connect(relay: 0)
            exam.require("it ends", try scene.network.run(seconds: 120) { scene.clientClosure != nil })
            let took = scene.network.simulation.now - began
            exam.require("after about 15 s", took >= .seconds(14) && took <= .seconds(25), "\(took.milliseconds) ms")
        },
        Check("hyperdht.relay-keepalive", ["RELAY-15"], .simulation) { exam in
            let scene = try Scene(exam, nat: (.random, .random), relays: 1)
            try scene.listen(relay: 0)
            try scene.connect(relay: nil)
            try scene.echo()
            try scene.network.run(seconds: 10)
            scene.relayFrames = 0
            try scene.network.run(seconds: 60)
            // Two relay connections, each way every 5 s, beside the relayed stream's own keepalives.
            exam.require("keepalives to the relay in a minute", (20...28).contains(scene.relayFrames), "\(scene.relayFrames)")
        },
        Check("hyperdht.relay-occupied", ["HDHT-67", "RELAY-4"], .simulation) { exam in
            let scene = try PairingScene(exam)
            let token = Bytes32([UInt8](repeating: 0xab, count: 32)) ?? .zero
            try scene.pair(0, isInitiator: true, token, streamID: 11)
            try scene.pair(1, isInitiator: true, token, streamID: 22)
            exam.equal("pair answers", scene.paired, [[], [], []])
            try scene.pair(2, isInitiator: false, token, streamID: 33)
            exam.equal("the first in its role is paired", scene.paired.map(\.count), [1, 0, 1])
            exam.equal("with its own role", scene.paired[0].first?.isInitiator, true)
            exam.equal("and the other with its", scene.paired[2].first?.isInitiator, false)
        },
        Check("hyperdht.relay-unpair", ["HDHT-67", "RELAY-5"], .simulation) { exam in
            let scene = try PairingScene(exam)
            let token = Bytes32([UInt8](repeating: 0xcd, count: 32)) ?? .zero
            try scene.pair(0, isInitiator: true, token, streamID: 11)
            try scene.unpair(0, token)
            try scene.pair(1, isInitiator: false, token, streamID: 22)
            exam.equal("pair answers", scene.paired, [[], [], []])
            exam.equal("pairings that wait", scene.relay.node.relayCounts.pending, 1)
        },
        Check("hyperdht.relay-flood", ["RELAY-16"], .simulation) { exam in
            let scene = try PairingScene(exam)
            for number in 0..<500 {
                try scene.pair(0, isInitiator: true, Blake2b.hash256([UInt8(number & 255), UInt8(number >> 8)]), streamID: 7, wait: false)
            }
            try scene.network.run(seconds: 2)
            exam.require(
                "pairings that wait", scene.relay.node.relayCounts.pending <= 64, "\(scene.relay.node.relayCounts.pending)")
            exam.require("some do", scene.relay.node.relayCounts.pending > 0, "none")
        },
    ]

    // MARK: Scenes

    /// Two users behind NATs, and nodes that serve as relays.
    final class Scene {
        let exam: Examination
        let network: HyperDHTSimulation
        let server: HyperDHTSimulatedNode
        let client: HyperDHTSimulatedNode
        private(set) var relays: [HyperDHTSimulatedNode] = []
        private let relayKeys: [KeyPair]
        private let serverKey: KeyPair
        private var connection: ConnectionID?
        private(set) var sawPlaintext = false
        /// Frames of the size of a keepalive between a user and the first relay, on streams that are not the relayed one.
        var relayFrames = 0
        private var round: UInt8 = 0
        private let relayAddress: IPAddress

        init(_ exam: Examination, nat: (NATBehaviour, NATBehaviour), relays count: Int, serving: Bool = true) throws {
            self.exam = exam
            network = HyperDHTSimulation(seed: exam.seed)
            try network.start(core: 8)
            serverKey = try HyperDHTConnectChecks.keyPair(1)
            var keys: [KeyPair] = []
            for number in 0..<count {
                let key = try HyperDHTConnectChecks.keyPair(UInt8(50 + number))
                keys.append(key)
                let node = network.nodes[2 + number]
                relays.append(node)
                var options = ServerOptions()
                options.servesRelaying = serving
                let id = try network.command(node) { try $0.listen(key, options: options) }
                try network.run(seconds: 10) { node.isListening(id) }
            }
            relayKeys = keys
            relayAddress = HyperDHTSimulation.address(3)
            let first = network.simulation.addNAT(nat.0, outside: HyperDHTSimulation.address(200))
            let second = network.simulation.addNAT(nat.1, outside: HyperDHTSimulation.address(201))
            server = network.addUser(on: first, address: .v4(0x0a00_0002))
            client = network.addUser(on: second, address: .v4(0xc0a8_0102))
            let users = [server, client]
            try network.run(seconds: 30) { users.allSatisfy { $0.node.isReady } }
            network.simulation.tap = { [unowned self] in look($0) }
        }

        private func look(_ packet: SimulatedPacket) {
            let text = Array("secret words".utf8)
            if packet.payload.count >= text.count {
                for start in 0...(packet.payload.count - text.count) where Array(packet.payload[start..<start + text.count]) == text {
                    sawPlaintext = true
                }
            }
            guard let header = try? PacketHeader(decoding: packet.payload), packet.payload.count == PacketHeader.size + 20 else { return }
            let relayed = [clientInfo?.remoteStreamID, serverInfo?.remoteStreamID, clientInfo?.localStreamID, serverInfo?.localStreamID]
            if packet.destination.address == relayAddress, !relayed.contains(header.streamID.rawValue) { relayFrames += 1 }
        }

        func slowDirectPath() {
            guard let first = server.host, let second = client.host else { return }
            network.simulation.setLink(from: first, to: second, LinkProfile(delay: .milliseconds(1500)))
            network.simulation.setLink(from: second, to: first, LinkProfile(delay: .milliseconds(1500)))
        }

        func listen(relay: Int?) throws {
            var options = ServerOptions()
            if let relay { options.relayThrough = [relayKeys[relay].publicKey] }
            let id = try network.command(server) { try $0.listen(serverKey, options: options) }
            exam.require("listening", try network.run(seconds: 20) { server.isListening(id) })
        }

        func connect(relay: Int?) throws {
            var options = ConnectOptions()
            if let relay { options.relayThrough = [relayKeys[relay].publicKey] }
            connection = network.command(client) { $0.connect(serverKey.publicKey, options: options) }
        }

        var clientInfo: ConnectionInfo? { connection.flatMap { client.node.info(of: $0) } }
        var serverInfo: ConnectionInfo? { server.accepted.first.flatMap { server.node.info(of: $0) } }
        var clientClosure: HyperDHTError?? { connection.flatMap { client.closure(of: $0) } }

        /// Whether the relay's stream for the pairing's initiator is the one that the client sends to.
        var pairInitiatorIsClient: Bool? {
            clientInfo.map { _ in client.node.isPairingInitiator(connection ?? ConnectionID(number: 0)) ?? false }
        }

        func isDirect(_ node: HyperDHTSimulatedNode) -> Bool {
            node.events.contains { if case .pathChanged(_, _, let isRelayed) = $0 { !isRelayed } else { false } }
        }

        /// Words there and back.
        func echo() throws {
            round += 1
            let words = Array("secret words".utf8) + [round]
            guard let connection else { return exam.report("connection", expected: "one", actual: "none") }
            network.command(client) { $0.write(connection, words) }
            exam.require(
                "the server reads, round \(round)",
                try network.run(seconds: 60) { server.accepted.first.map { server.data(of: $0).last == words } ?? false },
                "closed: \(String(describing: client.closure(of: connection)))")
            guard let accepted = server.accepted.first else { return }
            network.command(server) { $0.write(accepted, words) }
            exam.require("the client reads, round \(round)", try network.run(seconds: 60) { client.data(of: connection).last == words })
        }
    }

    /// Three testers with connections to a relay, who speak its channel by hand.
    final class PairingScene {
        let network: HyperDHTSimulation
        let relay: HyperDHTSimulatedNode
        private var testers: [(node: HyperDHTSimulatedNode, connection: ConnectionID, mux: Protomux, channel: ChannelHandle, read: Int)] =
            []
        private(set) var paired: [[Pair]] = [[], [], []]

        init(_ exam: Examination) throws {
            network = HyperDHTSimulation(seed: exam.seed)
            try network.start(core: 6)
            relay = network.nodes[2]
            let key = try HyperDHTConnectChecks.keyPair(50)
            var options = ServerOptions()
            options.servesRelaying = true
            let id = try network.command(relay) { try $0.listen(key, options: options) }
            let relay = relay
            exam.require("listening", try network.run(seconds: 10) { relay.isListening(id) })
            for number in 0..<3 {
                let node = network.nodes[3 + number]
                let connection = network.command(node) { $0.connect(key.publicKey) }
                exam.require("tester \(number) is connected", try network.run(seconds: 10) { node.isConnected(connection) })
                let mux = Protomux()
                let channel = try mux.open(
                    ChannelOptions(BlindRelay.channelKey(clientPublicKey: node.node.defaultKeyPair.publicKey), messageCount: 2))
                testers.append((node, connection, mux, channel, 0))
                try exchange(number, wait: true)
            }
        }

        func pair(_ tester: Int, isInitiator: Bool, _ token: Bytes32, streamID: UInt64, wait: Bool = true) throws {
            let message = Pair(isInitiator: isInitiator, token: token, streamID: streamID)
            _ = try testers[tester].mux.send(testers[tester].channel, type: Pair.type, message.encoded)
            try exchange(tester, wait: wait)
        }

        func unpair(_ tester: Int, _ token: Bytes32) throws {
            _ = try testers[tester].mux.send(testers[tester].channel, type: Unpair.type, Unpair(token: token).encoded)
            try exchange(tester, wait: true)
        }

        /// Sends what a tester's mux has to say; then everybody reads what came within a second.
        private func exchange(_ number: Int, wait: Bool) throws {
            let tester = testers[number]
            for effect in tester.mux.takeEffects() {
                if case .send(let bytes) = effect { network.command(tester.node) { $0.write(tester.connection, bytes) } }
            }
            guard wait else { return }
            try network.run(seconds: 1)
            for index in testers.indices {
                let messages = testers[index].node.data(of: testers[index].connection)
                for message in messages.dropFirst(testers[index].read) { testers[index].mux.receive(message) }
                testers[index].read = messages.count
                for event in testers[index].mux.takeEvents() {
                    if case .message(_, Pair.type, let payload) = event { paired[index].append(try Pair(decoding: payload)) }
                }
            }
        }
    }
}
