import Conformance

/// Where our answer must or may differ from the packet that libudx sent in a golden exchange, each computed exactly from the script:
/// what is compared is then the adjusted packet, byte for byte. Nothing else is tolerated.
struct ExchangeTolerance {
    static let holes = "UDX-18: all blocks that are held are reported, where libudx's scan stops early"
    static let tinyWindow = "UDX-33: a window below 2904 is advertised as 0"
    static let dataProbe = "UDX-35: after two unanswered HEARTBEATs the probe is one DATA packet beyond the window"
    static let reordering =
        "udx.md 11.1: libudx sees reordering where its own first number is above 2^31 and repairs a quarter of a round trip later"
    static let linger = "UDX-59: after a graceful close a repeated DATA or END is acknowledged and not handed to the application"
    static let normalClose = "section 14.2: a time-out with only END unacknowledged, after the peer's end, is a normal close"
    static let reopened = "udx.md section 7: one ACK announces that a closed window reopened"

    private let localID: UInt32
    private var nextExpected: UInt32
    private let firstOwn: UInt32
    /// A relay forwards what it gets: nothing of ours is in it.
    private let relays: Bool
    /// Numbers of DATA and END that the tester sent to the stream and that an honest receiver holds or has taken in, in the order of arrival.
    private var arrived: [UInt32] = []
    /// How many of them had arrived when each packet came that asks for an ACK: the ACKs of a burst see one after the other.
    private var moments: [Int] = []
    /// The tester's last word on its window; and HEARTBEATs of the recording since it last sent anything.
    private var testerWindow = UInt32.max
    private var unansweredProbes = 0
    /// The number of the DATA packet that probed the closed window.
    private var dataProbe: UInt32?
    private(set) var lastOwn: RawPacket?
    /// All that the application wrote, each byte once.
    var written: [UInt8] = []
    var hasEnded = false
    /// What the window is counted down from, and by how much.
    var maximumReceiveSize = 4_194_304
    var heldBytes = 0
    private var carried = 0
    private var highestCarried: UInt32?

    init(_ setup: ExchangeCase.Setup) {
        localID = setup.localID
        nextExpected = setup.remoteSeq
        firstOwn = setup.localSeq
        relays = setup.partner != nil
    }

    /// The tester's datagram, as far as the rules need it.
    mutating func testerSent(_ bytes: [UInt8]) {
        guard let packet = RawPacket(Array(bytes.prefix(2048))), packet.id == localID else { return }
        unansweredProbes = 0
        testerWindow = packet.window
        if packet.has(RawPacket.heartbeat) { return moments.append(arrived.count) }
        guard Int(packet.dataOffset) <= packet.body.count else { return }
        guard packet.has(RawPacket.data | RawPacket.end) else { return }
        let ahead = Int32(bitPattern: packet.seq &- nextExpected)
        // Beyond this span nothing is reported, and ours holds nothing. UDX-40.
        if ahead >= 0 && ahead <= 65_536 && !arrived.contains(packet.seq) { arrived.append(packet.seq) }
        while arrived.contains(nextExpected) { nextExpected &+= 1 }
        moments.append(arrived.count)
    }

    /// A receive step is over: the next ACKs answer what comes now.
    mutating func stepEnded() { moments = [] }

    /// What ours must send where libudx sent `recorded`, and why it differs, if it does.
    mutating func adjust(_ recorded: [UInt8]) -> (bytes: [UInt8], reasons: [String]) {
        guard !relays, var packet = RawPacket(recorded) else { return (recorded, []) }
        var reasons: [String] = []
        if packet.window > 0 && packet.window < 2904 && Int(packet.window) == maximumReceiveSize - heldBytes {
            packet.window = 0
            reasons.append(ExchangeTolerance.tinyWindow)
        }
        if packet.type == 0 || packet.type == RawPacket.sack {
            let moment = moments.isEmpty ? arrived.count : moments.removeFirst()
            let held = HeldNumbers(arrived[..<moment], above: packet.ack)
            // Only where libudx said what its scan says.
            if held.blocks != held.blocksOfLibudx && packet.blocks == held.blocksOfLibudx {
                packet.type = RawPacket.sack
                packet.body = RawPacket.sack(held.blocks)
                reasons.append(ExchangeTolerance.holes)
            }
        }
        if packet.type == RawPacket.heartbeat {
            if testerWindow == 0 { unansweredProbes += 1 }
            if unansweredProbes > 0 && unansweredProbes % 3 == 0 {
                let rest = written.dropFirst(carried)
                packet.body = Array(rest.prefix(highestCarried == nil ? 1132 : 1152))
                packet.type = rest.isEmpty ? 0 : RawPacket.data
                if hasEnded && packet.body.count == rest.count { packet.type |= RawPacket.end }
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

    /// Whether this packet of ours repeats one, in a case where libudx's false idea of reordering delays repairs.
    func isDelayedRepair(_ recorded: [UInt8]) -> Bool {
        guard let packet = RawPacket(recorded), packet.has(RawPacket.data | RawPacket.end), let highestCarried else { return false }
        return firstOwn > 0x8000_0000 && Int32(bitPattern: packet.seq &- highestCarried) <= 0
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
}
