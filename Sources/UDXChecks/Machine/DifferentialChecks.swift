import Conformance
import SansIO
import UDX

/// What libudx was seen to do with scripts other than the golden ones: turns of its state that the prose does not tell.
enum DifferentialChecks {
    static let checks: [Check] = [
        Check("udx.end-completed-by-sack", ["UDX-60", "UDX-58"], .machine) { exam in
            // SACK completes our direction: nothing is sent, then or when the cumulative ack follows, and the peer's end closes.
            let bench = try endedBench(exam)
            bench.peer(RawPacket.sack, body: RawPacket.sack([Range32(start: 0, end: 2)]))
            bench.expectSilence("SACK of all")
            bench.peer(0, ack: 2)
            bench.expectSilence("the cumulative ack")
            bench.peer(RawPacket.end, ack: 2)
            exam.equal("answer to END", bench.expectOne("END")?.ack, 1)
            exam.equal("closed", bench.takeEvents().last, .closed(Bench.own, .finished))

            // Not even the cumulative ack is needed.
            let early = try endedBench(exam)
            early.peer(RawPacket.sack, body: RawPacket.sack([Range32(start: 0, end: 2)]))
            early.peer(RawPacket.end, ack: 0)
            exam.equal("answer to END", early.expectOne("END")?.ack, 1)
            exam.equal("closed", early.takeEvents().last, .closed(Bench.own, .finished))

            // The END was reported before the byte: its ack completes the direction, and there is one answer in all.
            let late = try endedBench(exam)
            late.peer(RawPacket.sack, body: RawPacket.sack([Range32(start: 1, end: 2)]))
            _ = late.take()
            late.peer(0, ack: 1)
            exam.equal("answer", late.expectOne("ack 1")?.type, 0)
            late.peer(0, ack: 2)
            late.expectSilence("ack 2")
        },
        Check("udx.held-beyond-end", ["UDX-56", "UDX-17"], .machine) { exam in
            let bench = try Bench(exam)
            bench.peer(RawPacket.data, seq: 2, body: [1])
            _ = bench.take()
            bench.peer(RawPacket.end, seq: 0)
            exam.equal("held beyond the end", bench.expectOne("END 0")?.blocks, [Range32(start: 2, end: 3)])
            exam.equal("the end", bench.takeEvents(), [.end(Bench.own)])
            bench.peer(RawPacket.data, seq: 3, body: [1])
            exam.equal("nothing new is held", bench.expectOne("DATA 3")?.blocks, [Range32(start: 2, end: 3)])
            exam.equal("events", bench.takeEvents(), [])
        },
        Check("udx.end-half-a-turn-away", ["UDX-53", "UDX-9"], .machine) { exam in
            // By serial arithmetic an END 2^31 ahead is not after rcv.nxt: the end comes at once, as the last END seen says.
            let bench = try Bench(exam)
            bench.peer(RawPacket.data, seq: 0, body: [1])
            bench.peer(RawPacket.end, seq: 0x8000_0001)
            exam.equal("answers", bench.takePackets().map(\.ack), [1, 1])
            exam.equal("events", bench.takeEvents(), [.data(Bench.own, [1]), .end(Bench.own)])
        },
        Check("udx.end-too-far-to-hold", ["UDX-53", "UDX-40"], .machine) { exam in
            // An END that is dropped since nothing so far ahead is held ends nothing when its turn comes: its bytes are still to come.
            var limits = UDXLimits()
            limits.reorderingSpan = 4
            let bench = try Bench(exam, limits: limits)
            bench.peer(RawPacket.data | RawPacket.end, seq: 6, body: [6])
            for seq in 0..<6 as Range<UInt32> { bench.peer(RawPacket.data, seq: seq, body: [UInt8(seq)]) }
            exam.equal("answers", bench.takePackets().map(\.ack), [0, 1, 2, 3, 4, 5, 6])
            exam.equal("events before it", bench.takeEvents(), (0..<6).map { .data(Bench.own, [$0]) })
            bench.peer(RawPacket.data | RawPacket.end, seq: 6, body: [6])
            exam.equal("answer to END", bench.expectOne("END")?.ack, 7)
            exam.equal("its byte, then the end", bench.takeEvents(), [.data(Bench.own, [6]), .end(Bench.own)])
        },
        Check("udx.window-after-timeout", ["UDX-51"], .machine) { exam in
            // A timeout alone takes nothing off the congestion window.
            let bench = try Bench(exam)
            try bench.write(40_000)
            bench.pass(2300)
            exam.equal("sent twice", bench.take().count, 20)
            bench.peer(0, ack: 8)
            exam.equal("new packets", bench.takePackets().map(\.seq), Array(10..<26))
        },
        Check("udx.window-after-rest", ["UDX-51", "UDX-52"], .machine) { exam in
            // After a rest with nothing in flight the whole window leaves at once.
            let bench = try Bench(exam)
            try bench.write(40_000)
            for ack: UInt32 in [10, 20, 30, 35] {
                bench.pass(60)
                bench.peer(0, ack: ack)
            }
            bench.pass(100)
            _ = bench.take()
            try bench.write(60_000)
            exam.equal("sent in the same millisecond", bench.takePackets().map(\.seq), Array(35..<65))
        },
        Check("udx.half-a-turn-away", ["UDX-23", "UDX-9"], .machine) { exam in
            // 2^31 ahead of what was sent is ahead: the data is taken, nothing is answered.
            let bench = try Bench(exam)
            try bench.write(5)
            _ = bench.take()
            bench.peer(RawPacket.data, seq: 0, ack: 0x8000_0001, body: [1])
            bench.peer(RawPacket.data, seq: 1, ack: 0x8000_0000, body: [2])
            bench.expectSilence("wild acks")
            bench.peer(RawPacket.data, seq: 2, ack: 1, body: [3])
            exam.equal("answer", bench.expectOne("DATA 2")?.ack, 3)
        },
    ]

    /// Five bytes in packet 0 and END in packet 1, both out.
    private static func endedBench(_ exam: Examination) throws -> Bench {
        let bench = try Bench(exam)
        try bench.write(5)
        try bench.instance.end(Bench.own, now: bench.now)
        bench.turn()
        exam.equal("sent", bench.takePackets().map(\.seq), [0, 1])
        return bench
    }
}
