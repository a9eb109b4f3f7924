import Conformance
import HyperDHT
import NetworkSimulator
import SansIO
import Testing

@testable import DHTChecks

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
