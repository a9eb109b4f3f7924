import SansIO
import Testing

@testable import Hyperswarm

#if canImport(Glibc)
    import Glibc
#endif

/// Waits for datagrams without sleeping: poll(2) returns as soon as one is there.
private func receiveAll(_ socket: DatagramSocket, count: Int) -> [(payload: [UInt8], source: Endpoint)] {
    var result: [(payload: [UInt8], source: Endpoint)] = []
    while result.count < count {
        var poller = pollfd(fd: socket.fd, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, 2000) > 0 else { break }
        _ = socket.receive { bytes, range, source in result.append((Array(bytes[range]), source)) }
    }
    return result
}

private func options(offload: Bool) -> DatagramOptions {
    var options = DatagramOptions()
    options.offload = offload
    return options
}

@Test(arguments: [false, true]) func batchesArriveWholeAndInOrder(offload: Bool) throws {
    let arena = DatagramArena()
    let a = try DatagramSocket(.v4, local: .loopback(0), options: options(offload: offload), arena: arena)
    let b = try DatagramSocket(.v4, local: .loopback(0), options: options(offload: offload), arena: arena)
    var sent: [[UInt8]] = []
    for number in 0..<200 {
        // Equal runs, short ends, an empty one, one that only fragments: every shape of a batch.
        let size = number % 40 == 39 ? 0 : number % 17 == 16 ? 300 : number == 100 ? 1900 : 1172
        sent.append([UInt8](repeating: UInt8(number), count: size))
        a.enqueue(
            Transmit(
                socket: SocketID(1), destination: b.local, payload: sent[number], timeToLive: number == 7 ? 5 : 0,
                dontFragment: number != 100))
    }
    #expect(a.flush())
    #expect(a.counters.datagramsSent == 200)
    let received = receiveAll(b, count: 200)
    #expect(received.map(\.payload) == sent)
    #expect(received.allSatisfy { $0.source == a.local })
    #expect(offload ? a.counters.systemCalls < 20 : a.counters.systemCalls >= 4)
}

@Test func everyFailedSendIsAnEventAndNotTheEnd() throws {
    let arena = DatagramArena()
    let a = try DatagramSocket(.v4, local: Endpoint(.any, 0), arena: arena)
    let b = try DatagramSocket(.v4, local: .loopback(0), arena: arena)
    let bad: [(Endpoint, Int)] = [
        (Endpoint(.loopback, 0), 5),  // port 0
        (Endpoint(.v4(0xffff_ffff), 9), 5),  // broadcast without permission
        (b.local, 65_600),  // longer than IP allows
        (Endpoint(.v6(0, 1), 9), 5),  // the wrong family
    ]
    for (destination, size) in bad {
        a.enqueue(Transmit(socket: SocketID(1), destination: destination, payload: [UInt8](repeating: 1, count: size)))
        a.enqueue(Transmit(socket: SocketID(1), destination: b.local, payload: [42]))
    }
    #expect(a.flush())
    #expect(receiveAll(b, count: bad.count).map(\.payload) == bad.map { _ in [42] })
    let failures = a.takeFailures()
    #expect(Set(failures.map(\.code)).isSuperset(of: [EINVAL, EACCES, EMSGSIZE]))
    #expect(failures.count >= 3)
}

@Test func oneSocketOfBothFamilies() throws {
    let arena = DatagramArena()
    let dual = try DatagramSocket(.dual, local: Endpoint(.v6(0, 0), 0), arena: arena)
    let four = try DatagramSocket(.v4, local: .loopback(0), arena: arena)
    dual.enqueue(Transmit(socket: SocketID(1), destination: four.local, payload: [4], timeToLive: 3))
    #expect(dual.flush())
    let atFour = receiveAll(four, count: 1)
    #expect(atFour.first?.source == .loopback(dual.local.port))
    four.enqueue(Transmit(socket: SocketID(1), destination: .loopback(dual.local.port), payload: [5]))
    #expect(four.flush())
    let atDual = receiveAll(dual, count: 1)
    // An IPv4 sender is named as IPv4.
    #expect(atDual.first?.source == four.local)
}

@Test func aFullBufferKeepsTheRestInOrder() throws {
    let arena = DatagramArena()
    var small = options(offload: false)
    small.sendBufferBytes = 1
    small.queueLimit = 1500
    let a = try DatagramSocket(.v4, local: .loopback(0), options: small, arena: arena)
    for number in 0..<2000 {
        a.enqueue(Transmit(socket: SocketID(1), destination: a.local, payload: [UInt8(number & 255), UInt8(number >> 8)]))
    }
    #expect(a.counters.queueDrops == 500)
    var order: [Int] = []
    while order.count < 1500 {
        _ = a.flush()
        var got = 0
        while a.receive({ bytes, range, _ in order.append(Int(bytes[range.lowerBound]) | Int(bytes[range.lowerBound + 1]) << 8) }) > 0 {
            got += 1
        }
        if got == 0, a.counters.kernelDrops > 0 || !a.hasQueue { break }
    }
    #expect(order == order.sorted())
    #expect(order.last == 1499)
}

@Test func aLoopRunsCommandsInOrderAndEnds() async throws {
    let loop = try EventLoop()
    let numbers = Locked<[Int]>([])
    for number in 0..<1000 { loop.submit { numbers.withLock { $0.append(number) } } }
    let seen = try await loop.perform { numbers.withLock { $0 } }
    #expect(seen == Array(0..<1000))
    await loop.stop()
    await loop.stop()
    #expect(!loop.submit {})
    await #expect(throws: EventLoopEnded.self) { try await loop.perform { 1 } }
}

/// More sockets are ready at once than one call of the poller can tell.
@Test func aLoopServesMoreSocketsThanOnePollTells() async throws {
    let loop = try EventLoop()
    let received = Locked(0)
    let count = 200
    let (done, sink) = AsyncStream<Void>.makeStream()
    try await loop.perform {
        let counter = EachDatagram {
            if received.withLock({
                $0 += 1; return $0
            }) == count {
                sink.finish()
            }
        }
        let sockets = SocketSet(loop: loop, receiver: counter)
        // All datagrams are waiting when the loop looks for the first time.
        for number in 1...count {
            let local = try sockets.open(SocketID(UInt32(number)), .loopback(0), options: DatagramOptions())
            var transmits = [Transmit(socket: SocketID(UInt32(number)), destination: local, payload: [1])]
            sockets.send(&transmits)
        }
        loop.add(Holder(sockets, counter))
    }
    for await _ in done {}
    #expect(received.withLock { $0 } == count)
    await loop.stop()
}

/// Does one thing for each datagram.
private final class EachDatagram: DatagramReceiver {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
    func receive(_ bytes: [UInt8], _ range: Range<Int>, from source: Endpoint, on socket: SocketID) { body() }
    func burst(begins: Bool) {}
}

/// Keeps sockets for as long as a loop runs.
private final class Holder: LoopDriver {
    let sockets: SocketSet
    let receiver: EachDatagram
    init(_ sockets: SocketSet, _ receiver: EachDatagram) { (self.sockets, self.receiver) = (sockets, receiver) }
    func turn(now: Instant) -> Instant { .distantFuture }
    func loopEnded() { sockets.closeAll() }
}
