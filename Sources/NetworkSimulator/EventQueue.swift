import SansIO

/// A binary heap ordered by time, then by order of arrival, so that equal times are deterministic.
struct EventQueue<Element> {
    private struct Entry {
        var at: Instant
        var number: UInt64
        var element: Element
    }

    private var heap: [Entry] = []
    private var counter: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }
    var count: Int { heap.count }
    var nextTime: Instant { heap.first?.at ?? .distantFuture }

    private func precedes(_ a: Entry, _ b: Entry) -> Bool { a.at != b.at ? a.at < b.at : a.number < b.number }

    mutating func push(_ element: Element, at time: Instant) {
        heap.append(Entry(at: time, number: counter, element: element))
        counter += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard precedes(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> (at: Instant, element: Element)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var smallest = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                    if precedes(heap[child], heap[smallest]) { smallest = child }
                }
                if smallest == parent { break }
                heap.swapAt(parent, smallest)
                parent = smallest
            }
        }
        return (first.at, first.element)
    }
}
