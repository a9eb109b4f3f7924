/// CUBIC (RFC 8312) in packets and milliseconds, with the reference's older constants: C 0.4, beta 731/1024, fast convergence. udx.md section 12.
struct Cubic {
    private static let beta = 731.0 / 1024
    private static let scale = 0.4
    private static let largestWindow = 65_536

    private(set) var window: Int
    private var slowStartThreshold = 255
    private var windowAtLoss = 0.0
    private var epochStartedAt: Int64?
    private var originPoint = 0.0
    private var timeToOrigin = 0.0
    private var friendlyWindow = 0.0
    private var acknowledgedInEpoch = 0.0
    private var smallestRTT: Int64?

    /// Bytes per millisecond: a flat limit, as the reference's last CUBIC builds had.
    let pacingRate = 25_000

    init(initialWindow: Int) { window = initialWindow }

    mutating func acknowledged(_ sample: RateSample, _ flight: FlightState, isAppLimited: Bool) {
        if flight.smoothedRTT > 0 { smallestRTT = min(smallestRTT ?? .max, flight.smoothedRTT) }
        guard sample.acknowledged > 0, flight.recovery == .open, !isAppLimited else { return }
        if let smallestRTT, flight.smoothedRTT > 4 * smallestRTT { return }
        if window < slowStartThreshold {
            window = min(window + sample.acknowledged, Cubic.largestWindow)
            return
        }
        let current = Double(window)
        if epochStartedAt == nil {
            epochStartedAt = flight.now
            acknowledgedInEpoch = 0
            friendlyWindow = current
            originPoint = max(windowAtLoss, current)
            timeToOrigin = windowAtLoss > current ? ((windowAtLoss - current) / Cubic.scale).cubeRoot : 0
        }
        let seconds = Double(flight.now - (epochStartedAt ?? flight.now) + flight.smoothedRTT) / 1000
        let offset = seconds - timeToOrigin
        let target = originPoint + Cubic.scale * offset * offset * offset
        // What Reno would have reached by now.
        friendlyWindow += 3 * (1 - Cubic.beta) / (1 + Cubic.beta) * Double(sample.acknowledged) / current
        acknowledgedInEpoch += Double(sample.acknowledged) * max(0, min(max(target, friendlyWindow) - current, current / 2)) / current
        if acknowledgedInEpoch >= 1 {
            window = min(window + Int(acknowledgedInEpoch), Cubic.largestWindow)
            acknowledgedInEpoch -= acknowledgedInEpoch.rounded(.down)
        }
    }

    mutating func recoveryStarts() {
        let current = Double(window)
        windowAtLoss = current < windowAtLoss ? current * (1 + Cubic.beta) / 2 : current
        window = max(2, Int(current * Cubic.beta))
        slowStartThreshold = window
        epochStartedAt = nil
    }

    mutating func timedOut() {
        recoveryStarts()
        windowAtLoss = 0
    }
}

extension Double {
    /// Newton's method: this floor imports no C library.
    fileprivate var cubeRoot: Double {
        guard self > 0 else { return 0 }
        var root = Double(sign: .plus, exponent: exponent / 3 + 1, significand: 1)
        for _ in 0..<40 {
            let next = (2 * root + self / (root * root)) / 3
            if next == root { break }
            root = next
        }
        return root
    }
}
