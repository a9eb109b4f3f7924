import SansIO

/// How many random punches a node runs, and when it may start the next: at most one at a time, and 20 s after the last one ended.
/// hyperdht.md section 14. HDHT-61.
final class RandomPunchBudget {
    private(set) var running = 0
    private var lastEnd: Instant?
    var limit = 1
    var interval = Interval.seconds(20)

    /// The wait before the next one may start, counted from the last one's end.
    func isBusy(_ now: Instant) -> Bool {
        if Mutation.hyperDHT(61, 2).isActive { return false }
        if running >= limit { return true }
        guard let lastEnd else { return false }
        return now - lastEnd < interval
    }

    func start() { running += 1 }

    func end(_ now: Instant) {
        running = max(0, running - 1)
        lastEnd = now
    }

    /// Gives back a slot that was only reserved.
    func cancel() { running = max(0, running - 1) }
}
