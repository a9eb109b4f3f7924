import SansIO

/// The byte budget of packets that carry data. udx.md section 12.3. UDX-52.
struct Pacer {
    /// Bytes that may leave before the clock's next millisecond.
    private var available = 25_000
    private var lastRefill: Int64

    init(at now: Int64) { lastRefill = now }

    /// Whether a packet may leave now. The budget is set, not added to, whenever the clock has moved.
    mutating func maySend(at now: Int64, rate: Int) -> Bool {
        if now > lastRefill {
            let (budget, overflow) = rate.multipliedReportingOverflow(by: Int(now - lastRefill))
            available = overflow ? .max : budget
            lastRefill = now
        }
        /// UDX-52.
        return available > 0 || Mutation.udx(52).isActive
    }

    /// Deducts header and payload; padding is free. Returns true when the budget is used up.
    mutating func spend(_ bytes: Int) -> Bool {
        available = max(0, available - bytes)
        return available == 0
    }
}
