import Conformance
import SansIO
import UDX

/// Packet sizes, don't-fragment, MTU search, paths below 1200, pacing.
enum PathChecks {
    static let checks: [Check] = [
        Check("udx.dont-fragment", ["UDX-41"], .machine) { exam in
            let bench = try Bench(exam)
            for size in [1, 1152, 1153, 1400] {
                try bench.instance.send(Bench.own, message: [UInt8](repeating: 1, count: size), now: bench.now)
                bench.turn()
                exam.equal("don't-fragment with \(size + 48) bytes of IP", bench.take().first?.transmit.dontFragment, true)
            }
        },
        Check("udx.ipv6-sizes", ["UDX-37"], .machine) { exam in
            guard let address = IPAddress("fd00::1") else { return exam.report("address", expected: "IPv6", actual: "nil") }
            let bench = try Bench(exam, at: Endpoint(address, 4000))
            try bench.write(5000)
            exam.equal("UDP payloads", bench.take().map(\.transmit.payload.count), [1152, 1152, 1152, 1152, 20 + 472])
        },
        Check("udx.mtu-search-finds-1500", ["UDX-42", "UDX-41", "UDX-37"], .machine) { exam in
            var limits = UDXLimits()
            limits.probesPathMTU = true
            let bench = try Bench(exam, limits: limits)
            var largest = 0
            var acked: UInt32 = 0
            for _ in 0..<60 {
                try bench.write(3000)
                for seen in bench.take() where seen.packet.has(RawPacket.data) {
                    let size = seen.transmit.payload.count + 28
                    exam.require("IP size", size <= 1500, "\(size)")
                    if seen.packet.dataOffset > 0 {
                        exam.require("size of a probe", size > largest && size <= max(largest, 1200) + 64, "\(size) after \(largest)")
                    } else {
                        exam.require("size before it is confirmed", size <= max(largest, 1200), "\(size)")
                    }
                    if size > 1200 { exam.equal("don't-fragment", seen.transmit.dontFragment, true) }
                    largest = max(largest, size)
                    let padding = seen.packet.body.prefix(Int(seen.packet.dataOffset))
                    exam.require("padding", padding.allSatisfy { $0 == 0 })
                    acked = seen.packet.seq &+ 1
                }
                bench.peer(0, ack: acked)
                bench.pass(20)
            }
            exam.equal("largest IP packet", largest, 1500)
            exam.equal("MTU", bench.statistics?.mtu, 1500)
        },
        Check("udx.mtu-probe-lost", ["UDX-42"], .machine) { exam in
            var limits = UDXLimits()
            limits.probesPathMTU = true
            let bench = try Bench(exam, limits: limits)
            var received: [UInt32: [UInt8]] = [:]
            var tries: [Int: Int] = [:]
            var written = 0
            var next: UInt32 = 0
            // A path that drops all above 1200.
            for round in 0..<400 {
                if round < 60 {
                    try bench.write(3000)
                    written += 3000
                }
                for seen in bench.take() where seen.packet.has(RawPacket.data) {
                    let size = seen.transmit.payload.count + 28
                    if size > 1200 {
                        tries[size, default: 0] += 1
                        exam.require("a probe carries payload", seen.packet.body.count > Int(seen.packet.dataOffset))
                        exam.require("a lost packet is not sent again with padding", received[seen.packet.seq] == nil)
                        received[seen.packet.seq] = []
                        continue
                    }
                    exam.equal("data offset", seen.packet.dataOffset, 0)
                    received[seen.packet.seq] = seen.packet.body
                }
                while let bytes = received[next], !bytes.isEmpty { next += 1 }
                let blocks = received.filter { $0.key > next && !$0.value.isEmpty }.keys.sorted().map { Range32(start: $0, end: $0 + 1) }
                bench.peer(blocks.isEmpty ? 0 : RawPacket.sack, ack: next, body: RawPacket.sack(Array(blocks.prefix(50))))
                bench.pass(20)
            }
            exam.require("probes were sent", !tries.isEmpty)
            for (size, count) in tries.sorted(by: { $0.key < $1.key }) { exam.require("tries at \(size)", count <= 3, "\(count)") }
            exam.equal("bytes that arrived", received.values.reduce(0) { $0 + $1.count }, written)
            exam.equal("MTU", bench.statistics?.mtu, 1200)
        },
        Check("udx.path-below-1200", ["UDX-44", "UDX-49"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(1132)
            bench.pass(2900)
            let copies = bench.take()
            exam.equal("sent at", copies.map(\.at), [0, 1000])
            exam.require("don't-fragment at first", copies.allSatisfy(\.transmit.dontFragment))
            bench.pass(200)
            let fragmented = bench.take()
            exam.equal("sent at", fragmented.map(\.at), [3000])
            exam.equal("after two timeouts IP may fragment", fragmented.first?.transmit.dontFragment, false)
            exam.equal("same packet", fragmented.first?.packet, copies.first?.packet)
            bench.peer(0, ack: 1)
            try bench.write(2000)
            let small = bench.take()
            exam.require(
                "new packets are small", !small.isEmpty && small.allSatisfy { $0.transmit.payload.count + 28 <= 576 },
                "\(small.map(\.transmit.payload.count))")
        },
        Check("udx.path-recovers", ["UDX-37", "UDX-41"], .machine) { exam in
            var path = Pair.Path()
            path.mtu = 600
            let pair = try Pair(exam, path)
            try pair.left.write(Pair.leftID, Bench.alphabet(20_000), now: pair.now)
            exam.require("20 kB cross a path of 600 bytes", pair.run(60_000) { pair.rightReceived.count == 20_000 })
            exam.equal("MTU", pair.left.statistics(of: Pair.leftID)?.mtu, 576)
            // The path becomes a good one; a minute later a packet of full size is tried.
            pair.path.mtu = 1500
            _ = pair.run(61_000) { false }
            try pair.left.write(Pair.leftID, Bench.alphabet(20_000), now: pair.now)
            exam.require("another 20 kB", pair.run(5000) { pair.rightReceived.count == 40_000 })
            exam.equal("MTU", pair.left.statistics(of: Pair.leftID)?.mtu, 1200)
        },
        Check("udx.pacing", ["UDX-52"], .machine) { exam in
            // 10 Mbit/s, 20 ms; once with ACKs as they come, once in clumps, where an unpaced sender answers each clump with a burst.
            for clump: Int64 in [0, 80] {
                let path = Pair.Path(delayMilliseconds: 10, rate: 1250, queueBytes: 400_000, clumpMilliseconds: clump)
                let largest = try largestBurst(exam, path)
                exam.require("bytes in 10 ms, ACKs in clumps of \(clump) ms", largest <= 4 * 12_500 + 25_000, "\(largest)")
            }
        },
        Check("udx.pacing-floor", ["UDX-52"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(1_500_000)
            var ack: UInt32 = 0
            var highest: UInt32 = 0
            // A steady path: ten packets in 20 ms, until the sender believes that this is all there is.
            for _ in 0..<30 {
                for seen in bench.take() where seen.packet.has(RawPacket.data) { highest = max(highest, seen.packet.seq &+ 1) }
                ack = min(highest, ack &+ 10)
                bench.pass(20)
                bench.peer(0, ack: ack)
            }
            let before = bench.statistics?.pacingRate ?? 0
            // Outages: whatever leaves is lost; only what is sent again after a timeout arrives. The estimate of the bandwidth falls to almost nothing.
            for _ in 0..<16 {
                bench.pass(1500)
                let copies = Dictionary(grouping: bench.take().map(\.packet.seq), by: { $0 }).mapValues(\.count)
                while copies[ack, default: 0] >= (ack < highest ? 1 : 2) { ack &+= 1 }
                highest = max(highest, copies.keys.max() ?? 0)
                bench.peer(0, ack: ack)
            }
            guard let after = bench.statistics else { return exam.report("stream", expected: "alive", actual: "gone") }
            let floor = 4 * 1152 / Int(max(1, after.smoothedRTTMilliseconds))
            exam.require("the rate fell", after.pacingRate < before, "from \(before) to \(after.pacingRate) bytes a millisecond")
            exam.require(
                "four packets in a round trip of \(after.smoothedRTTMilliseconds) ms", after.pacingRate >= floor && floor > 10,
                "\(after.pacingRate) bytes a millisecond, not \(floor)")
        },
    ]

    /// The most that leaves in any 10 ms of a transfer of 1 MB, from the third round trip on. Bytes of IP.
    private static func largestBurst(_ exam: Examination, _ path: Pair.Path) throws -> Int {
        let pair = try Pair(exam, path)
        pair.recordsLeft = true
        try pair.left.write(Pair.leftID, Bench.alphabet(1_000_000), now: pair.now)
        exam.require("1 MB arrives", pair.run(20_000) { pair.rightReceived.count == 1_000_000 })
        guard let first = pair.leftSent.first?.at else { return .max }
        let roundTrip = 2 * path.delayMilliseconds + path.clumpMilliseconds
        let late = pair.leftSent.filter { $0.at >= first + 2 * roundTrip }
        var largest = 0
        var start = late.startIndex
        var sum = 0
        for packet in late {
            sum += packet.transmit.payload.count + 28
            while late[start].at <= packet.at - 10 {
                sum -= late[start].transmit.payload.count + 28
                start += 1
            }
            largest = max(largest, sum)
        }
        return largest
    }
}
