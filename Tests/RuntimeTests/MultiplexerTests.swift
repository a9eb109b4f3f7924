import Hyperswarm
import Protomux
import Testing

/// One end of a pipe in memory that never says that it is full, and counts what is taken from it.
private struct Pipe: DuplexStream {
    typealias Element = [UInt8]
    let incoming: AsyncStream<[UInt8]>
    let outgoing: AsyncStream<[UInt8]>.Continuation
    let pulled = Counter()
    private let closing = AsyncStream<Never>.makeStream()

    static func pair() -> (Pipe, Pipe) {
        let (a, toA) = AsyncStream<[UInt8]>.makeStream()
        let (b, toB) = AsyncStream<[UInt8]>.makeStream()
        return (Pipe(incoming: a, outgoing: toB), Pipe(incoming: b, outgoing: toA))
    }

    func write(_ bytes: [UInt8]) async throws { outgoing.yield(bytes) }
    func writeNow(_ bytes: [UInt8]) throws -> Bool {
        outgoing.yield(bytes)
        return true
    }
    func waitForRoom() async throws {}
    func finish() async throws { outgoing.finish() }
    func flush() async throws {}
    func send(_ message: [UInt8]) async throws { throw StreamClosed() }
    var messages: Arrivals<[UInt8]> { .none }
    func destroy() {
        outgoing.finish()
        closing.continuation.finish()
    }
    var hasRemoteEnded: Bool { false }
    func closed() async throws -> StreamFailure? {
        for await _ in closing.stream {}
        return nil
    }

    struct Iterator: AsyncIteratorProtocol {
        var base: AsyncStream<[UInt8]>.Iterator
        let pulled: Counter
        mutating func next() async throws -> [UInt8]? {
            let next = await base.next()
            await pulled.add()
            return next
        }
    }
    func makeAsyncIterator() -> Iterator { Iterator(base: incoming.makeAsyncIterator(), pulled: pulled) }
}

@Test func whatNobodyTakesHoldsTheConnectionBack() async throws {
    let (one, two) = Pipe.pair()
    let bulk = ChannelOptions(ChannelKey("bulk"), messageCount: 1)
    let sender = try Multiplexer(
        one, opening: [(bulk, handshake: []), (ChannelOptions(ChannelKey("idle"), messageCount: 1), handshake: [])])
    let reader = try Multiplexer(
        two, opening: [(bulk, handshake: []), (ChannelOptions(ChannelKey("idle"), messageCount: 1), handshake: [])])
    _ = try await sender.opened[0].opened()
    for _ in 0..<300 { try sender.opened[0].sendNow([UInt8](repeating: 1, count: 65_536)) }
    // 4 MiB are 64 of these; then reading stops, however long nobody takes.
    while await two.pulled.count < 60 { await Task.yield() }
    for _ in 0..<20_000 { await Task.yield() }
    let stopped = await two.pulled.count
    #expect(stopped < 80)
    // Taking lets it go on, and so does closing the channel.
    var messages = reader.opened[0].messages.makeAsyncIterator()
    for _ in 0..<100 { #expect(await messages.next()?.payload.count == 65_536) }
    reader.opened[0].close()
    while await two.pulled.count < 300 { await Task.yield() }
    try sender.opened[1].sendNow([9])
    var idle = reader.opened[1].messages.makeAsyncIterator()
    #expect(await idle.next()?.payload == [9])
    one.destroy()
    two.destroy()
    _ = try await (sender.opened[1].closed(), reader.opened[1].closed())
}

@Test func aMultiplexerGoesWithItsConnection() async throws {
    let (one, two) = Pipe.pair()
    let chat = ChannelOptions(ChannelKey("chat"), messageCount: 1)
    weak var (here, there): (Multiplexer?, Multiplexer?) = (nil, nil)
    let channels = try {
        let (a, b) = (try Multiplexer(one, opening: [(chat, handshake: [])]), try Multiplexer(two, opening: [(chat, handshake: [])]))
        (here, there) = (a, b)
        return [a.opened[0], b.opened[0]]
    }()
    for channel in channels { _ = try await channel.opened() }
    try await channels[0].send([1])
    var messages = channels[1].messages.makeAsyncIterator()
    #expect(await messages.next()?.payload == [1])
    one.destroy()
    two.destroy()
    for channel in channels { _ = try await channel.closed() }
    // What still reads ends by itself.
    for _ in 0..<100_000 where here != nil || there != nil { await Task.yield() }
    #expect(here == nil && there == nil)
    // A channel that is kept does nothing any more.
    await #expect(throws: StreamClosed.self) { try await channels[0].send([2]) }
    channels[0].close()
}

@Test(.timeLimit(.minutes(1))) func theEndOfAConnectionIsNoticedWhileNobodyTakes() async throws {
    let (one, two) = Pipe.pair()
    let bulk = ChannelOptions(ChannelKey("bulk"), messageCount: 1)
    let sender = try Multiplexer(one, opening: [(bulk, handshake: [])])
    let reader = try Multiplexer(two, opening: [(bulk, handshake: [])])
    _ = try await sender.opened[0].opened()
    for _ in 0..<100 { try sender.opened[0].sendNow([UInt8](repeating: 1, count: 65_536)) }
    while await two.pulled.count < 60 { await Task.yield() }
    one.destroy()
    two.destroy()
    #expect(try await reader.opened[0].closed())
    // What had arrived may still be taken.
    var count = 0
    for await _ in reader.opened[0].messages { count += 1 }
    #expect(count == 100)
}
