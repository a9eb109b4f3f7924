import CompactEncoding
import SansIO

/// The input of a script target, read from front to back: after its end everything is 0. Small changes of the bytes are small changes of the script.
struct Script {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isOver: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        offset += 1
        return bytes[offset - 1]
    }

    mutating func bool() -> Bool { byte() & 1 == 1 }

    /// 0 ..< bound, for bounds up to 65 536.
    mutating func int(_ bound: Int) -> Int {
        guard bound > 1 else { return 0 }
        let raw = bound <= 256 ? Int(byte()) : Int(byte()) | Int(byte()) << 8
        return raw % bound
    }

    mutating func uint32() -> UInt32 { (0..<4).reduce(0) { value, _ in value << 8 | UInt32(byte()) } }
    mutating func uint64() -> UInt64 { UInt64(uint32()) << 32 | UInt64(uint32()) }

    /// Small numbers mostly; sometimes a power of two more or less one, or all 64 bits.
    mutating func number() -> UInt64 {
        let first = byte()
        switch first {
        case 0..<0xc0: return UInt64(first)
        case 0xc0..<0xf8:
            let power = UInt64(1) << UInt64(byte() & 63)
            return first & 1 == 0 ? power : power &- 1
        default: return uint64()
        }
    }

    /// A distance between sequence numbers: near 0 mostly, near the ends of the circle sometimes.
    mutating func distance() -> Int {
        let first = byte()
        switch first {
        case 0..<0xc8: return Int(first) - 40
        case 0xc8..<0xf0:
            let power = 1 << Int(byte() & 31)
            return first & 1 == 0 ? power : -power
        case 0xf0..<0xf8: return 0x7fff_ffff - Int(first & 3)
        default: return Int(Int32(bitPattern: uint32()))
        }
    }

    /// Milliseconds: 0 to 255 mostly, then ever longer, up to about five hours.
    mutating func milliseconds() -> Int64 {
        let first = byte()
        return first < 0xe0 ? Int64(first) : Int64(byte()) << Int64(first & 15)
    }

    /// A peer's address: sixteen of them, on four hosts.
    static func place(_ number: UInt8) -> Endpoint { Endpoint(.v4(0x0808_0800 | UInt32(number >> 2 & 3)), 5000 + UInt16(number & 3)) }

    mutating func place() -> Endpoint { Script.place(byte()) }

    /// A peer's address mostly; sometimes any other, nonsense included.
    mutating func endpoint() -> Endpoint {
        let choice = byte()
        return choice < 0xf0 ? Script.place(choice) : Endpoint(.v4(uint32()), UInt16(truncatingIfNeeded: uint32()))
    }

    mutating func take(_ count: Int) -> [UInt8] { (0..<max(0, count)).map { _ in byte() } }
    mutating func bytes32() -> Bytes32 { Bytes32([UInt8](repeating: byte(), count: 32)) ?? .zero }

    /// Damages bytes as a peer could: cuts, lengthens, flips, overwrites.
    mutating func damage(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        switch byte() % 6 {
        case 0: bytes = Array(bytes.prefix(int(max(1, min(bytes.count, 65_536)))))
        case 1: bytes += take(1 + int(16))
        case 2 where !bytes.isEmpty, 3 where !bytes.isEmpty: bytes[int(min(bytes.count, 65_536))] ^= UInt8(1) << (byte() & 7)
        case 4 where !bytes.isEmpty: bytes[int(min(bytes.count, 65_536))] = byte()
        default: bytes = take(int(64))
        }
        return bytes
    }
}

/// The first promise that was broken in a run.
final class Promises {
    private(set) var broken: String?

    func `break`(_ sentence: @autoclosure () -> String) { if broken == nil { broken = sentence() } }
    func hold(_ condition: Bool, _ sentence: @autoclosure () -> String) { if !condition { self.break(sentence()) } }
}

/// Sees that a machine that asks to be woken lets time go on.
final class Clock {
    private(set) var now: Instant
    private var wakes = 0

    init(_ now: Instant = .milliseconds(1_000_000)) { self.now = now }

    func set(_ instant: Instant) { if instant > now { now = instant } }

    /// Wakes the machine whenever it asks for it, at most `limit` times, until `end`.
    func run(
        until end: Instant, limit: Int, _ promises: Promises, nextWakeUp: () -> Instant, wake: (Instant) -> Void
    ) {
        var rounds = 0
        var atOneInstant = 0
        while promises.broken == nil, rounds < limit {
            let next = nextWakeUp()
            guard next <= end else { break }
            rounds += 1
            atOneInstant = next <= now ? atOneInstant + 1 : 0
            promises.hold(atOneInstant < 200, "time stands still at \(now.microseconds): the machine asks to be woken again and again")
            set(next)
            wake(now)
        }
        if rounds < limit {
            set(end)
            wake(now)
        }
    }
}

extension Instant {
    static func milliseconds(_ count: Int64) -> Instant { .zero + .milliseconds(count) }
}
