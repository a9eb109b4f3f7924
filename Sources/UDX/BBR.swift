import SansIO

/// How far loss recovery has come. udx.md section 11.2.
enum RecoveryState: Int {
    case open, recovery, loss
}

/// What the congestion controllers look at.
struct FlightState {
    var now: Int64
    var inFlight: Int
    var delivered: Int
    var deliveredAt: Int64
    var smoothedRTT: Int64
    var maximumPayload: Int
    var recovery: RecoveryState
}

/// BBR version 1 in packets and milliseconds. udx.md section 12.2.
struct BBR {
    private enum Mode {
        case startup, drain, probeBandwidth, probeRTT
    }

    private static let highGain = 2.88539
    private static let drainGain = 1 / 2.88539
    private static let cycleGains = [1.25, 0.75, 1, 1, 1, 1, 1, 1]
    private static let bandwidthRounds: Int64 = 10
    private static let minimumWindow = 4
    private static let minimumRTTLifetime: Int64 = 10_000
    private static let probeRTTDuration: Int64 = 200
    private static let longestAggregation = 100.0

    private(set) var window: Int
    /// Bytes per millisecond.
    private(set) var pacingRate = 1

    private var mode = Mode.startup
    private var bandwidth: WindowedFilter<Double>
    private var rounds: Int64 = 0
    private var roundEndsAtDelivered = 0
    private var roundStarted = false
    private var fullBandwidth = 0.0
    private var roundsWithoutGrowth = 0
    private(set) var pipeWasFull = false

    private var minimumRTT: Int64?
    private var minimumRTTSeenAt: Int64
    private var probeRTTEnds: Int64?
    private var probeRTTRoundDone = false
    private var restartsFromIdle = false

    private var pacingGain = BBR.highGain
    private var windowGain = BBR.highGain
    private var cycleIndex = 0
    private var cycleStartedAt: Int64 = 0

    private var windowBeforeRecovery = 0
    private var previousRecovery = RecoveryState.open
    private var conservesPackets = false
    private var hasSeenRTT = false

    private var extraAcknowledged = [0, 0]
    private var extraIndex = 0
    private var extraRounds = 0
    private var epochStartedAt: Int64
    private var epochAcknowledged = 0

    init(initialWindow: Int, maximumPayload: Int, at now: Int64) {
        window = initialWindow
        bandwidth = WindowedFilter(initial: 0, at: 0, seeksMaximum: true)
        minimumRTTSeenAt = now
        epochStartedAt = now
        initialisePacing(smoothedRTT: 0, maximumPayload: maximumPayload)
    }

    // MARK: Events

    /// The flight was empty and a packet leaves.
    mutating func transmissionStarts(_ flight: FlightState, isAppLimited: Bool) {
        guard isAppLimited else { return }
        restartsFromIdle = true
        epochStartedAt = flight.now
        epochAcknowledged = 0
        switch mode {
        case .probeBandwidth: setPacing(flight, gain: 1)
        case .probeRTT: finishProbeRTTIfDue(flight)
        case .startup, .drain: break
        }
    }

    mutating func recoveryStarts() {
        if previousRecovery == .open && mode != .probeRTT {
            windowBeforeRecovery = window
        } else {
            windowBeforeRecovery = max(windowBeforeRecovery, window)
        }
    }

    mutating func timedOut() {
        recoveryStarts()
        previousRecovery = .loss
        fullBandwidth = 0
        roundStarted = true
    }

    /// One ACK while something was in flight. Sets `appLimitedUntil` while the round-trip time is being probed.
    mutating func acknowledged(_ sample: RateSample, _ flight: FlightState, appLimitedUntil: inout Int?) {
        updateBandwidth(sample, flight)
        updateAggregation(sample, flight)
        if mode == .probeBandwidth && isCycleOver(sample, flight) { advanceCycle(flight) }
        updateFullPipe(sample)
        updateDrain(flight)
        updateMinimumRTT(sample, flight, &appLimitedUntil)
        updateGains()
        setPacing(flight, gain: pacingGain)
        setWindow(sample, flight)
    }

    // MARK: Model

    private func bandwidthDelayProduct(_ gain: Double) -> Int {
        guard let minimumRTT else { return 10 }
        return Int(min(bandwidth.best * Double(minimumRTT) * gain, 1e9))
    }

    private mutating func updateBandwidth(_ sample: RateSample, _ flight: FlightState) {
        roundStarted = false
        guard let delivered = sample.delivered, sample.interval > 0 else { return }
        if sample.priorDelivered >= roundEndsAtDelivered {
            roundEndsAtDelivered = flight.delivered
            rounds += 1
            roundStarted = true
            conservesPackets = false
        }
        let rate = Double(delivered) / Double(sample.interval)
        if !sample.isAppLimited || rate >= bandwidth.best { bandwidth.add(rate, at: rounds, window: BBR.bandwidthRounds) }
    }

    /// How many more packets were acknowledged lately than the bandwidth explains: they are allowed on top of the window.
    private mutating func updateAggregation(_ sample: RateSample, _ flight: FlightState) {
        guard sample.acknowledged > 0, sample.delivered != nil, sample.interval > 0 else { return }
        if roundStarted {
            extraRounds += 1
            if extraRounds >= 5 {
                extraRounds = 0
                extraIndex = 1 - extraIndex
                extraAcknowledged[extraIndex] = 0
            }
        }
        var expected = Int(min(bandwidth.best * Double(max(0, flight.deliveredAt - epochStartedAt)), 1e15))
        if epochAcknowledged <= expected {
            epochAcknowledged = 0
            epochStartedAt = flight.deliveredAt
            expected = 0
        }
        epochAcknowledged += sample.acknowledged
        extraAcknowledged[extraIndex] = max(extraAcknowledged[extraIndex], min(epochAcknowledged - expected, window))
    }

    private func isCycleOver(_ sample: RateSample, _ flight: FlightState) -> Bool {
        let isFullLength = flight.deliveredAt - cycleStartedAt > (minimumRTT ?? .max)
        if pacingGain == 1 { return isFullLength }
        if pacingGain > 1 { return isFullLength && (sample.losses > 0 || flight.inFlight > bandwidthDelayProduct(pacingGain)) }
        return isFullLength || flight.inFlight <= bandwidthDelayProduct(1)
    }

    private mutating func advanceCycle(_ flight: FlightState) {
        cycleIndex = (cycleIndex + 1) % BBR.cycleGains.count
        cycleStartedAt = flight.deliveredAt
    }

    private mutating func enterProbeBandwidth(_ flight: FlightState) {
        mode = .probeBandwidth
        // The reference always enters in the same phase.
        cycleIndex = 3
        advanceCycle(flight)
    }

    private mutating func updateFullPipe(_ sample: RateSample) {
        guard !pipeWasFull, roundStarted, !sample.isAppLimited else { return }
        if bandwidth.best >= fullBandwidth * 1.25 {
            fullBandwidth = bandwidth.best
            roundsWithoutGrowth = 0
        } else {
            roundsWithoutGrowth += 1
            pipeWasFull = roundsWithoutGrowth >= 3
        }
    }

    private mutating func updateDrain(_ flight: FlightState) {
        if mode == .startup && pipeWasFull { mode = .drain }
        if mode == .drain && flight.inFlight <= bandwidthDelayProduct(1) { enterProbeBandwidth(flight) }
    }

    private mutating func updateMinimumRTT(_ sample: RateSample, _ flight: FlightState, _ appLimitedUntil: inout Int?) {
        let hasExpired = flight.now > minimumRTTSeenAt + BBR.minimumRTTLifetime
        if let rtt = sample.roundTrip, rtt < minimumRTT ?? .max || hasExpired {
            minimumRTT = max(rtt, 1)
            minimumRTTSeenAt = flight.now
        }
        if hasExpired && !restartsFromIdle && mode != .probeRTT {
            mode = .probeRTT
            recoveryStarts()
            probeRTTEnds = nil
        }
        if mode == .probeRTT {
            appLimitedUntil = flight.delivered + flight.inFlight
            if probeRTTEnds == nil {
                if flight.inFlight <= BBR.minimumWindow {
                    probeRTTEnds = flight.now + BBR.probeRTTDuration
                    probeRTTRoundDone = false
                    roundEndsAtDelivered = flight.delivered
                }
            } else {
                if roundStarted { probeRTTRoundDone = true }
                if probeRTTRoundDone { finishProbeRTTIfDue(flight) }
            }
        }
        if (sample.delivered ?? 0) > 0 { restartsFromIdle = false }
    }

    private mutating func finishProbeRTTIfDue(_ flight: FlightState) {
        guard let ends = probeRTTEnds, flight.now > ends else { return }
        minimumRTTSeenAt = flight.now
        window = max(window, windowBeforeRecovery)
        if pipeWasFull { enterProbeBandwidth(flight) } else { mode = .startup }
    }

    private mutating func updateGains() {
        switch mode {
        case .startup: (pacingGain, windowGain) = (BBR.highGain, BBR.highGain)
        case .drain: (pacingGain, windowGain) = (BBR.drainGain, BBR.highGain)
        case .probeBandwidth: (pacingGain, windowGain) = (BBR.cycleGains[cycleIndex], 2)
        case .probeRTT: (pacingGain, windowGain) = (1, 1)
        }
    }

    // MARK: Outputs

    private static func rate(_ bandwidth: Double, _ gain: Double, _ payload: Int) -> Int {
        max(1, Int(min(bandwidth * Double(payload) * gain * 0.99, 1e12)))
    }

    private mutating func initialisePacing(smoothedRTT: Int64, maximumPayload: Int) {
        if smoothedRTT > 0 { hasSeenRTT = true }
        pacingRate = BBR.rate(Double(window) / Double(max(1, smoothedRTT)), BBR.highGain, maximumPayload)
    }

    private mutating func setPacing(_ flight: FlightState, gain: Double) {
        // Never below the smallest window in a round trip: an estimate that outages have ruined could not recover otherwise.
        var floor = BBR.minimumWindow * flight.maximumPayload / Int(max(1, flight.smoothedRTT))
        /// UDX-52.
        if Mutation.udx(52, 2).isActive { floor = 1 }
        let rate = max(BBR.rate(bandwidth.best, gain, flight.maximumPayload), floor)
        if !hasSeenRTT && flight.smoothedRTT > 0 {
            initialisePacing(smoothedRTT: flight.smoothedRTT, maximumPayload: flight.maximumPayload)
        }
        if pipeWasFull || rate > pacingRate { pacingRate = rate }
    }

    private mutating func setWindow(_ sample: RateSample, _ flight: FlightState) {
        if sample.acknowledged > 0 {
            var next = max(window - sample.losses, 1)
            if flight.recovery == .recovery && previousRecovery != .recovery {
                conservesPackets = true
                roundEndsAtDelivered = flight.delivered
                next = flight.inFlight + sample.acknowledged
            } else if previousRecovery != .open && flight.recovery == .open {
                // The reference also opens the window to 65 535 here; the saved window is what the flow had earned.
                next = max(next, windowBeforeRecovery)
                conservesPackets = false
            }
            previousRecovery = flight.recovery
            if conservesPackets {
                next = max(next, flight.inFlight + sample.acknowledged)
            } else {
                var target = bandwidthDelayProduct(windowGain)
                if pipeWasFull {
                    target += min(max(extraAcknowledged[0], extraAcknowledged[1]), Int(bandwidth.best * BBR.longestAggregation))
                    next = min(next + sample.acknowledged, target)
                } else if next < target || flight.delivered < 10 {
                    next += sample.acknowledged
                }
                next = max(next, BBR.minimumWindow)
            }
            window = next
        }
        if mode == .probeRTT { window = min(window, BBR.minimumWindow) }
    }
}
