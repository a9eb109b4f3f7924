import SansIO

/// Counts datagrams of requests in four slots of 750 ms. dht-rpc.md section 6, DHT-55.
struct CongestionWindow {
    static let slots = 4
    static let perSlot = 80
    static let limit = 160
    static let drainInterval = Interval.milliseconds(750)

    private var counts = SIMD4<Int>(repeating: 0)
    private var current = 0
    private(set) var total = 0

    /// DHT-55: nothing leaves (but what is forced) while 160 are counted in all or 80 in the current slot.
    var isFull: Bool {
        if Mutation.dhtRPC(55).isActive { return false }
        return total >= CongestionWindow.limit || counts[current] >= CongestionWindow.perSlot
    }

    mutating func sent() {
        counts[current] += 1
        total += 1
    }

    /// A response came, or a request ended: room in the current slot.
    mutating func received() {
        guard counts[current] > 0 else { return }
        counts[current] -= 1
        total -= 1
    }

    mutating func drain() {
        current = (current + 1) % CongestionWindow.slots
        total -= counts[current]
        counts[current] = 0
    }

    mutating func clear() { self = CongestionWindow() }
}
