import CDatagram
import SansIO

/// The machine's clocks.
public enum SystemClock {
    /// Monotonic time: the epoch of every machine that an `EventLoop` drives.
    public static var now: Instant { Instant(microseconds: hyperconform_monotonic()) }
    /// Microseconds since 1970.
    public static var wallMicroseconds: Int64 { hyperconform_wall() }
}
