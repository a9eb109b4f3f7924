/// Judges the network by responses and timeouts, tick by tick. dht-rpc.md section 13.1.
struct NetworkHealthMonitor {
    private struct Snapshot {
        var responses: Int
        var timeouts: Int
        var isDegraded: Bool?
    }

    static let window = 4
    static let fewest = 4

    private(set) var health = NetworkHealth()
    private var snapshots: [Snapshot] = []
    private var responses = 0
    private var timeouts = 0

    /// Takes the totals at a tick. Returns whether the health changed.
    mutating func tick(responses: Int, timeouts: Int) -> Bool {
        let answered = responses - self.responses
        let lost = timeouts - self.timeouts
        self.responses = responses
        self.timeouts = timeouts
        if snapshots.count == NetworkHealthMonitor.window { snapshots.removeFirst() }
        snapshots.append(Snapshot(responses: answered, timeouts: lost, isDegraded: nil))
        guard snapshots.count == NetworkHealthMonitor.window, answered + lost >= NetworkHealthMonitor.fewest else { return false }
        snapshots[snapshots.count - 1].isDegraded = 2 * lost > answered + lost
        let before = health
        health.isOnline = answered > 0
        if !health.isOnline || snapshots.allSatisfy({ $0.isDegraded == false }) {
            health.isDegraded = false
        } else if snapshots.allSatisfy({ $0.isDegraded == true }) {
            health.isDegraded = true
        }
        return health != before
    }

    /// Back to online. Returns whether the health changed.
    mutating func reset() -> Bool {
        let before = health
        snapshots = []
        health = NetworkHealth()
        return health != before
    }
}
