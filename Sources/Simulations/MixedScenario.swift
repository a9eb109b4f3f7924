import NetworkSimulator
import SansIO
import UDX

/// One seed's bad weather: loss, bursts, reordering, duplication, delay, small MTUs, closing windows, both sides ending, one side destroying or
/// moving. Every byte must arrive once and in order, and nothing may stall.
public struct MixedScenario: Sendable {
    public struct Outcome: Sendable {
        public let seed: UInt64
        public let lossPercent: Int
        /// The rule by which the run failed, or nil.
        public let failure: String?
        /// A dead peer was declared under loss: UDX-50a's limit of seven timeouts, the only failure that loss may cause.
        public let isTimeout: Bool
        public let virtualSeconds: Double
        public let packets: Int
        public let bytesDelivered: Int
        public let largestOutOfOrder: Int
        public let summary: String
    }

    public let seed: UInt64
    /// 0...30.
    public let lossPercent: Int

    public init(seed: UInt64, lossPercent: Int? = nil) {
        self.seed = seed
        self.lossPercent = lossPercent ?? Int(seed % 4) * 10
    }

    /// Runs to the end of the stream, or for ten virtual minutes. `tap` sees each packet as it enters the network.
    public func run(tap: ((SimulatedPacket) -> Void)? = nil) -> Outcome {
        let dice = SeededEntropy(seed: seed)
        func roll(_ bound: Int) -> Int { Int(dice.uniform(below: UInt64(max(1, bound)), for: EntropyLabel(.test, 1))) }

        let loss = Double(lossPercent) / 100
        var link = LinkProfile()
        link.delay = .milliseconds(Int64(roll(401)))
        link.jitter = .milliseconds(Int64([0, 0, 5, 40][roll(4)]))
        if lossPercent > 0 {
            // A burst state of mean length 4 packets whose share of them makes the same loss on average.
            link.loss = roll(3) == 0 ? .burst(enter: loss * 0.25 / (1 - loss), leave: 0.25, loss: 1) : .random(loss)
        }
        link.reordering = [0, 0, 0.02, 0.2][roll(4)]
        link.reorderingDelay = .milliseconds(Int64(1 + roll(60)))
        link.duplication = [0, 0, 0.01, 0.1][roll(4)]
        link.detectedCorruption = [0, 0, 0.01][roll(3)]
        link.mtu = [576, 900, 1200, 1280, 1500, 1500, 1500, 1500][roll(8)]

        func plan(_ isFirst: Bool) -> UDXHost.Plan {
            var plan = UDXHost.Plan()
            plan.bytesToSend = [0, 1, 5_000, 40_000, 120_000][roll(5)]
            plan.chunk = [700, 1_132, 16_384, 65_536][roll(4)]
            if roll(4) == 0 {
                plan.pauseAfter = 1 + roll(30_000)
                plan.pause = .milliseconds(Int64(roll(8_000)))
                plan.receiveWindow = UInt32([20_000, 65_536, 262_144][roll(3)])
            }
            return plan
        }
        var planA = plan(true)
        let planB = plan(false)
        let destroys = roll(10) == 0 && planB.bytesToSend > 0
        if destroys { planA.destroyAfter = 1 + roll(planB.bytesToSend) }
        let moves = !destroys && roll(6) == 0
        let moveAt = Instant.zero + .milliseconds(Int64(roll(3_000)))

        let (idA, idB) = (StreamID(UInt32(1 + roll(1 << 30))), StreamID(UInt32(1 + roll(1 << 30))))
        // Half of the runs cross the end of the number space.
        let first = [SequenceNumber.zero, SequenceNumber(0xffff_ffff), SequenceNumber(0xffff_fff0), SequenceNumber(0x7fff_fff8)]
        let (seqA, seqB) = (first[roll(4)], first[roll(4)])
        let limits = UDXLimits()
        let a = UDXHost(seed: seed, stream: idA, initialSequence: seqA, peerSequence: seqB, plan: planA, isFirst: true, limits: limits)
        let b = UDXHost(
            seed: seed &+ 1, stream: idB, initialSequence: seqB, peerSequence: seqA, plan: planB, isFirst: false, limits: limits)

        let simulation = Simulation(seed: seed, link: link)
        simulation.tap = tap
        let (addressA, addressB) = (IPAddress.v4(0x0a00_0001), IPAddress.v4(0x0a00_0002))
        let hostA = simulation.addHost(a, address: addressA)
        let hostB = simulation.addHost(b, address: addressB)
        let (main, second) = (SocketID(1), SocketID(2))
        simulation.bind(hostA, main, port: 4001)
        simulation.bind(hostA, second, port: 4003)
        simulation.bind(hostB, main, port: 4002)
        a.connect(main, to: idB, at: Endpoint(addressB, 4002))
        b.connect(main, to: idA, at: Endpoint(addressA, 4001))
        if moves {
            simulation.schedule(at: moveAt) { simulation in
                a.changeRemote(second, to: idB, at: Endpoint(addressB, 4002), now: simulation.now)
                b.changeRemote(main, to: idA, at: Endpoint(addressA, 4003), now: simulation.now)
                simulation.touch(hostA)
                simulation.touch(hostB)
            }
        }

        var livelock: SimulationError?
        var finished = false
        let limit = Instant.zero + .seconds(600)
        do { finished = try simulation.run(until: limit) { a.closed != nil && b.closed != nil } } catch { livelock = error }

        let summary =
            "loss \(lossPercent) %, delay \(link.delay.milliseconds) ms, mtu \(link.mtu), \(planA.bytesToSend) and \(planB.bytesToSend) bytes"
            + (destroys ? ", destroyed" : "") + (moves ? ", moved" : "") + (planA.pauseAfter + planB.pauseAfter > 0 ? ", paused" : "")
        var failure: String?
        var isTimeout = false
        if let livelock {
            failure = "\(livelock)"
        } else if let broken = a.broken ?? b.broken {
            failure = broken
        } else if a.largestOutOfOrder > 5_000_000 || b.largestOutOfOrder > 5_000_000 {
            failure = "UDX-40: \(max(a.largestOutOfOrder, b.largestOutOfOrder)) bytes held out of order"
        } else if destroys {
            // The DESTROY may be lost: then the peer finds out by silence, or never when it is idle.
            if a.closed == nil && b.closed == .timedOut {
                isTimeout = true
                failure = "UDX-50a: seven timeouts of one packet in a row"
            } else if a.closed != .destroyed && a.closed != .finished && a.closed != .reset && a.closed != .timedOut {
                failure = "UDX-61: the side that destroys did not close"
            }
            if let reason = b.closed, reason == .destroyed { failure = "UDX-62: the peer of a destroyed stream reports \(reason.rawValue)" }
        } else if a.closed == .timedOut || b.closed == .timedOut {
            isTimeout = true
            failure =
                "UDX-50a: seven timeouts of one packet in a row (a \(a.closed?.rawValue ?? "open"), b \(b.closed?.rawValue ?? "open"), "
                + "\(a.bytesReceived)/\(planB.bytesToSend) and \(b.bytesReceived)/\(planA.bytesToSend) bytes)"
        } else if !finished {
            failure =
                "stall: a \(a.closed?.rawValue ?? "open"), b \(b.closed?.rawValue ?? "open") after 600 s, \(a.bytesReceived)/\(planB.bytesToSend) and "
                + "\(b.bytesReceived)/\(planA.bytesToSend) bytes"
        } else if a.bytesReceived != planB.bytesToSend || b.bytesReceived != planA.bytesToSend || !a.sawEnd || !b.sawEnd {
            failure = "UDX-53: closed with \(a.bytesReceived)/\(planB.bytesToSend) and \(b.bytesReceived)/\(planA.bytesToSend) bytes"
        } else if a.closed != .finished || b.closed != .finished {
            failure = "UDX-58: closed as \(a.closed?.rawValue ?? "open") and \(b.closed?.rawValue ?? "open")"
        }
        return Outcome(
            seed: seed, lossPercent: lossPercent, failure: failure, isTimeout: isTimeout,
            virtualSeconds: Double(simulation.now.microseconds) / 1e6, packets: simulation.statistics.sent,
            bytesDelivered: a.bytesReceived + b.bytesReceived, largestOutOfOrder: max(a.largestOutOfOrder, b.largestOutOfOrder),
            summary: summary)
    }
}
