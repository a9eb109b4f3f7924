import Conformance
import SansIO
import UDX

/// Hardening: memory, work, random bytes, ids.
enum LimitChecks {
    static let checks: [Check] = [
        Check("udx.random-ids", ["UDX-14"], .machine) { exam in
            let instance = UDXInstance(entropy: SeededEntropy(seed: exam.seed))
            var ids: Set<StreamID> = []
            for _ in 0..<1000 { ids.insert(try instance.createStream(at: .zero)) }
            exam.equal("different ids", ids.count, 1000)
            let tops = Set(ids.map { $0.rawValue >> 24 })
            exam.require("values of the top byte", tops.count > 200, "\(tops.count)")
            exam.refuses("an id that is taken") { try instance.createStream(id: ids.first, at: .zero) }
        },
        Check("udx.far-ahead", ["UDX-40"], .machine) { exam in
            let bench = try Bench(exam)
            for seq: UInt32 in [1_000_000, 1_000_000 + 1 << 30, 65_537] {
                bench.peer(RawPacket.data, seq: seq, body: [1, 2, 3])
                let answer = bench.expectOne("DATA \(seq)")
                exam.equal("ack", answer?.ack, 0)
                exam.equal("type", answer?.type, 0)
                exam.equal("held packets", bench.statistics?.packetsHeldOutOfOrder, 0)
            }
            exam.equal("drops", bench.instance.drops.first?.reason, .tooFarAhead)
            bench.peer(RawPacket.data, seq: 0, body: [7])
            exam.equal("the stream goes on: ack", bench.expectOne("DATA 0")?.ack, 1)
        },
        Check("udx.held-bytes-bounded", ["UDX-40", "UDX-20"], .machine) { exam in
            var limits = UDXLimits()
            limits.receiveWindow = 300_000
            let bench = try Bench(exam, limits: limits)
            let body = [UInt8](repeating: 9, count: 1152)
            for seq: UInt32 in 1...400 { bench.peer(RawPacket.data, seq: seq, body: body) }
            let held = bench.statistics?.packetsHeldOutOfOrder ?? 0
            exam.require(
                "held bytes", (bench.statistics?.bytesHeldOutOfOrder ?? .max) <= 300_000, "\(bench.statistics?.bytesHeldOutOfOrder ?? -1)")
            exam.require("held packets", held >= 200, "\(held)")
            // What is reported is kept: the last SACK names exactly what is held, and all of it is delivered.
            let answers = bench.takePackets()
            exam.equal("answers", answers.count, 400)
            exam.equal("reported", answers.last?.blocks, [Range32(start: 1, end: UInt32(held + 1))])
            bench.peer(RawPacket.data, seq: 0, body: body)
            exam.equal("delivered", bench.takeBytes().count, (held + 1) * 1152)
            exam.equal("ack", bench.expectOne("DATA 0")?.ack, UInt32(held + 1))
        },
        Check("udx.sack-abuse", ["UDX-79", "UDX-24"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(4)
            _ = bench.take()
            let huge = RawPacket.sack([Range32(start: 0, end: 0x7fff_ffff)])
            for _ in 0..<1000 { bench.peer(RawPacket.sack, body: huge) }
            bench.expectSilence("after 1000 huge blocks")
            exam.equal("unacknowledged packets in flight", bench.statistics?.packetsInFlight, 1)
            bench.peer(RawPacket.data, seq: 0, body: [1, 2, 3])
            exam.equal("ack", bench.expectOne("DATA 0")?.ack, 1)
            // The blocks released nothing: the packet is still sent again.
            bench.pass(1000)
            exam.equal("retransmitted seq", bench.takePackets().first { $0.has(RawPacket.data) }?.seq, 0)
            // A datagram full of good blocks costs no more than what is outstanding.
            let many = RawPacket.sack([Range32](repeating: Range32(start: 0, end: 1), count: 250))
            bench.peer(RawPacket.sack, seq: 1, body: many)
            exam.equal("in flight", bench.statistics?.packetsInFlight, 0)
        },
        Check("udx.all-types-all-offsets", ["UDX-78", "UDX-4", "UDX-7"], .machine) { exam in
            let entropy = SeededEntropy(seed: exam.seed)
            var bench = try Bench(exam)
            for type in UInt8.min...UInt8.max {
                for offset in stride(from: 0, through: 255, by: 15) {
                    let length = Int(entropy.uniform(below: 300, for: EntropyLabel(.test)))
                    let isAbort = type & RawPacket.destroy != 0 && type & RawPacket.heartbeat == 0 && offset <= length
                    let body = entropy.bytes(length, for: EntropyLabel(.test, 1))
                    // END would end the peer's direction and an ack beyond what was sent would end the packet: both are tried elsewhere.
                    bench.peer(type & ~RawPacket.end, seq: bench.statistics?.nextExpected.rawValue ?? 0, offset: UInt8(offset), body: body)
                    if isAbort { bench = try Bench(exam) }
                    guard bench.statistics != nil else {
                        return exam.report("type \(type), offset \(offset)", expected: "a live stream", actual: "closed")
                    }
                }
            }
            _ = bench.take()
            bench.peer(RawPacket.heartbeat)
            exam.equal("the stream answers", bench.takePackets().count, 1)
        },
        Check("udx.random-packets", ["UDX-78"], .machine) { exam in
            let entropy = SeededEntropy(seed: exam.seed)
            var bench = try Bench(exam)
            for length in 0...2048 {
                var bytes = entropy.bytes(length, for: EntropyLabel(.test))
                if length >= 20 { bytes.replaceSubrange(0..<8, with: [0xff, 1, bytes[2] & ~RawPacket.destroy, bytes[3], 1, 0, 0, 0]) }
                // Half of them near the numbers in use.
                if length >= 20 && length.isMultiple(of: 2) { bytes.replaceSubrange(13..<20, with: repeatElement(0, count: 7)) }
                if length.isMultiple(of: 100) { try? bench.write(3000) }
                bench.datagram(bytes)
                if length.isMultiple(of: 64) { bench.pass(50) }
                if let statistics = bench.statistics {
                    exam.require("held bytes", statistics.bytesHeldOutOfOrder <= 4_194_304)
                    exam.require("unacknowledged", statistics.packetsInFlight <= 4096)
                } else {
                    bench = try Bench(exam)
                }
            }
            let fresh = try Bench(exam)
            fresh.peer(RawPacket.data, body: [1])
            exam.equal("a fresh stream acknowledges", fresh.expectOne("DATA")?.ack, 1)
        },
    ]
}
