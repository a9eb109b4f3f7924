import PacketCapture
import SansIO

/// How long a recorded process did nothing at all although a datagram lay unread: then its timers stood still, too, and nothing tells what
/// they would have done.
struct ReadDelay {
    /// What a replay can bear; a machine that has nothing else to do stays below it.
    static let longest = Interval.milliseconds(3)

    private(set) var silence = Interval.zero
    /// Number of the packet that lay unread.
    private(set) var packet = 0

    /// `sent`: when packets left the process, in order.
    private let sent: [Instant]

    init(_ capture: Capture, from host: IPAddress) {
        sent = capture.packets.filter { $0.source.address == host }.map(\.time)
    }

    /// A datagram came, and its answer left: the longest time between the two in which nothing left.
    mutating func note(_ number: Int, arrived: Instant, answered: Instant) {
        var low = 0
        var high = sent.count
        while low < high {
            let middle = (low + high) / 2
            if sent[middle] <= arrived { low = middle + 1 } else { high = middle }
        }
        var last = arrived
        while low < sent.count, sent[low] <= answered {
            add(number, sent[low] - last)
            last = sent[low]
            low += 1
        }
        add(number, answered - last)
    }

    private mutating func add(_ number: Int, _ time: Interval) { if time > silence { (silence, packet) = (time, number) } }
}
