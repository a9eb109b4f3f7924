import Conformance
import SansIO
import UDX

/// Windows: ours never tiny, the peer's obeyed, a closed one probed in both forms and without end.
enum WindowChecks {
    static let checks: [Check] = [
        Check("udx.smallest-window", ["UDX-33", "UDX-8"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.instance.setMaximumReceiveSize(Bench.own, 10_000, now: bench.now)
            var windows: [UInt32] = []
            for held in stride(from: 0, through: 10_000, by: 100) {
                try bench.instance.setHeldBytes(Bench.own, held, now: bench.now)
                bench.peer(RawPacket.heartbeat)
                guard let window = bench.expectOne("HEARTBEAT")?.window else { return }
                windows.append(window)
                exam.require("window with \(held) bytes held", window == 0 || window >= 2904, "\(window)")
                exam.require("window with \(held) bytes held", window <= 10_000 - UInt32(held), "\(window), more than is left")
            }
            exam.equal("first window", windows.first, 10_000)
            exam.equal("last window", windows.last, 0)
            exam.equal("the step to 0 comes from", windows.last { $0 > 0 }, 3000)
        },
        Check("udx.window-rule", ["UDX-32"], .machine) { exam in
            let bench = try Bench(exam)
            for (window, seq, expected) in [(777, 5, 777), (888, 4, 777), (999, 5, 999)] as [(UInt32, UInt32, UInt32)] {
                bench.peer(0, seq: seq, window: window)
                exam.equal("window after \(window) with seq \(seq)", bench.statistics?.peerWindow, expected)
            }
        },
        Check("udx.closed-window-patience", ["UDX-30", "UDX-29", "UDX-31"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(10)
            bench.peer(0, ack: 1, window: 0)
            _ = bench.take()
            try bench.write(5000)
            var times: [Int64] = []
            // Two minutes: each probe is answered with window 0.
            while bench.milliseconds < 120_000 {
                for seen in bench.take() {
                    exam.equal("probe", seen.packet.type, RawPacket.heartbeat)
                    times.append(seen.at)
                    bench.peer(0, ack: 1, window: 0)
                }
                bench.pass(20)
            }
            exam.require("probes", times.count >= 55, "\(times.count)")
            exam.equal("the first comes at once", times.first, 0)
            for (earlier, later) in zip(times, times.dropFirst()) {
                exam.require("time between probes", (900...4100).contains(later - earlier), "\(later - earlier) ms")
            }
            exam.require("the stream lives", bench.statistics != nil)
            bench.peer(0, ack: 1, window: 50_000)
            exam.equal("DATA within one turn", bench.takePackets().filter { $0.has(RawPacket.data) }.count, 5)
        },
        Check("udx.closed-window-data-probe", ["UDX-35", "UDX-30"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(10)
            bench.peer(0, ack: 1, window: 0)
            _ = bench.take()
            try bench.write(3000)
            // The peer does not know HEARTBEAT.
            bench.pass(3500)
            let probes = bench.takePackets()
            exam.equal("probes", probes.map(\.type), [RawPacket.heartbeat, RawPacket.heartbeat, RawPacket.data])
            exam.equal("the DATA probe's seq", probes.last?.seq, 1)
            // It takes the packet and keeps its window closed; later it opens.
            bench.peer(0, ack: 2, window: 0)
            bench.expectSilence("after the answer with window 0")
            bench.peer(0, ack: 2, window: 100_000)
            exam.equal("DATA after the window opened", bench.takePackets().map(\.seq), [2, 3])
            bench.peer(0, ack: 4, window: 100_000)
            bench.pass(5000)
            bench.expectSilence("all is acknowledged")
        },
        Check("udx.closed-window-rejected-probe", ["UDX-35", "UDX-30", "UDX-34a"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(10)
            bench.peer(0, ack: 1, window: 0)
            try bench.write(3000)
            _ = bench.take()
            // Silent on HEARTBEAT, and DATA beyond the window is answered but not taken.
            var dataProbes = 0
            while bench.milliseconds < 100_000 {
                for seen in bench.take() where seen.packet.has(RawPacket.data) {
                    dataProbes += 1
                    exam.equal("probe seq", seen.packet.seq, 1)
                    bench.peer(0, ack: 1, window: 0)
                }
                bench.pass(100)
            }
            exam.require("DATA probes", dataProbes >= 10, "\(dataProbes)")
            exam.require("the stream lives", bench.statistics != nil)
            bench.peer(0, ack: 1, window: 65_535)
            exam.equal("the flow resumes", Set(bench.takePackets().map(\.seq)), [1, 2, 3])
        },
        Check("udx.closed-window-in-flight", ["UDX-30", "UDX-50a"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.write(5000)
            _ = bench.take()
            // The peer closes its window while packets are under way, drops them, and answers every copy.
            while bench.milliseconds < 60_000 {
                for seen in bench.take() where seen.packet.has(RawPacket.data | RawPacket.heartbeat) { bench.peer(0, ack: 0, window: 0) }
                bench.pass(100)
            }
            exam.require("a stream whose peer answers lives", bench.statistics != nil)
            // Now it falls silent.
            bench.pass(60_000)
            exam.require("a stream whose peer is silent dies", bench.statistics == nil)
            exam.equal("reason", bench.takeEvents().last, .closed(Bench.own, .timedOut))
        },
        Check("udx.reopened-window-announced", ["UDX-34a", "UDX-33"], .machine) { exam in
            let bench = try Bench(exam)
            try bench.instance.setHeldBytes(Bench.own, 4_194_304, now: bench.now)
            bench.peer(RawPacket.data, body: [1, 2, 3])
            let closed = bench.expectOne("DATA beyond a closed window")
            exam.equal("ack", closed?.ack, 1)
            exam.equal("window", closed?.window, 0)
            exam.equal("bytes", bench.takeBytes(), [1, 2, 3])
            try bench.instance.setHeldBytes(Bench.own, 0, now: bench.now)
            bench.turn()
            let open = bench.expectOne("the window reopens")
            exam.equal("type", open?.type, 0)
            exam.equal("window", open?.window, 4_194_304)
        },
    ]
}
