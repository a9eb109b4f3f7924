import SansIO

/// Bounds the requests answered within one second, for each source, once all together are many. It costs a quiet node one comparison.
struct RequestGate {
    private var second: Int64 = -1
    private var total = 0
    private var hosts: [IPAddress: Int] = [:]

    /// Whether one more request of this source is served.
    mutating func admits(_ host: IPAddress, at now: Instant, _ limits: NodeLimits) -> Bool {
        let current = now.microseconds / 1_000_000
        if current != second {
            second = current
            total = 0
            if !hosts.isEmpty { hosts = [:] }
        }
        total += 1
        guard total > limits.requestsPerSecond else { return true }
        if hosts.count >= limits.countedHosts, hosts[host] == nil { return false }
        let served = hosts[host, default: 0]
        guard served < limits.requestsPerSecondAndHost else { return false }
        hosts[host] = served + 1
        return true
    }
}
