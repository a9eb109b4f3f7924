/// The best value seen in a sliding window, in constant space: the best, and the best of what came after it, and after that.
/// (Kathleen Nichols' method, also used by Linux.)
struct WindowedFilter<Value: Comparable> {
    private typealias Sample = (time: Int64, value: Value)
    private var first: Sample
    private var second: Sample
    private var third: Sample
    private let seeksMaximum: Bool

    init(initial: Value, at time: Int64, seeksMaximum: Bool) {
        first = (time, initial)
        second = first
        third = first
        self.seeksMaximum = seeksMaximum
    }

    var best: Value { first.value }

    private func isBetter(_ a: Value, _ b: Value) -> Bool { seeksMaximum ? a > b : a < b }

    mutating func add(_ value: Value, at time: Int64, window: Int64) {
        let sample = (time: time, value: value)
        if !isBetter(first.value, value) || time - third.time > window {
            first = sample
            second = sample
            third = sample
            return
        }
        if !isBetter(second.value, value) {
            second = sample
            third = sample
        } else if !isBetter(third.value, value) {
            third = sample
        }
        let age = time - first.time
        if age > window {
            // The best has left the window; so may have the second best.
            first = second
            second = third
            third = sample
            if time - first.time > window {
                first = second
                second = third
                third = sample
            }
        } else if second.time == first.time && age > window / 4 {
            second = sample
            third = sample
        } else if third.time == second.time && age > window / 2 {
            third = sample
        }
    }
}
