/// What a receiver holds beyond the next number it expects, and what is said of it: the checks' own account, for ours and for libudx.
struct HeldNumbers {
    let ack: UInt32
    /// How far ahead of `ack` each held packet lies, ascending.
    private let ahead: [UInt32]

    init(_ arrived: some Sequence<UInt32>, above ack: UInt32) {
        self.ack = ack
        ahead = arrived.map { $0 &- ack }.filter { Int32(bitPattern: $0) > 0 }.sorted()
    }

    /// All blocks, up to fifty. UDX-17, UDX-18, UDX-19.
    var blocks: [Range32] { Array(HeldNumbers.blocks(ahead, ack).prefix(50)) }

    /// What libudx says since December 2025: its scan ends after as many missing numbers as there are packets held. udx.md section 6.2.
    ///
    /// - Parameter beyond: packets held as well that lie too far ahead to be reported; they lengthen the scan.
    func blocksOfLibudx(beyond: Int = 0) -> [Range32] {
        var missing = ahead.count + beyond
        var next: UInt32 = 1
        var found: [UInt32] = []
        for distance in ahead {
            missing -= Int(distance - next)
            if missing <= 0 || distance > 65_536 { break }
            found.append(distance)
            next = distance + 1
        }
        return Array(HeldNumbers.blocks(found, ack).prefix(50))
    }

    private static func blocks(_ ahead: [UInt32], _ ack: UInt32) -> [Range32] {
        var blocks: [Range32] = []
        for distance in ahead {
            let seq = ack &+ distance
            if let last = blocks.last, last.end == seq {
                blocks[blocks.count - 1].end = seq &+ 1
            } else {
                blocks.append(Range32(start: seq, end: seq &+ 1))
            }
        }
        return blocks
    }
}
