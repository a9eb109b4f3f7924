import Dissection
import SansIO

/// How long a socket was silent: a process that is held up sends nothing, so that time says nothing about the delay of an answer.
struct SendingClock {
    /// Silences that are longer than this don't count, in nanoseconds.
    static let silence: Int64 = 5_000_000

    private struct Sendings {
        var times: [Int64] = []
        /// Time that counts, from the first sending to each.
        var active: [Int64] = []
    }

    private var sockets: [Endpoint: Sendings] = [:]

    init(_ packets: [DissectedPacket]) {
        for packet in packets {
            let time = packet.packet.timeNanoseconds
            var known = sockets[packet.packet.source] ?? Sendings()
            sockets[packet.packet.source] = nil
            if let last = known.times.last, let sum = known.active.last {
                known.active.append(sum + SendingClock.counted(time - last))
            } else {
                known.active.append(0)
            }
            known.times.append(time)
            sockets[packet.packet.source] = known
        }
    }

    private static func counted(_ gap: Int64) -> Int64 { gap > silence ? 1_000_000 : gap }

    /// Nanoseconds from `start` to `end` without the silences of `socket`.
    func active(_ socket: Endpoint, from start: Int64, to end: Int64) -> Int64 {
        guard end > start else { return 0 }
        guard let known = sockets[socket] else { return SendingClock.counted(end - start) }
        let first = SendingClock.index(known.times, after: start)
        guard first < known.times.count, known.times[first] <= end else { return SendingClock.counted(end - start) }
        let last = SendingClock.index(known.times, after: end) - 1
        return SendingClock.counted(known.times[first] - start) + known.active[last] - known.active[first]
            + SendingClock.counted(end - known.times[last])
    }

    /// The first sending of `socket` after an instant.
    func next(_ socket: Endpoint, after time: Int64) -> Int64? {
        guard let times = sockets[socket]?.times else { return nil }
        let index = SendingClock.index(times, after: time)
        return index < times.count ? times[index] : nil
    }

    private static func index(_ times: [Int64], after time: Int64) -> Int {
        var low = 0
        var high = times.count
        while low < high {
            let middle = (low + high) / 2
            if times[middle] <= time { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
