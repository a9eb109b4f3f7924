import HyperCrypto
import Hyperswarm
import Noise
import SansIO
import Testing

private func keys(_ byte: UInt8) throws -> KeyPair { try #require(KeyPair(seed: [UInt8](repeating: byte, count: 32))) }

@Test(arguments: [HandshakePattern.xx, .ik]) func secretStreamsOverTCP(pattern: HandshakePattern) async throws {
    let host = try SecretStreamHost()
    var options = SecretStreamOptions()
    options.pattern = pattern
    options.keepAlive = .milliseconds(50)
    let (accepted, sink) = AsyncStream<SecretStreamConnection>.makeStream()
    let server = try keys(1)
    let listener = try await host.listen(keyPair: server, options: options) { sink.yield($0) }
    let client = try await host.connect(to: listener.local, keyPair: try keys(2), remotePublicKey: server.publicKey, options: options)
    // Written before the handshake is done; messages keep their boundaries.
    try await client.write([1, 2, 3])
    try await client.write([UInt8](repeating: 9, count: 3_000_000))
    var connections = accepted.makeAsyncIterator()
    let other = try #require(await connections.next())
    let info = try await client.info()
    let otherInfo = try await other.info()
    #expect(info.handshakeHash == otherInfo.handshakeHash && info.handshakeHash.count == 64)
    #expect(info.remotePublicKey == server.publicKey)
    #expect(otherInfo.remotePublicKey == info.publicKey)
    var messages = other.makeAsyncIterator()
    #expect(try await messages.next() == [1, 2, 3])
    #expect(try await messages.next()?.count == 3_000_000)
    try await other.write([4])
    try await other.finish()
    var back = client.makeAsyncIterator()
    #expect(try await back.next() == [4])
    #expect(try await back.next() == nil)
    try await client.finish()
    #expect(try await messages.next() == nil)
    #expect(try await client.closed() == nil)
    #expect(try await other.closed() == nil)
    await host.close()
}

@Test func aStrangerIsRefusedBeforeItLearnsAnything() async throws {
    let host = try SecretStreamHost()
    let listener = try await host.listen(keyPair: try keys(1)) { _ in }
    let client = try await host.connect(to: listener.local, keyPair: try keys(2), remotePublicKey: try keys(3).publicKey)
    await #expect(throws: StreamFailure.self) { try await client.info() }
    await host.stop(listener)
    let refused = try await host.connect(to: listener.local, keyPair: try keys(2))
    let end = try await refused.closed()
    #expect(end?.code == "ECONNRESET")
    await host.close()
}
