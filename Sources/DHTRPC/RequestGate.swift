import SansIO

/// Bounds the requests answered within one second, for each source, once all together are many. It costs a quiet node one comparison.
///
/// Sources share a fixed number of counts, by their address: however many there are, who asks little is answered, and nothing grows.
struct RequestGate {
    private var second: Int64 = -1
    private var total = 0
    /// Requests served since all together became many; empty until then.
    private var served: [Int] = []

    /// Whether one more request of this source is served.
    mutating func admits(_ host: IPAddress, at now: Instant, _ limits: NodeLimits) -> Bool {
        let current = now.microseconds / 1_000_000
        if current != second {
            second = current
            total = 0
            if !served.isEmpty { served = [] }
        }
        total += 1
        guard total > limits.requestsPerSecond else { return true }
        if served.isEmpty { served = [Int](repeating: 0, count: max(1, limits.sourceCounts)) }
        let index = RequestGate.count(of: host, among: served.count)
        guard served[index] < limits.requestsPerSecondAndHost else { return false }
        served[index] += 1
        return true
    }

    /// Neighbouring addresses have different counts.
    private static func count(of host: IPAddress, among counts: Int) -> Int {
        let word =
            switch host {
            case .v4(let address): UInt64(address)
            case .v6(let high, let low): high &* 31 &+ low
            }
        return Int((word &* 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: UInt64(counts)).high)
    }
}
