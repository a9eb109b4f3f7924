import SansIO

/// A binary heap of deadlines. A timer whose request has another deadline by now, or none, stays until it surfaces.
struct TimerQueue {
    struct Timer {
        let due: Instant
        /// Order of equal deadlines: as they were set.
        let number: UInt64
        /// The request that waits, or nil: then `ticket` names a delayed ping.
        let request: OutgoingRequest?
        let ticket: UInt64

        static func before(_ a: Timer, _ b: Timer) -> Bool { a.due == b.due ? a.number < b.number : a.due < b.due }
    }

    private var heap: [Timer] = []
    private var number: UInt64 = 0

    var first: Timer? { heap.first }
    var count: Int { heap.count }

    mutating func set(_ request: OutgoingRequest, due: Instant) { push(due, request, 0) }
    mutating func setDelayedPing(_ ticket: UInt64, due: Instant) { push(due, nil, ticket) }

    private mutating func push(_ due: Instant, _ request: OutgoingRequest?, _ ticket: UInt64) {
        number &+= 1
        heap.append(Timer(due: due, number: number, request: request, ticket: ticket))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Timer.before(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() {
        guard let last = heap.popLast(), !heap.isEmpty else {
            // A burst leaves a large heap behind; an idle node gives it back.
            if heap.capacity > 16 { heap = [] }
            return
        }
        heap[0] = last
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { break }
            let right = left + 1
            let child = right < heap.count && Timer.before(heap[right], heap[left]) ? right : left
            guard Timer.before(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            parent = child
        }
    }

    mutating func removeAll() { heap = [] }
}
