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
                peers.insert(connection.remotePublicKey)
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
        let secret = Capability(secret: Blake2b.hash256([8]))
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
        let fromMember = Task { try await toServer[0].prove(secret) }
        let fromStranger = Task { try await toServer[1].prove(Capability(secret: Blake2b.hash256([9]))) }
        for connection in connections {
            if connection.remotePublicKey == member.publicKey {
                try await connection.prove(secret)
            } else {
                await #expect(throws: StreamFailure.self) { try await connection.prove(secret) }
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
        // Another list, from now on: who is on it no more is sent away, who was not may come.
        try await server.setFirewall(.allow([outsider.publicKey]))
        #expect(try await connection.closed()?.code == "PEER_REFUSED")
        try await outsider.listen()
        for await event in outsider.events where event == .listening { break }
        try await server.joinPeer(outsider.publicKey)
        #expect(await incoming.next()?.remotePublicKey == outsider.publicKey)
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

@Test func aConnectionOpensOnlyTheRoomsOfWhichItsPeerIsAMember() async throws {
    try await onNetwork(2) { network in
        let a = try await node(network, 1)
        let b = try await node(network, 2)
        let server = try await a.createServer(admitting: [b.defaultKeyPair.publicKey])
        let connection = try await b.connect(to: server.publicKey)
        var accepted = server.connections.makeAsyncIterator()
        let other = try #require(await accepted.next())
        let room = ChannelOptions(ChannelKey("room"), messageCount: 1)
        let secrets = (0..<3).map { Capability(secret: Blake2b.hash256([UInt8($0)])) }
        // Both know the first secret; the second is known to one, the third to the other.
        let here = try await Multiplexer(connection, guarded: [(room, secrets[0]), (room, secrets[1])])
        let there = try await Multiplexer(other, guarded: [(room, secrets[0]), (room, secrets[2])])
        #expect(throws: StreamFailure.self) { try here.opened[1].sendNow([1]) }
        #expect(try await here.opened[0].opened()?.count == 32)
        #expect(try await there.opened[0].opened() != nil)
        for stranger in [here.opened[1], there.opened[1]] {
            await #expect(throws: StreamFailure.self) { _ = try await stranger.opened() }
        }
        try await here.opened[0].send([5])
        var messages = there.opened[0].messages.makeAsyncIterator()
        #expect(await messages.next()?.payload == [5])
        await a.destroy()
        await b.destroy()
    }
}

@Test func cancellingEndsTheWaitAndNothingElse() async throws {
    try await onNetwork(2) { network in
        let a = try await node(network, 1)
        let b = try await node(network, 2)
        let server = try await a.createServer()
        // An iteration that is cancelled leaves the sequence to others.
        let waiting = Task { await server.connections.first { _ in true } }
        waiting.cancel()
        #expect(await waiting.value == nil)
        let connection = try await b.connect(to: server.publicKey)
        var accepted = server.connections.makeAsyncIterator()
        let other = try #require(await accepted.next())
        // A write that is cancelled while it waits has written nothing: what arrives is what was returned from.
        let piece = [UInt8](repeating: 7, count: 65_536)
        let written = Counter()
        let writer = Task {
            while true {
                try await connection.write(piece)
                await written.add()
            }
        }
        var messages = other.makeAsyncIterator()
        _ = try await messages.next()
        writer.cancel()
        await #expect(throws: CancellationError.self) { try await writer.value }
        try await connection.finish()
        var count = 1
        while try await messages.next() != nil { count += 1 }
        #expect(await count == written.count)
        // A dial that is cancelled is dropped, and a service that is cancelled has taken leave when it returns.
        let dial = Task { try await b.connect(to: Blake2b.hash256([9])) }
        dial.cancel()
        await #expect(throws: (any Error).self) { _ = try await dial.value }
        let service = Task { await a.run() }
        service.cancel()
        await service.value
        await #expect(throws: (any Error).self) { try await a.info() }
        let second = Task { await b.run() }
        await b.destroy()
        await second.value
    }
}

@Test func topicsHaveNodesHash() {
    // What hypercore-crypto says: hash(Buffer.from('kitchen')).
    #expect(Bytes32.topic(named: "kitchen").description == "2ba036b21414f9e10ead3ec9d256d93f66d98ee797968a70033122e0868d624d")
}

@Test func aBootstrapNodeHasAnAddress() {
    #expect(throws: StreamFailure.self) { try HyperswarmOptions(bootstrap: ["nonsense"]) }
}

@Test(.timeLimit(.minutes(1))) func aNodeThatIsGoneAnswersAtOnceAlthoughItsLoopLives() async throws {
    let loop = try EventLoop()
    var options = HyperDHTOptions.bootstrapper(.loopback(0))
    options.port = 0
    let gone = try await HyperDHT(options, loop: loop)
    await gone.destroy()
    await #expect(throws: (any Error).self) { _ = try await gone.ping(.loopback(1)) }
    await #expect(throws: EventLoopEnded.self) { _ = try await gone.info() }
    await #expect(throws: EventLoopEnded.self) { _ = try await gone.createServer() }
    await #expect(throws: EventLoopEnded.self) { try await gone.suspend() }
    await gone.destroy()
    await loop.stop()
}

@Test(.timeLimit(.minutes(1))) func aSwarmTakesLeaveHoweverOftenItIsAskedTo() async throws {
    try await onNetwork { network in
        let topic = Blake2b.hash256([6])
        let looker = try await node(network, 2)
        let leaving = try await swarm(network, 1)
        try await leaving.join(topic, client: false)
        #expect(try await leaving.flush())
        // Crossing changes of life come to an end, each of them.
        async let asleep: Void = leaving.suspend()
        async let awake: Void = leaving.resume()
        _ = try await (asleep, awake)
        try await leaving.resume()
        #expect(try await leaving.flush())
        var found = 0
        for try await _ in looker.peers(of: topic) { found += 1 }
        #expect(found == 1)
        async let once: Void = leaving.destroy()
        async let twice: Void = leaving.destroy()
        _ = await (once, twice)
        for try await _ in looker.peers(of: topic) { found += 1 }
        #expect(found == 1)
        // Taken down from below, its sequences end as well.
        let cut = try await swarm(network, 3)
        await cut.dht.destroy(force: true)
        for await _ in cut.connections {}
        for await _ in cut.events {}
        await looker.destroy(force: true)
    }
}
