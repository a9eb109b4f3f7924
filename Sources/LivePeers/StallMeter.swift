import Foundation

/// How late this machine wakes a thread that wants to run: what a rule of time must be held against on a busy one.
///
/// `@unchecked Sendable`: both members are read and written under the lock.
final class StallMeter: @unchecked Sendable {
    private let lock = NSLock()
    private var isOver = false
    private var worst = 0

    init() {
        let thread = Thread { [self] in
            var last = StallMeter.now
            while !lock.withLock({ isOver }) {
                usleep(2000)
                let now = StallMeter.now
                let late = Int((now - last) / 1_000_000) - 2
                lock.withLock { worst = max(worst, late) }
                last = now
            }
        }
        thread.stackSize = 1 << 16
        thread.start()
    }

    private static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    /// Milliseconds by which the meter's thread was late, at worst.
    func stop() -> Int {
        lock.withLock {
            isOver = true
            return worst
        }
    }
}
