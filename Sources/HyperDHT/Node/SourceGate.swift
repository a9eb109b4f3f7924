import SansIO

/// Counts what sources make us do within a second, in all and one by one. Bounded: hosts beyond the table share one count.
struct SourceGate {
    let total: Int
    let perHost: Int
    let hosts: Int
    private var second: Int64 = .min
    private var all = 0
    private var counts: [IPAddress: Int] = [:]
    private var others = 0

    init(total: Int, perHost: Int, hosts: Int) {
        self.total = total
        self.perHost = perHost
        self.hosts = hosts
    }

    /// Whether one more from this host is within bounds; if so it counts.
    mutating func admits(_ host: IPAddress, _ now: Instant) -> Bool {
        let current = now.milliseconds / 1000
        if current != second {
            second = current
            all = 0
            others = 0
            counts.removeAll(keepingCapacity: true)
        }
        guard all < total else { return false }
        if let count = counts[host] {
            guard count < perHost else { return false }
            counts[host] = count + 1
        } else if counts.count < hosts {
            counts[host] = 1
        } else {
            guard others < perHost else { return false }
            others += 1
        }
        all += 1
        return true
    }

    /// What this host made us do turned out to be in good faith: it may do as much again. Never more than what counts now is given back.
    mutating func giveBack(_ host: IPAddress) {
        guard let count = counts[host], count > 0 else { return }
        counts[host] = count - 1
        all -= 1
    }
}
