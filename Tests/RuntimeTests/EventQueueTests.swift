import SansIO
import Testing

@testable import NetworkSimulator

/// The calendar gives what a sorted list would: by time, then in the order of arrival, whatever lies within its ring or far beyond.
@Test(arguments: [1, 2, 3] as [UInt64]) func eventsComeInOrder(_ seed: UInt64) {
    let entropy = SeededEntropy(seed: seed)
    func draw(_ bound: UInt64) -> UInt64 { entropy.uniform(below: bound, for: EntropyLabel(.test)) }
    var queue = EventQueue()
    var reference: [(at: Instant, ticket: UInt32)] = []
    var now = Instant.zero
    var ticket: UInt32 = 0
    for _ in 0..<400 {
        for _ in 0..<draw(12) {
            // Now, soon, at the ring's end of about eight seconds, far away, never.
            let distance = [0, draw(3000), 8_388_608 - 1500 + draw(3000), draw(60_000_000), UInt64(Int64.max)][Int(draw(5))]
            let at = now + .microseconds(Int64(distance))
            ticket += 1
            queue.push(ticket, at: at)
            reference.insert((at, ticket), at: reference.firstIndex { $0.at > at } ?? reference.count)
        }
        let limit = now + .microseconds(Int64([0, draw(5000), draw(20_000_000)][Int(draw(3))]))
        while let next = queue.pop(upTo: limit) {
            guard let first = reference.first else { return #expect(Bool(false), "more comes out than went in") }
            #expect(next.at == first.at && next.ticket == first.ticket)
            reference.removeFirst()
            now = max(now, next.at)
        }
        #expect(reference.first.map { $0.at > limit } ?? true)
        now = max(now, limit)
    }
}
