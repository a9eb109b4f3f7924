/// The request ids that have been used: each counts once, as long as the process lives.
///
/// Kept as runs of neighbours. A client that counts its requests makes one run of them, however many they are.
struct UsedIDs {
    /// In order; no two touch.
    private var runs: [ClosedRange<Int64>] = []

    /// False if it was used before.
    mutating func insert(_ id: Int64) -> Bool {
        // The first run that ends behind, at or right before the id.
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].upperBound < id - 1 { low = middle + 1 } else { high = middle }
        }
        guard low < runs.count, runs[low].lowerBound <= id + 1 else {
            runs.insert(id...id, at: low)
            return true
        }
        if runs[low].contains(id) { return false }
        runs[low] = min(runs[low].lowerBound, id)...max(runs[low].upperBound, id)
        // The id may have closed the gap to the next run; that to the one before is wider, or that one would have been found.
        if low + 1 < runs.count, runs[low + 1].lowerBound == runs[low].upperBound + 1 {
            runs[low] = runs[low].lowerBound...runs[low + 1].upperBound
            runs.remove(at: low + 1)
        }
        return true
    }
}
