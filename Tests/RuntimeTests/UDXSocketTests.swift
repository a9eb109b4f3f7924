import Hyperswarm
import SansIO
import Testing
import UDX

private func pair(_ body: (UDXStream, UDXStream) async throws -> Void) async throws {
    let a = try UDXSocketHost()
    let b = try UDXSocketHost()
    do {
        let socketA = try await a.bind()
        let socketB = try await b.bind()
        let one = try await a.createStream(id: StreamID(1001))
        let two = try await b.createStream(id: StreamID(2002))
        try await one.connect(socketA, to: StreamID(2002), at: socketB.local)
        try await two.connect(socketB, to: StreamID(1001), at: socketA.local)
        try await body(one, two)
    } catch {
        await a.close()
        await b.close()
        throw error
    }
    await a.close()
    await b.close()
}

private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &+ $0 >> 8 &+ $0 >> 16) } }

@Test func bytesCrossWholeAndInOrder() async throws {
    try await pair { one, two in
        let sent = pattern(6_000_000)
        async let writing: Void = {
            for start in stride(from: 0, to: sent.count, by: 100_000) { try await one.write(Array(sent[start..<start + 100_000])) }
            try await one.finish()
        }()
        var received: [UInt8] = []
        for try await chunk in two { received += chunk }
        try await writing
        #expect(received == sent)
        try await two.write([1, 2, 3])
        try await two.flush()
        try await two.finish()
        var back: [UInt8] = []
        for try await chunk in one { back += chunk }
        #expect(back == [1, 2, 3])
        #expect(try await one.closeReason() == .finished)
        #expect(try await two.closeReason() == .finished)
        await #expect(throws: (any Error).self) { try await one.write([1]) }
    }
}

@Test func aReaderThatRestsClosesTheWindowAndTheWriterWaits() async throws {
    try await pair { one, two in
        // More than every buffer on the way holds: the writer has to wait, and its cancellation ends only the wait.
        let writer = Task {
            for _ in 0..<400 { try await one.write([UInt8](repeating: 7, count: 65_536)) }
        }
        var iterator = two.makeAsyncIterator()
        let first = try await iterator.next()
        #expect(first?.isEmpty == false)
        writer.cancel()
        await #expect(throws: CancellationError.self) { try await writer.value }
        try await one.finish()
        var total = first?.count ?? 0
        while let chunk = try await iterator.next() { total += chunk.count }
        #expect(total % 65_536 == 0 && total > 0)
    }
}

@Test func messagesAndResets() async throws {
    try await pair { one, two in
        for number in 0..<10 { try await one.send([UInt8(number)]) }
        var received: [[UInt8]] = []
        for await message in two.messages {
            received.append(message)
            if received.count == 10 { break }
        }
        #expect(received == (0..<10).map { [$0] })
        one.destroy()
        await #expect(throws: StreamFailure.self) { for try await _ in two {} }
        #expect(try await two.closeReason() == .reset)
        #expect(try await one.closeReason() == .destroyed)
        await #expect(throws: (any Error).self) { try await two.write([1]) }
    }
}

@Test func cancellingAReadTakesNothing() async throws {
    try await pair { one, two in
        let reader = Task { try await two.makeAsyncIterator().firstOrNil() }
        reader.cancel()
        await #expect(throws: CancellationError.self) { _ = try await reader.value }
        try await one.write([5])
        #expect(try await two.makeAsyncIterator().firstOrNil() == [5])
    }
}

extension UDXStream.Iterator {
    fileprivate func firstOrNil() async throws -> [UInt8]? {
        var copy = self
        return try await copy.next()
    }
}
