import SansIO

/// Small seeded damage to inputs, for runs without libFuzzer: the same seed gives the same inputs.
public struct ByteMutator {
    private let entropy: SeededEntropy
    private let seeds: [[UInt8]]

    public init(seeds: [[UInt8]], seed: UInt64) {
        entropy = SeededEntropy(seed: seed)
        self.seeds = seeds.isEmpty ? [[]] : seeds
    }

    private func draw(_ bound: Int) -> Int { Int(entropy.uniform(below: UInt64(max(1, bound)), for: EntropyLabel(.test))) }

    /// One damaged input.
    public mutating func next() -> [UInt8] {
        var bytes = seeds[draw(seeds.count)]
        for _ in 0...draw(4) {
            switch draw(7) {
            case 0 where !bytes.isEmpty: bytes[draw(bytes.count)] ^= 1 << UInt8(draw(8))
            case 1 where !bytes.isEmpty: bytes[draw(bytes.count)] = UInt8(draw(256))
            case 2 where !bytes.isEmpty: bytes[draw(bytes.count)] = [0, 0xfc, 0xfd, 0xfe, 0xff, 0x7f, 0x80][draw(7)]
            case 3: bytes.insert(contentsOf: (0...draw(9)).map { _ in UInt8(draw(256)) }, at: draw(bytes.count + 1))
            case 4 where !bytes.isEmpty: bytes.removeSubrange(draw(bytes.count)..<bytes.count)
            case 5 where bytes.count > 1:
                let start = draw(bytes.count)
                bytes.removeSubrange(start..<min(bytes.count, start + 1 + draw(8)))
            default:
                let other = seeds[draw(seeds.count)]
                bytes = Array(bytes.prefix(draw(bytes.count + 1)) + other.dropFirst(draw(other.count + 1)))
            }
        }
        return Array(bytes.prefix(4096))
    }
}
