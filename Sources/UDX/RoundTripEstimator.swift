import SansIO

/// Round-trip time and retransmission timeout in integer milliseconds. udx.md section 10.
struct RoundTripEstimator {
    /// 0 until the first sample; on a path below one millisecond each sample counts as the first.
    private(set) var smoothed: Int64 = 0
    private(set) var variance: Int64 = 0
    private(set) var timeout: Int64 = 1000
    /// Smallest sample of the last five minutes, and the same in microseconds; nil before the first.
    private(set) var minimum: Int64?
    private(set) var minimumMicroseconds: Int64?
    private var minimumFilter: WindowedFilter<Int64>
    private var fineFilter: WindowedFilter<Int64>

    static let longest: Int64 = 30_000
    static let outlier: Int64 = 5000
    static let minimumWindow: Int64 = 300_000

    init(at now: Int64) {
        minimumFilter = WindowedFilter(initial: .max, at: now, seeksMaximum: false)
        fineFilter = minimumFilter
    }

    /// A sample that includes a suspended machine's sleep must not lead to an endless timeout.
    func clamped(_ sample: Int64) -> Int64 {
        if smoothed == 0 { return min(sample, RoundTripEstimator.longest) }
        let threshold = smoothed + 5 * variance
        if sample > threshold && sample > RoundTripEstimator.outlier { return min(threshold, RoundTripEstimator.longest) }
        return sample
    }

    /// Only packets that were never retransmitted give samples.
    mutating func add(_ sample: Int64, microseconds: Int64, at now: Int64) {
        fineFilter.add(microseconds, at: now, window: RoundTripEstimator.minimumWindow)
        minimumMicroseconds = fineFilter.best
        minimumFilter.add(sample, at: now, window: RoundTripEstimator.minimumWindow)
        minimum = minimumFilter.best
        if smoothed == 0 {
            smoothed = sample
            variance = sample / 2
        } else {
            // The variance uses the old mean.
            variance = (3 * variance + abs(smoothed - sample)) / 4
            smoothed = (7 * smoothed + sample) / 8
        }
        /// UDX-45.
        let shortest: Int64 = Mutation.udx(45).isActive ? 200 : 1000
        timeout = min(max(smoothed + 4 * variance, shortest), RoundTripEstimator.longest)
    }
}
