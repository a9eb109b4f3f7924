import SansIO

/// The operating system's randomness (getrandom). Labels make no difference.
public final class SystemEntropy: Entropy {
    public init() {}

    public func bytes(_ count: Int, for label: EntropyLabel) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            var word = generator.next()
            for _ in 0..<min(8, count - result.count) {
                result.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return result
    }

    public func word(_ count: Int, for label: EntropyLabel) -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return count <= 0 ? 0 : generator.next() >> (64 - 8 * UInt64(min(count, 8)))
    }
}
