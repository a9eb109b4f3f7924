import Conformance

/// Where our answer must or may differ from the packet that libudx sent in a golden exchange, each computed exactly from the script:
/// what is compared is then the adjusted packet, byte for byte. Nothing else is tolerated.
struct ExchangeTolerance {
    static let holes = "UDX-18: all blocks that are held are reported, where libudx's scan stops early"
    static let tinyWindow = "UDX-33: a window below 2904 is advertised as 0"
    static let dataProbe = "UDX-35: after two unanswered HEARTBEATs the probe is one DATA packet beyond the window"
    static let linger = "UDX-59: after a graceful close a repeated DATA or END is acknowledged and not handed to the application"
    static let normalClose = "section 14.2: a time-out with only END unacknowledged, after the peer's end, is a normal close"
    static let reopened = "udx.md section 7: one ACK announces that a closed window reopened"

    private let localID: UInt32
    private let firstExpected: UInt32
    /// A relay forwards what it gets: nothing of ours is in it.
    private let relays: Bool
    /// Numbers of DATA and END that the tester sent to the stream and that an honest receiver holds or has taken in, in the order of arrival.
    private var arrived: [UInt32] = []
    /// How many of them had arrived when each packet came that asks for an ACK: the ACKs of a burst see one after the other.
    private var moments: [Int] = []
    /// HEARTBEATs of the recording since the tester last sent anything.
    private var unansweredProbes = 0
    /// The number of the DATA packet that probed the closed window.
    private var dataProbe: UInt32?
    private(set) var lastOwn: RawPacket?
    /// All that the application wrote, each byte once.
    var written: [UInt8] = []
    private var carried = 0
    private var highestCarried: UInt32?

    init(_ setup: ExchangeCase.Setup) {
        localID = setup.localID
        firstExpected = setup.remoteSeq
        relays = setup.partner != nil
    }

    /// The tester's datagram, as far as the rules need it.
    mutating func testerSent(_ bytes: [UInt8]) {
        guard let packet = RawPacket(Array(bytes.prefix(2048))), packet.id == localID else { return }
        unansweredProbes = 0
        if packet.has(RawPacket.heartbeat) { return moments.append(arrived.count) }
        guard Int(packet.dataOffset) <= packet.body.count else { return }
        if packet.has(RawPacket.data | RawPacket.end), Int32(bitPattern: packet.seq &- firstExpected) >= 0 {
            // Beyond this span nothing is reported, and ours holds nothing. UDX-40.
            if packet.seq &- firstExpected < 65_536 && !arrived.contains(packet.seq) { arrived.append(packet.seq) }
            moments.append(arrived.count)
        }
    }

    /// A receive step is over: the next ACKs answer what comes now.
    mutating func stepEnded() { moments = [] }

    /// What ours must send where libudx sent `recorded`, and why it differs, if it does.
    mutating func adjust(_ recorded: [UInt8], deviates: [String]) -> (bytes: [UInt8], reasons: [String]) {
        guard !relays, var packet = RawPacket(recorded) else { return (recorded, []) }
        var reasons: [String] = []
        if packet.window > 0 && packet.window < 2904 {
            packet.window = 0
            reasons.append(ExchangeTolerance.tinyWindow)
        }
        if packet.type == 0 || packet.type == RawPacket.sack {
            let moment = moments.isEmpty ? arrived.count : moments.removeFirst()
            let blocks = heldBlocks(arrived[..<moment], above: packet.ack)
            if blocks != packet.blocks {
                packet.type = blocks.isEmpty ? 0 : RawPacket.sack
                packet.body = RawPacket.sack(blocks)
                reasons.append(ExchangeTolerance.holes)
            }
        }
        if packet.type == RawPacket.heartbeat && packet.id != 0 {
            unansweredProbes += 1
            if deviates.contains("UDX-35") && unansweredProbes % 3 == 0 {
                packet.type = RawPacket.data
                packet.body = Array(written.dropFirst(carried).prefix(1152))
                reasons.append(ExchangeTolerance.dataProbe)
                dataProbe = packet.seq
            } else if packet.seq == dataProbe {
                // The probe consumed that number, so snd.nxt is one more.
                packet.seq &+= 1
            }
        } else if packet.has(RawPacket.data), Int32(bitPattern: packet.seq &- (highestCarried ?? packet.seq &- 1)) > 0 {
            highestCarried = packet.seq
            carried += packet.body.count - Int(packet.dataOffset)
        }
        lastOwn = packet
        return (packet.bytes, reasons)
    }

    /// The ACK that a lingering stream gives: what it last said of both directions.
    func lingeringAnswer(to bytes: [UInt8]) -> [UInt8]? {
        guard let packet = RawPacket(bytes), packet.id == localID, let lastOwn else { return nil }
        guard packet.has(RawPacket.data | RawPacket.end), !packet.has(RawPacket.heartbeat) else { return nil }
        var answer = lastOwn
        answer.type = 0
        answer.dataOffset = 0
        answer.body = []
        // A packet that consumed a number leaves the next one for the ACKs after it.
        if lastOwn.has(RawPacket.data | RawPacket.end) { answer.seq &+= 1 }
        return answer.bytes
    }

    private func heldBlocks(_ arrived: ArraySlice<UInt32>, above ack: UInt32) -> [Range32] {
        let ahead = arrived.map { $0 &- ack }.filter { Int32(bitPattern: $0) > 0 }.sorted()
        var blocks: [Range32] = []
        for distance in ahead {
            let seq = ack &+ distance
            if let last = blocks.last, last.end == seq {
                blocks[blocks.count - 1].end = seq &+ 1
            } else {
                blocks.append(Range32(start: seq, end: seq &+ 1))
            }
        }
        return Array(blocks.prefix(50))
    }
}
