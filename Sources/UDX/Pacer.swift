import SansIO

/// The byte budget of packets that carry data. udx.md section 12.3. UDX-52.
///
/// Two differences from the reference, both towards evenness: a packet that overdraws the budget is paid for before the next one (the reference
/// forgets it, and so never sends less than a packet each millisecond), and while packets are in flight a pause of any length earns five milliseconds,
/// or 25 000 bytes, at most.
struct Pacer {
    /// Bytes that may leave before the clock's next millisecond; below 0 after a packet that was larger than what was left.
    private var available = Pacer.smallestBurst
    private var lastRefill: Int64

    private static let smallestBurst = 25_000

    init(at now: Int64) { lastRefill = now }

    /// Whether a packet may leave now. The budget is set, not added to, whenever the clock has moved.
    mutating func maySend(at now: Int64, rate: Int, isIdle: Bool) -> Bool {
        if now > lastRefill {
            let (budget, overflow) = rate.multipliedReportingOverflow(by: Int(now - lastRefill))
            let debt = min(available, 0)
            let most = isIdle ? 1 << 40 : max(Pacer.smallestBurst, min(rate, 1 << 40) * 5)
            available = min(overflow ? .max : budget, most) + debt
            lastRefill = now
        }
        /// UDX-52.
        return available > 0 || Mutation.udx(52).isActive
    }

    /// Deducts header and payload; padding is free. Returns the milliseconds after which there is a budget again; 0 while there is one.
    mutating func spend(_ bytes: Int, rate: Int) -> Int64 {
        available -= bytes
        return available > 0 ? 0 : Int64(-available / max(1, rate)) + 1
    }
}
