import Conformance
import NetworkSimulator
import SansIO
import Testing
import UDX

@testable import DHTChecks
@testable import HyperDHT

/// What no requirement speaks of: remembered routes, suspending, destroying, keys that sign elsewhere.
@Suite struct HyperDHTLifeTests {
    @Test func aRememberedRouteNeedsNoSearch() throws {
        let network = HyperDHTSimulation(seed: 1)
        try network.start(core: 8)
        let first = network.simulation.addNAT(.consistent, outside: HyperDHTSimulation.address(200))
        let second = network.simulation.addNAT(.consistent, outside: HyperDHTSimulation.address(201))
        let server = network.addUser(on: first, address: .v4(0x0a00_0002))
        let client = network.addUser(on: second, address: .v4(0xc0a8_0102))
        try network.run(seconds: 30) { server.node.isReady && client.node.isReady }
        let key = try HyperDHTConnectChecks.keyPair(1)
        var options = ServerOptions()
        options.reusableSocket = true
        let id = try network.command(server) { try $0.listen(key, options: options) }
        try network.run(seconds: 20) { server.isListening(id) }
        var connect = ConnectOptions()
        connect.reusableSocket = true
        func dial() throws -> (milliseconds: Int64, requests: Int) {
            let began = network.simulation.now
            let before = client.node.rpcStatistics.requestsTotal
            let count = server.accepted.count
            let connection = network.command(client) { $0.connect(key.publicKey, options: connect) }
            #expect(try network.run(seconds: 60) { client.isConnected(connection) && server.accepted.count > count })
            let took = (network.simulation.now - began).milliseconds
            let requests = client.node.rpcStatistics.requestsTotal - before
            network.command(client) { $0.destroy(connection) }
            try network.run(seconds: 1)
            return (took, requests)
        }
        let slow = try dial()
        let quick = try dial()
        #expect(quick.requests == 1)
        #expect(quick.milliseconds < slow.milliseconds)
        // Nobody needs the sockets any more.
        try network.run(seconds: 30)
        #expect(client.node.puncherSocketCount == 0)
        #expect(server.node.puncherSocketCount == 0)
    }

    /// A connection and the handshake that made it hold one another; a server that closes, as every server of a soak does, must part them too.
    @Test(arguments: Ending.allCases) func closedConnectionsLeaveNothing(_ ending: Ending) throws {
        let network = HyperDHTSimulation(seed: 4)
        try network.start(core: 6)
        let (server, client) = (network.nodes[4], network.nodes[5])
        var remains: [Remains] = []
        for number in 1...3 as ClosedRange<UInt8> {
            let key = try HyperDHTConnectChecks.keyPair(number)
            let id = try network.command(server) { try $0.listen(key) }
            try network.run(seconds: 10) { server.isListening(id) }
            let outgoing = network.command(client) { $0.connect(key.publicKey) }
            #expect(try network.run(seconds: 10) { client.isConnected(outgoing) && server.accepted.count == Int(number) })
            let incoming = try #require(server.accepted.last)
            remains += [Remains(try #require(server.node.connections[incoming])), Remains(try #require(client.node.connections[outgoing]))]
            if ending == .serverFirst { network.command(server) { $0.close(id) } }
            // Both sides have more under way than gets through.
            network.command(client) { _ = $0.write(outgoing, [UInt8](repeating: 1, count: 100_000)) }
            network.command(server) { _ = $0.write(incoming, [UInt8](repeating: 2, count: 100_000)) }
            try network.run(seconds: 1) { !server.data(of: incoming).isEmpty }
            switch ending {
            case .reset, .serverFirst: network.command(client) { $0.destroy(outgoing) }
            case .bothEnd:
                network.command(client) { $0.end(outgoing) }
                network.command(server) { $0.end(incoming) }
            }
            #expect(try network.run(seconds: 10) { server.closure(of: incoming) != nil && client.closure(of: outgoing) != nil })
            if ending != .serverFirst { network.command(server) { $0.close(id) } }
        }
        // Streams linger, and handshakes are remembered, for seconds.
        try network.run(seconds: 60)
        for node in [server.node, client.node] {
            #expect(node.connections.isEmpty && node.streamOwners.isEmpty && node.servers.isEmpty && node.requests.isEmpty)
            #expect(node.operations.isEmpty && node.queries.isEmpty && node.probes.isEmpty && node.routesBySocket.isEmpty)
            #expect(node.firewallQuestions.isEmpty && node.relayedHandshakes.isEmpty && node.relaySessions.isEmpty)
            #expect(node.udx.streamIDs.isEmpty && node.udx.lingeringCount == 0)
            #expect(node.timers.count == 0 && node.puncherSocketCount == 0)
        }
        for rest in remains { #expect(rest.connection == nil && rest.handshake == nil && rest.attempt == nil) }
    }

    enum Ending: CaseIterable {
        /// The client destroys, then the server closes.
        case reset
        /// The server closes while its connection is open.
        case serverFirst
        /// In good order.
        case bothEnd
    }

    /// What must be gone when a connection is.
    private struct Remains {
        weak var connection: Connection?
        weak var handshake: ServerHandshake?
        weak var attempt: ConnectAttempt?

        init(_ connection: Connection) {
            self.connection = connection
            handshake = connection.handshake
            attempt = connection.attempt
        }
    }

    @Test func suspendedAndResumed() throws {
        let network = HyperDHTSimulation(seed: 2)
        try network.start(core: 6)
        let server = network.nodes[4]
        let client = network.nodes[5]
        let key = try HyperDHTConnectChecks.keyPair(1)
        let id = try network.command(server) { try $0.listen(key) }
        try network.run(seconds: 10) { server.isListening(id) }
        let connection = network.command(client) { $0.connect(key.publicKey) }
        try network.run(seconds: 10) { client.isConnected(connection) }
        network.command(server) { $0.suspend() }
        #expect(try network.run(seconds: 20) { server.events.contains { if case .suspended = $0 { true } else { false } } })
        #expect(try network.run(seconds: 20) { client.closure(of: connection) != nil })
        let lost = network.command(client) { $0.connect(key.publicKey) }
        #expect(try network.run(seconds: 30) { client.closure(of: lost) != nil })
        network.command(server) { $0.resume() }
        try network.run(seconds: 20)
        let again = network.command(client) { $0.connect(key.publicKey) }
        #expect(try network.run(seconds: 20) { client.isConnected(again) })
        network.command(server) { $0.destroy() }
        #expect(try network.run(seconds: 20) { server.events.contains { if case .closed = $0 { true } else { false } } })
        #expect(try network.run(seconds: 20) { client.closure(of: again) != nil })
    }

    @Test func aKeyThatSignsElsewhere() throws {
        let network = HyperDHTSimulation(seed: 3)
        try network.start(core: 6)
        let node = network.nodes[4]
        let key = try HyperDHTConnectChecks.keyPair(9)
        let topic = key.publicKey
        let announce = network.command(node) { $0.announce(topic, signer: .external(publicKey: key.publicKey)) }
        var answered = 0
        while node.result(of: announce) == nil,
            try network.run(seconds: 5, until: { node.questions.count > answered || node.result(of: announce) != nil })
        {
            for question in node.questions.dropFirst(answered) {
                network.command(node) { $0.sign(question.id, key.sign(question.signable)) }
            }
            answered = node.questions.count
        }
        #expect(answered > 0)
        let lookup = network.command(network.nodes[5]) { $0.lookup(topic) }
        try network.run(seconds: 10) { network.nodes[5].result(of: lookup) != nil }
        let found = network.nodes[5].events.contains {
            if case .reply(lookup, let reply) = $0, case .peers(let peers, _) = reply.content {
                peers.contains { $0.publicKey == key.publicKey }
            } else {
                false
            }
        }
        #expect(found)
    }
}
