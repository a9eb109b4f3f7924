import Conformance
import SansIO
import UDX

/// Life cycle, firewall rules, transfers whole.
enum LifeChecks {
    static let checks: [Check] = [
        Check("udx.hole-of-two", ["UDX-18", "UDX-17"], .machine) { exam in
            let bench = try Bench(exam)
            bench.peer(RawPacket.data, seq: 2, body: [3])
            exam.equal("blocks", bench.expectOne("DATA 2")?.blocks, [Range32(start: 2, end: 3)])
            bench.peer(RawPacket.data, seq: 9, body: [3])
            exam.equal("blocks", bench.expectOne("DATA 9")?.blocks, [Range32(start: 2, end: 3), Range32(start: 9, end: 10)])
        },
        Check("udx.many-blocks", ["UDX-19", "UDX-17"], .machine) { exam in
            let bench = try Bench(exam)
            // Every second packet of six hundred is missing.
            for seq in stride(from: UInt32(1), to: 600, by: 2) {
                bench.peer(RawPacket.data, seq: seq, body: [1])
                guard let answer = bench.expectOne("DATA \(seq)") else { return }
                exam.require("blocks", answer.blocks.count <= 50 && answer.bytes.count <= 420, "\(answer.blocks.count)")
                exam.equal("the first block", answer.blocks.first, Range32(start: 1, end: 2))
                if seq < 100 || seq > 201 {
                    exam.require("DATA \(seq) is reported in its own answer", answer.blocks.contains(Range32(start: seq, end: seq + 1)))
                }
                exam.require(
                    "ascending and disjoint",
                    zip(answer.blocks, answer.blocks.dropFirst()).allSatisfy { $0.start < $0.end && $0.end < $1.start })
            }
        },
        Check("udx.linger", ["UDX-59", "UDX-58"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.instance.end(Bench.own, now: bench.now)
            bench.turn()
            bench.peer(RawPacket.end, seq: 0, ack: 1)
            exam.equal("closed", bench.takeEvents().last, .closed(Bench.own, .finished))
            let last = bench.takePackets().last
            bench.pass(5000)
            bench.expectSilence("after the close")
            // The last ACK was lost: the peer repeats its END.
            exam.equal("repeated END", bench.peer(RawPacket.end, seq: 0, ack: 1), .consumed)
            exam.equal("answer", bench.expectOne("repeated END"), last)
            exam.equal("a late ACK is not for a stream", bench.peer(0, seq: 1, ack: 1), .notForStream)
            bench.expectSilence("late ACK")
            bench.pass(31_000)
            exam.equal("much later", bench.peer(RawPacket.end, seq: 0, ack: 1), .notForStream)
            bench.expectSilence("much later")
        },
        Check("udx.linger-makes-way", ["UDX-59"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.instance.end(Bench.own, now: bench.now)
            bench.turn()
            bench.peer(RawPacket.end, seq: 0, ack: 1)
            exam.equal("lingering", bench.instance.lingeringCount, 1)
            // The id is free again at once; a new stream is not troubled by the old one.
            try bench.instance.createStream(id: Bench.own, at: bench.now)
            exam.equal("lingering", bench.instance.lingeringCount, 0)
            _ = bench.take()
            bench.peer(RawPacket.data, seq: 0, body: [5])
            bench.expectSilence("before connect")
            exam.equal("bytes", bench.takeBytes(), [5])
        },
        Check("udx.firewall-connects", ["UDX-12", "UDX-66"], .machine) { exam in
            let bench = try Bench(exam, connected: false, firewall: .connectToSource(StreamID(Bench.peer)))
            bench.peer(RawPacket.data, seq: 0, body: [1, 2], from: Bench.otherPlace, on: Bench.otherSocket)
            let seen = bench.take()
            exam.equal("packets", seen.count, 1)
            exam.equal("ack", seen.first?.packet.ack, 1)
            exam.equal("id", seen.first?.packet.id, Bench.peer)
            exam.equal("to", seen.first?.transmit.destination, Bench.otherPlace)
            exam.equal("from", seen.first?.transmit.socket, Bench.otherSocket)
            exam.equal(
                "events", bench.takeEvents(),
                [
                    .connected(Bench.own, Bench.otherSocket, Bench.otherPlace),
                    .firewall(Bench.own, Bench.otherSocket, Bench.otherPlace, allowed: true), .data(Bench.own, [1, 2]),
                ])
            bench.peer(RawPacket.data, seq: 1, body: [3], from: Bench.otherPlace, on: Bench.otherSocket)
            exam.equal("on its own socket nobody is asked", bench.takeEvents(), [.data(Bench.own, [3])])
        },
        Check("udx.firewall-asks", ["UDX-67", "UDX-12"], .machine) { exam in
            let bench = try Bench(exam, connected: false, firewall: .ask)
            let data = RawPacket(RawPacket.data, id: 1, seq: 0, ack: 0, body: [1, 2]).bytes
            exam.equal("first", bench.datagram(data), .askOwner(Bench.own))
            exam.equal("nothing was used", bench.takeEvents(), [])
            let denied = bench.instance.receive(data, from: Bench.place, on: Bench.socket, at: bench.now, verdict: .deny)
            exam.equal("denied", denied, .consumed)
            bench.turn()
            exam.equal("events", bench.takeEvents(), [.firewall(Bench.own, Bench.socket, Bench.place, allowed: false)])
            bench.expectSilence("denied")
            // The owner connects the stream when the packet is repeated.
            exam.equal("again", bench.datagram(data), .askOwner(Bench.own))
            try bench.instance.connect(Bench.own, Bench.socket, to: StreamID(Bench.peer), at: Bench.place, now: bench.now)
            exam.equal("on its own socket", bench.datagram(data), .consumed)
            exam.equal("delivered once", bench.takeBytes(), [1, 2])
            exam.equal("ack", bench.expectOne("allowed")?.ack, 1)
        },
        Check("udx.keepalive-stops", ["UDX-71"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.instance.setKeepalive(Bench.own, milliseconds: 200, now: bench.now)
            bench.pass(1050)
            let beats = bench.take()
            exam.equal("sent at", beats.map(\.at), [200, 400, 600, 800, 1000])
            exam.require("HEARTBEAT", beats.allSatisfy { $0.packet.type == RawPacket.heartbeat && $0.packet.seq == 0 })
            try bench.instance.setKeepalive(Bench.own, milliseconds: 0, now: bench.now)
            bench.pass(2000)
            bench.expectSilence("switched off")
        },
        Check("udx.transfer-across-wrap", ["UDX-9", "UDX-53", "UDX-58"], .machine) { exam in
            let pair = try Pair(exam, Pair.Path(loss: 20), firstSeq: 0xffff_ff80)
            let bytes = (0..<400_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) }
            try pair.left.end(Pair.leftID, writing: bytes, now: pair.now)
            try pair.right.end(Pair.rightID, writing: bytes, now: pair.now)
            let done = pair.run(120_000) { pair.leftEvents.contains(.end(Pair.leftID)) && pair.rightEvents.contains(.end(Pair.rightID)) }
            exam.require("both ends", done, "\(pair.leftReceived.count) and \(pair.rightReceived.count) bytes")
            exam.require("right got what left wrote", pair.rightReceived == bytes)
            exam.require("left got what right wrote", pair.leftReceived == bytes)
        },
        Check("udx.transfer-with-loss", ["UDX-44", "UDX-47", "UDX-53", "UDX-20"], .machine) { exam in
            for loss: UInt64 in [50, 150] {
                let pair = try Pair(exam, Pair.Path(delayMilliseconds: 15, loss: loss))
                let bytes = (0..<150_000).map { UInt8(truncatingIfNeeded: $0 &* 17 &+ $0 >> 8) }
                try pair.left.end(Pair.leftID, writing: bytes, now: pair.now)
                let done = pair.run(120_000) { pair.rightEvents.contains(.end(Pair.rightID)) }
                exam.require("the end, at \(loss) per thousand", done, "\(pair.rightReceived.count) bytes, \(pair.leftEvents)")
                exam.require("bytes, at \(loss) per thousand", pair.rightReceived == bytes)
            }
        },
        Check("udx.cubic-transfer", ["UDX-51"], .machine) { exam in
            var limits = UDXLimits()
            limits.congestionControl = .cubic
            let pair = try Pair(exam, Pair.Path(delayMilliseconds: 10, rate: 1250, queueBytes: 50_000, loss: 5), limits: limits)
            pair.recordsLeft = true
            try pair.left.end(Pair.leftID, writing: Bench.alphabet(500_000), now: pair.now)
            exam.require("500 kB arrive", pair.run(30_000) { pair.rightEvents.contains(.end(Pair.rightID)) })
            let first = pair.leftSent.first?.at ?? 0
            exam.equal("packets of the first flight", pair.leftSent.filter { $0.at < first + 20 }.count, 10)
        },
    ]
}
