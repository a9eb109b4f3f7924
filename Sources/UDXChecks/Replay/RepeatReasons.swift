import SansIO

/// Why a stream repeats what it sent: each copy has a reason in what the stream had read by then, or in the time that had passed.
///
/// Where packets are lost, how often a replayed stream repeats says little: it is fed acknowledgements that answer the recorded
/// party's packets, and what it sent a few milliseconds before the recorded party did looks lost to it. So every copy is judged by itself.
struct RepeatReasons {
    /// Of what left in one instant the higher number counts as later, as RFC 8985 has it.
    private struct Sending {
        let at: Instant
        let seq: UInt32

        func isBefore(_ other: Sending) -> Bool { at < other.at || at == other.at && Int32(bitPattern: other.seq &- seq) > 0 }
    }

    /// Less than the shortest retransmission timeout, by the millisecond to which times are rounded.
    private static let timeout = Interval.milliseconds(999)

    private var sendings: [UInt32: Sending] = [:]
    private var acknowledged: Set<UInt32> = []
    private var cumulative: UInt32 = 0
    private var highest: UInt32?
    /// The latest sending of any packet that was acknowledged.
    private var newestArrived: Sending?
    private var probesSinceAnswer = 0
    /// Copies without a reason, in words.
    private(set) var unexplained: [String] = []
    private(set) var copies = 0

    /// What the stream read.
    mutating func read(_ packet: RawPacket) {
        var arrived: [UInt32] = []
        while Int32(bitPattern: packet.ack &- cumulative) > 0 {
            arrived.append(cumulative)
            cumulative &+= 1
        }
        if packet.type & ~RawPacket.sack == 0 {
            for block in packet.blocks where block.end &- block.start < 70_000 {
                var number = block.start
                while number != block.end {
                    arrived.append(number)
                    number &+= 1
                }
            }
        }
        for number in arrived where acknowledged.insert(number).inserted {
            probesSinceAnswer = 0
            if let sending = sendings[number], newestArrived.map({ $0.isBefore(sending) }) ?? true { newestArrived = sending }
        }
    }

    /// A DATA or END that the stream sent.
    mutating func sent(_ packet: RawPacket, at now: Instant) {
        let seq = packet.seq
        defer {
            sendings[seq] = Sending(at: now, seq: seq)
            if highest.map({ Int32(bitPattern: seq &- $0) > 0 }) ?? true { highest = seq }
        }
        guard let before = sendings[seq] else { return }
        copies += 1
        if acknowledged.contains(seq) {
            unexplained.append("seq \(seq) after it had been acknowledged")
        } else if newestArrived.map({ before.isBefore($0) }) ?? false || now - before.at >= RepeatReasons.timeout {
            return
        } else if seq == highest, probesSinceAnswer < 2 {
            probesSinceAnswer += 1
        } else {
            unexplained.append("seq \(seq), \((now - before.at).milliseconds) ms after its last copy, and nothing sent later had arrived")
        }
    }
}
