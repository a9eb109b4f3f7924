import HeapModule
import SansIO

/// Deadlines with a purpose; equal ones fire in the order in which they were set. Cancelling is cheap: a cancelled timer fires nothing.
struct NodeTimers<Purpose> {
    struct ID: Hashable { fileprivate let number: UInt64 }

    private struct Entry: Comparable {
        let due: Instant
        let number: UInt64
        static func < (a: Entry, b: Entry) -> Bool { (a.due, a.number) < (b.due, b.number) }
    }

    private var heap = Heap<Entry>()
    private var purposes: [UInt64: Purpose] = [:]
    private var last: UInt64 = 0

    var count: Int { purposes.count }

    mutating func set(_ due: Instant, _ purpose: Purpose) -> ID {
        last &+= 1
        heap.insert(Entry(due: due, number: last))
        purposes[last] = purpose
        return ID(number: last)
    }

    /// Cancels the timer, if it has not fired, and forgets it.
    mutating func cancel(_ id: inout ID?) {
        if let number = id?.number { purposes[number] = nil }
        id = nil
        // Cancelled entries must not pile up under a long deadline.
        if heap.count > 64, heap.count > 4 * purposes.count {
            heap = Heap(heap.unordered.filter { purposes[$0.number] != nil })
        }
    }

    /// May be early if the first timer was cancelled, never late.
    var nextWakeUp: Instant { heap.min?.due ?? .distantFuture }

    /// The next purpose that is due, or nil.
    mutating func popDue(_ now: Instant) -> Purpose? {
        while let first = heap.min {
            guard let purpose = purposes[first.number] else {
                heap.removeMin()
                continue
            }
            guard first.due <= now else { return nil }
            heap.removeMin()
            purposes[first.number] = nil
            return purpose
        }
        return nil
    }
}
