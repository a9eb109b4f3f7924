import CompactEncoding
import HyperCrypto
import HyperDHT
import Hyperswarm
import Protomux
import SansIO
import Testing

/// A network, and what is done on it; taken down whatever happens.
private func onNetwork(_ count: Int = 6, _ body: (LocalNetwork) async throws -> Void) async throws {
    let network = try await LocalNetwork(count: count)
    do { try await body(network) } catch {
        await network.stop()
        throw error
    }
    await network.stop()
}

private func node(_ network: LocalNetwork, _ seed: UInt8) async throws -> HyperDHT {
    var options = HyperDHTOptions()
    options.host = .loopback
    options.port = 0
    options.bootstrap = [.init(network.bootstrap)]
    options.keyPair = KeyPair(seed: [UInt8](repeating: seed, count: 32))
    let node = try await HyperDHT(options)
    try await node.ready()
    return node
}

private func swarm(_ network: LocalNetwork, _ seed: UInt8, _ configure: (inout HyperswarmOptions) -> Void = { _ in }) async throws
    -> Hyperswarm
{
    var options = HyperswarmOptions(bootstrap: [network.bootstrap])
    options.dht.host = .loopback
    options.dht.port = 0
    options.dht.keyPair = KeyPair(seed: [UInt8](repeating: seed, count: 32))
    configure(&options)
    return try await Hyperswarm(options)
}

@Test func recordsServersAndConnections() async throws {
    try await onNetwork { network in
        let a = try await node(network, 1)
        let b = try await node(network, 2)
        let topic = Blake2b.hash256([1])
        try await a.announce(topic)
        var found: [Bytes32] = []
        for try await peer in b.peers(of: topic) { found.append(peer.publicKey) }
        #expect(found == [a.defaultKeyPair.publicKey])
        let stored = try await a.immutablePut([1, 2, 3])
        #expect(try await b.immutableGet(stored.hash)?.value == [1, 2, 3])
        #expect(try await b.immutableGet(topic) == nil)
        try await a.mutablePut(a.defaultKeyPair, seq: 4, value: [9])
        let record = try await b.mutableGet(a.defaultKeyPair.publicKey)
        #expect(record?.record.value == [9] && record?.record.seq == 4)

        let server = try await a.createServer()
        let connection = try await b.dial(a.defaultKeyPair.publicKey)
        try await connection.write([5])
        try await connection.write([])
        try await connection.write([UInt8](repeating: 6, count: 500_000))
        var accepted = server.connections.makeAsyncIterator()
        let other = try #require(await accepted.next())
        #expect(other.remotePublicKey == b.defaultKeyPair.publicKey)
        #expect(try await connection.opened().handshakeHash == other.handshakeHash)
        var messages = other.makeAsyncIterator()
        #expect(try await messages.next() == [5])
        let second = try await messages.next()
        let third = second == [] ? try await messages.next() : second
        #expect(third?.count == 500_000)
        try await connection.flush()
        try await connection.send([7])
        var unordered = other.messages.makeAsyncIterator()
        #expect(await unordered.next() == [7])
        try await other.finish()
        var back = connection.makeAsyncIterator()
        #expect(try await back.next() == nil)
        try await connection.finish()
        #expect(try await connection.closed() == nil)
        try await server.close()
        await #expect(throws: StreamFailure.self) {
            try await b.connect(to: KeyPair(seed: [UInt8](repeating: 77, count: 32))?.publicKey ?? .zero)
        }
        await a.destroy()
        await b.destroy()
        await #expect(throws: (any Error).self) { try await a.lookup(topic) }
    }
}

@Test func swarmsFindEachOther() async throws {
    try await onNetwork { network in
        let topic = Blake2b.hash256([2])
        let swarms = [try await swarm(network, 1), try await swarm(network, 2), try await swarm(network, 3)]
        // One after the other: a lookup finds what was announced before it.
        for swarm in swarms {
            try await swarm.join(topic)
            #expect(try await swarm.flush())
        }
        // Everybody gets to everybody, once.
        for swarm in swarms {
            var peers: Set<Bytes32> = []
            for await connection in swarm.connections {
                if let key = connection.remotePublicKey { peers.insert(key) }
                if peers.count == 2 { break }
            }
            #expect(!peers.contains(swarm.publicKey))
        }
        try await swarms[0].leave(topic)
        #expect(try await swarms[0].flush())
        await #expect(throws: (any Error).self) { try await swarms[0].join([UInt8](repeating: 1, count: 31)) }
        for swarm in swarms { await swarm.destroy() }
        await #expect(throws: (any Error).self) { try await swarms[0].join(topic) }
    }
}

@Test func membersProveTheSecretAndStrangersAreRefused() async throws {
    try await onNetwork { network in
        let topic = Blake2b.hash256([3])
        let secret = [UInt8](repeating: 8, count: 32)
        let server = try await swarm(network, 1)
        let member = try await swarm(network, 2)
        let stranger = try await swarm(network, 3)
        try await server.join(topic, client: false)
        #expect(try await server.flush())
        try await member.join(topic, server: false)
        try await stranger.join(topic, server: false)
        var atMember = member.connections.makeAsyncIterator()
        var atStranger = stranger.connections.makeAsyncIterator()
        var atServer = server.connections.makeAsyncIterator()
        let connections = [try #require(await atServer.next()), try #require(await atServer.next())]
        let toServer = [try #require(await atMember.next()), try #require(await atStranger.next())]
        let fromMember = Task { try await toServer[0].proveCapability(secret) }
        let fromStranger = Task { try await toServer[1].proveCapability([UInt8](repeating: 9, count: 32)) }
        for connection in connections {
            if connection.remotePublicKey == member.publicKey {
                try await connection.proveCapability(secret)
            } else {
                await #expect(throws: StreamFailure.self) { try await connection.proveCapability(secret) }
            }
        }
        try await fromMember.value
        await #expect(throws: StreamFailure.self) { try await fromStranger.value }
        for swarm in [server, member, stranger] { await swarm.destroy() }
    }
}

@Test func theFirewallKeepsPeersOut() async throws {
    try await onNetwork { network in
        let topic = Blake2b.hash256([4])
        let friend = try #require(KeyPair(seed: [UInt8](repeating: 2, count: 32)))
        let server = try await swarm(network, 1) { $0.swarm.firewall = .allow([friend.publicKey]) }
        try await server.join(topic, client: false)
        #expect(try await server.flush())
        let outsider = try await swarm(network, 3)
        try await outsider.join(topic, server: false)
        let insider = try await swarm(network, 2)
        try await insider.join(topic, server: false)
        var incoming = server.connections.makeAsyncIterator()
        let connection = try #require(await incoming.next())
        #expect(connection.remotePublicKey == friend.publicKey)
        var bans = server.events.makeAsyncIterator()
        var banned: Bytes32?
        while banned == nil, let event = await bans.next() { if case .banned(let key, true) = event { banned = key } }
        #expect(banned == outsider.publicKey)
        for swarm in [server, outsider, insider] { await swarm.destroy(force: true) }
    }
}

@Test func channelsShareAConnection() async throws {
    try await onNetwork(2) { network in
        let a = try await node(network, 1)
        let b = try await node(network, 2)
        let server = try await a.createServer()
        let connection = try await b.connect(to: server.publicKey)
        var accepted = server.connections.makeAsyncIterator()
        let other = try #require(await accepted.next())
        let chat = ChannelOptions(ChannelKey("chat"), messageCount: 2)
        let here = try Multiplexer(connection, opening: [(chat, handshake: [1])])
        let there = try Multiplexer(other, opening: [(chat, handshake: [2])])
        #expect(try await here.opened[0].opened() != nil)
        try await here.opened[0].send(type: 1, [5, 6])
        var messages = there.opened[0].messages.makeAsyncIterator()
        #expect(await messages.next() == MuxChannel.Message(type: 1, payload: [5, 6]))
        there.opened[0].close()
        #expect(try await here.opened[0].closed())
        await a.destroy()
        await b.destroy()
    }
}
