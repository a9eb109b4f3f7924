/// Bytes that wait to become packets: whole writes, taken from the front in pieces, each byte copied once.
struct SendQueue {
    private var chunks: [[UInt8]] = []
    /// Index of the first chunk that is not used up, and the first unused byte in it.
    private var head = 0
    private var offset = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        chunks.append(bytes)
        count += bytes.count
    }

    /// Moves the first bytes to `target`, as many as it holds or as there are.
    mutating func take(into target: UnsafeMutableRawBufferPointer) {
        var wanted = min(target.count, count)
        var position = 0
        count -= wanted
        while wanted > 0 {
            let available = chunks[head].count - offset
            let piece = min(wanted, available)
            chunks[head].withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: target[position..<position + piece])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + piece]))
            }
            wanted -= piece
            position += piece
            offset += piece
            if piece == available {
                chunks[head] = []
                head += 1
                offset = 0
                compact()
            }
        }
    }

    mutating func removeAll() {
        self = SendQueue()
    }

    private mutating func compact() {
        if head == chunks.count {
            chunks.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64 && head * 2 >= chunks.count {
            chunks.removeFirst(head)
            head = 0
        }
    }
}
