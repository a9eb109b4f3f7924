import SansIO

/// What happens next, ordered by time, then by order of arrival, so that equal times are deterministic.
///
/// A calendar: a ring of buckets of about a millisecond each for the next eight seconds, of which only the current one is sorted, and a heap for
/// what is later. Time only moves on: nothing may be pushed before the last element that was popped.
struct EventQueue {
    /// One event; what it means is the owner's business.
    struct Entry {
        let at: Instant
        /// Order of arrival.
        let number: UInt64
        let ticket: UInt32

        @inline(__always) static func precedes(_ a: Entry, _ b: Entry) -> Bool { a.at != b.at ? a.at < b.at : a.number < b.number }
    }

    private static let width: Int64 = 10
    private static let count = 8192
    private static let mask = Int64(count - 1)

    private var ring = [[Entry]](repeating: [], count: EventQueue.count)
    /// A bit for each bucket that is not empty.
    private var occupied = [UInt64](repeating: 0, count: EventQueue.count / 64)
    private var inRing = 0
    /// The bucket of the last element popped, sorted, the next element last.
    private var current: [Entry] = []
    private var currentBucket: Int64 = 0
    private var later: [Entry] = []
    private var counter: UInt64 = 0

    private static func bucket(_ time: Instant) -> Int64 { time.microseconds >> width }

    mutating func push(_ ticket: UInt32, at time: Instant) {
        let entry = Entry(at: time, number: counter, ticket: ticket)
        counter += 1
        place(entry)
    }

    private mutating func place(_ entry: Entry) {
        let bucket = EventQueue.bucket(entry.at)
        if bucket <= currentBucket {
            insertIntoCurrent(entry)
        } else if bucket - currentBucket < EventQueue.count {
            let index = Int(bucket & EventQueue.mask)
            ring[index].append(entry)
            occupied[index >> 6] |= 1 << UInt64(index & 63)
            inRing += 1
        } else {
            pushLater(entry)
        }
    }

    private mutating func insertIntoCurrent(_ entry: Entry) {
        var low = 0
        var high = current.count
        while low < high {
            let middle = (low + high) / 2
            if Entry.precedes(entry, current[middle]) { low = middle + 1 } else { high = middle }
        }
        current.insert(entry, at: low)
    }

    /// The next element if it is not later than `limit`.
    mutating func pop(upTo limit: Instant) -> Entry? {
        while true {
            if let next = current.last {
                guard next.at <= limit else { return nil }
                current.removeLast()
                return next
            }
            guard openNext(limit) else { return nil }
        }
    }

    /// Makes the next bucket that holds something the current one; false if it begins after the limit.
    private mutating func openNext(_ limit: Instant) -> Bool {
        var bucket = nextInRing()
        if let first = later.first { bucket = min(bucket, EventQueue.bucket(first.at)) }
        guard bucket != .max, bucket <= EventQueue.bucket(limit) else { return false }
        currentBucket = bucket
        let index = Int(bucket & EventQueue.mask)
        if occupied[index >> 6] & (1 << UInt64(index & 63)) != 0 {
            occupied[index >> 6] &= ~(1 << UInt64(index & 63))
            inRing -= ring[index].count
            // The drained bucket's room is used again.
            swap(&current, &ring[index])
            current.sort { Entry.precedes($1, $0) }
        }
        while let first = later.first, EventQueue.bucket(first.at) - currentBucket < EventQueue.count {
            popLater()
            place(first)
        }
        return true
    }

    private func nextInRing() -> Int64 {
        guard inRing > 0 else { return .max }
        let start = Int((currentBucket + 1) & EventQueue.mask)
        var word = start >> 6
        var bits = occupied[word] & (.max << UInt64(start & 63))
        for _ in 0...occupied.count {
            if bits != 0 {
                let index = word << 6 | bits.trailingZeroBitCount
                return currentBucket + 1 + Int64((index - start) & (EventQueue.count - 1))
            }
            word = (word + 1) & (occupied.count - 1)
            bits = occupied[word]
        }
        return .max
    }

    // MARK: The heap of what is later

    private mutating func pushLater(_ entry: Entry) {
        later.append(entry)
        var child = later.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Entry.precedes(later[child], later[parent]) else { break }
            later.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func popLater() {
        guard let last = later.popLast(), !later.isEmpty else { return }
        later[0] = last
        var parent = 0
        while true {
            var smallest = parent
            let left = 2 * parent + 1
            if left < later.count, Entry.precedes(later[left], later[smallest]) { smallest = left }
            if left + 1 < later.count, Entry.precedes(later[left + 1], later[smallest]) { smallest = left + 1 }
            if smallest == parent { break }
            later.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
