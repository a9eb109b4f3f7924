import SansIO

/// Packets that arrived before their turn: a ring indexed by sequence number, and the blocks that SACK reports. Both are bounded. UDX-40.
struct ReceiveBuffer {
    struct Held {
        var payload: [UInt8] = []
        var hasData = false
        var isHeld = false
    }

    enum Admission {
        case held, duplicate, tooFarAhead, full
    }

    private var slots: [Held] = []
    private var mask: UInt32 = 0
    /// Ascending, disjoint, never touching: what SACK reports. UDX-19.
    private(set) var blocks: [SACKBlock] = []
    private(set) var count = 0
    private(set) var bytes = 0
    /// The number that was held last.
    private var newest = SequenceNumber.zero

    /// Whether this number is held already.
    func holds(_ seq: SequenceNumber, expecting next: SequenceNumber) -> Bool {
        guard count > 0 else { return false }
        let ahead = next.distance(to: seq)
        return ahead >= 0 && ahead < slots.count && slots[Int(seq.rawValue & mask)].isHeld
    }

    /// Copies the payload of a packet that lies `next.distance(to: seq)` ahead; the first copy of a number counts. UDX-20.
    mutating func admit(
        _ seq: SequenceNumber, expecting next: SequenceNumber, hasData: Bool, _ source: [UInt8], _ range: Range<Int>, span: Int,
        byteLimit: Int
    ) -> Admission {
        let ahead = next.distance(to: seq)
        if holds(seq, expecting: next) { return .duplicate }
        /// UDX-40.
        let isBounded = !Mutation.udx(40).isActive
        guard ahead >= 0 && ahead <= (isBounded ? span : 1 << 22) else { return .tooFarAhead }
        let size = hasData ? range.count : 0
        guard !isBounded || bytes + size <= byteLimit else { return .full }
        if ahead >= slots.count { grow(toHold: ahead, from: next) }
        var held = Held(payload: [], hasData: hasData, isHeld: true)
        // Bytes on an END without DATA are dropped. udx.md section 5.
        if hasData { held.payload = Array(source[range]) }
        slots[Int(seq.rawValue & mask)] = held
        count += 1
        bytes += size
        addToBlocks(seq, from: next)
        newest = seq
        return .held
    }

    /// Takes out the packet whose turn it is, if it is held.
    mutating func take(_ seq: SequenceNumber) -> Held? {
        guard count > 0 else { return nil }
        let index = Int(seq.rawValue & mask)
        guard slots[index].isHeld else { return nil }
        let held = slots[index]
        slots[index] = Held()
        count -= 1
        bytes -= held.payload.count
        if !blocks.isEmpty && blocks[0].start == seq {
            blocks[0].start = seq.advanced(by: 1)
            if blocks[0].start == blocks[0].end { blocks.removeFirst() }
        }
        return held
    }

    mutating func removeAll() { self = ReceiveBuffer() }

    /// UDX-19. At most `limit` blocks, ascending: the first ones, as the reference reports them.
    ///
    /// With more than twice as many the sender would not hear of the later ones until the first holes are filled, a round trip for each fifty; then
    /// half of them are those around the newest arrival, so that each arrival is reported at least once.
    func reported(limit: Int, expecting next: SequenceNumber) -> [SACKBlock] {
        guard blocks.count > 2 * limit else { return Array(blocks.prefix(limit)) }
        let half = limit / 2
        let position = index(of: newest, from: next)
        let start = min(max(half, position - half / 2), blocks.count - half)
        return Array(blocks[..<half] + blocks[start..<start + half])
    }

    /// The number of blocks that start at or before `seq`, less one.
    private func index(of seq: SequenceNumber, from next: SequenceNumber) -> Int {
        let ahead = next.distance(to: seq)
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if next.distance(to: blocks[middle].start) <= ahead { low = middle + 1 } else { high = middle }
        }
        return max(0, low - 1)
    }

    private mutating func grow(toHold ahead: Int, from next: SequenceNumber) {
        var size = max(64, slots.count)
        while size <= ahead { size *= 2 }
        var larger = [Held](repeating: Held(), count: size)
        let largerMask = UInt32(size - 1)
        if count > 0 {
            for block in blocks {
                for step in 0..<block.start.distance(to: block.end) {
                    let seq = block.start.advanced(by: step)
                    swap(&larger[Int(seq.rawValue & largerMask)], &slots[Int(seq.rawValue & mask)])
                }
            }
        }
        slots = larger
        mask = largerMask
    }

    private mutating func addToBlocks(_ seq: SequenceNumber, from next: SequenceNumber) {
        let ahead = next.distance(to: seq)
        // The first block that starts after this number; most arrivals belong at the end.
        var low = 0
        var high = blocks.count
        if let last = blocks.last, next.distance(to: last.start) < ahead {
            low = high
        } else {
            while low < high {
                let middle = (low + high) / 2
                if next.distance(to: blocks[middle].start) <= ahead { low = middle + 1 } else { high = middle }
            }
        }
        let after = seq.advanced(by: 1)
        let joinsPrevious = low > 0 && blocks[low - 1].end == seq
        let joinsNext = low < blocks.count && blocks[low].start == after
        switch (joinsPrevious, joinsNext) {
        case (true, true):
            blocks[low - 1].end = blocks[low].end
            blocks.remove(at: low)
        case (true, false): blocks[low - 1].end = after
        case (false, true): blocks[low].start = seq
        case (false, false): blocks.insert(SACKBlock(seq, after), at: low)
        }
    }
}
