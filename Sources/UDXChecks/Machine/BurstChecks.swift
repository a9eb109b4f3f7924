import Conformance
import SansIO
import UDX

/// Packets that the kernel joined into one buffer: one ACK for those in order, and at once whatever the sender has to know at once.
enum BurstChecks {
    static let checks: [Check] = [
        Check("udx.burst-in-order", ["UDX-15"], .machine) { exam in
            let bench = try Bench(exam)
            burst(bench, (0..<80).map { ($0, RawPacket.data) })
            let answers = bench.takePackets()
            exam.require("pure ACKs", answers.allSatisfy { $0.type == 0 && $0.body.isEmpty })
            // Never more than 32 for one, and the last one for all.
            exam.equal("acks", answers.map(\.ack), [32, 64, 80])
            exam.equal("bytes", bench.takeBytes().count, 80)
            bench.pass(100)
            bench.expectSilence("after the burst")
        },
        Check("udx.ack-names-next", ["UDX-3"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(3)
            let data = bench.takePackets()
            exam.equal("DATA", data.map(\.seq), [0])
            // In order, then above a hole: neither ACK nor SACK consumes the number that it names.
            bench.peer(RawPacket.data, seq: 0, ack: 1)
            bench.peer(RawPacket.data, seq: 2, ack: 1)
            let answers = bench.takePackets()
            exam.equal("types", answers.map(\.type), [0, RawPacket.sack])
            exam.equal("numbers", answers.map(\.seq), [1, 1])
            try bench.write(3)
            exam.equal("the next DATA", bench.takePackets().map(\.seq), [1])
        },
        Check("udx.burst-with-end", ["UDX-15", "UDX-53"], .machine) { exam in
            let bench = try Bench(exam)
            burst(bench, [(0, RawPacket.data), (1, RawPacket.data), (2, RawPacket.data | RawPacket.end)])
            exam.equal("acks", bench.takePackets().map(\.ack), [3])
            exam.equal("bytes, then the end", bench.takeEvents(), [.data(Bench.own, [0, 1, 2]), .end(Bench.own)])
        },
        Check("udx.burst-with-holes", ["UDX-15", "UDX-16", "UDX-17"], .machine) { exam in
            let bench = try Bench(exam)
            burst(bench, [0, 1, 3, 4, 2, 2, 5, 6].map { ($0, RawPacket.data) })
            let answers = bench.takePackets()
            // In order, then two that show a hole, the one that fills it, a duplicate; the rest is in order again.
            exam.equal("acks", answers.map(\.ack), [2, 2, 5, 5, 7])
            exam.equal(
                "blocks", answers.map(\.blocks), [[Range32(start: 3, end: 4)], [Range32(start: 3, end: 5)], [], [], []])
        },
        Check("udx.burst-ends-with-destroy", ["UDX-62"], .machine) { exam in
            let bench = try Bench(exam)
            burst(bench, [(0, RawPacket.data), (1, RawPacket.destroy)])
            bench.expectSilence("a destroyed stream owes nothing")
            exam.equal("closed", bench.takeEvents().last, .closed(Bench.own, .reset))
        },
    ]

    private static func burst(_ bench: Bench, _ packets: [(seq: UInt32, type: UInt8)]) {
        bench.instance.beginBurst()
        for packet in packets {
            let raw = RawPacket(
                packet.type, id: 1, seq: packet.seq, ack: 0, body: packet.type & RawPacket.data == 0 ? [] : [UInt8(packet.seq)])
            _ = bench.instance.receive(raw.bytes, from: Bench.place, on: Bench.socket, at: bench.now)
        }
        bench.instance.endBurst()
        bench.turn()
    }
}
