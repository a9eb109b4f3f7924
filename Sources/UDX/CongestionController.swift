import SansIO

/// The congestion window and the pacing rate, by whichever algorithm the limits name. udx.md section 12.
struct CongestionController {
    private var bbr: BBR
    private var cubic: Cubic?

    init(_ choice: CongestionControl, maximumPayload: Int, at now: Int64) {
        /// UDX-51.
        let initialWindow = Mutation.udx(51).isActive ? 100 : 10
        bbr = BBR(initialWindow: initialWindow, maximumPayload: maximumPayload, at: now)
        cubic = choice == .cubic ? Cubic(initialWindow: initialWindow) : nil
    }

    /// Packets.
    var window: Int { cubic?.window ?? bbr.window }
    /// Bytes per millisecond.
    var pacingRate: Int { cubic?.pacingRate ?? bbr.pacingRate }

    mutating func transmissionStarts(_ flight: FlightState, isAppLimited: Bool) {
        bbr.transmissionStarts(flight, isAppLimited: isAppLimited)
    }

    mutating func acknowledged(_ sample: RateSample, _ flight: FlightState, appLimitedUntil: inout Int?) {
        if cubic != nil {
            cubic?.acknowledged(sample, flight, isAppLimited: sample.isAppLimited)
        } else {
            bbr.acknowledged(sample, flight, appLimitedUntil: &appLimitedUntil)
        }
    }

    mutating func recoveryStarts() {
        bbr.recoveryStarts()
        cubic?.recoveryStarts()
    }

    mutating func timedOut() {
        bbr.timedOut()
        cubic?.timedOut()
    }
}
