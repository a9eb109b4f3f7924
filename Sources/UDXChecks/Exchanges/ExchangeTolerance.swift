import Conformance

/// Where our answer must or may differ from the packet that libudx sent in a golden exchange, each computed exactly from the script:
/// what is compared is then the adjusted packet, byte for byte. Nothing else is tolerated.
struct ExchangeTolerance {
    static let holes = "UDX-18: all blocks that are held are reported, where libudx's scan stops early"
    static let tinyWindow = "UDX-33: a window below 2904 is advertised as 0"
    static let dataProbe = "UDX-35: after two unanswered HEARTBEATs the probe is one DATA packet beyond the window"
    static let linger = "UDX-59: after a graceful close a repeated DATA or END is acknowledged and not handed to the application"
    static let normalClose = "section 14.2: a time-out with only END unacknowledged, after the peer's end, is a normal close"
    static let firstWhole = "libudx 25b063b (October 2025): the first packet holds 1152 bytes, not 1132"
    static let padded = "libudx 25b063b (October 2025): a packet that probes for a larger MTU is padded with zeros"
    static let reopened = "udx.md section 7: one ACK announces that a closed window reopened"

    private let localID: UInt32
    /// A relay forwards what it gets: nothing of ours is in it.
    private let relays: Bool
    /// Numbers of DATA and END that the tester sent to the stream: nothing else can be reported.
    private var arrived: Set<UInt32> = []
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
    /// Once the first packet held 1152 bytes: what each number carries.
    private var cuts: [UInt32: [UInt8]]?
    private var cut = 0

    init(_ setup: ExchangeCase.Setup) {
        localID = setup.localID
        relays = setup.partner != nil
    }

    /// The tester's datagram, as far as the rules need it.
    mutating func testerSent(_ bytes: [UInt8]) {
        guard let packet = RawPacket(Array(bytes.prefix(2048))), packet.id == localID else { return }
        // Of a HEARTBEAT and of a broken packet nothing is used.
        guard !packet.has(RawPacket.heartbeat), Int(packet.dataOffset) <= packet.body.count else { return }
        unansweredProbes = 0
        testerWindow = packet.window
        if packet.has(RawPacket.data | RawPacket.end) { arrived.insert(packet.seq) }
    }

    /// `wanted` as ours must send it where `actual` tells more of what is held: the same ACK or SACK with all blocks, of which libudx's scan would
    /// have told just those of `wanted`, and of numbers only that the tester sent. Nil when it is not that.
    func withAllBlocks(_ wanted: [UInt8], as actual: [UInt8]) -> [UInt8]? {
        guard !relays, var packet = RawPacket(wanted), let got = RawPacket(actual), got.blocks != packet.blocks else { return nil }
        guard packet.type & ~RawPacket.sack == 0, got.type == RawPacket.sack, got.blocks.count <= 50 else { return nil }
        var numbers: [UInt32] = []
        for block in got.blocks {
            // An honest block lies within the span that is scanned.
            guard block.start &- packet.ack <= 65_536, block.end &- block.start <= 65_536 else { return nil }
            numbers += (0..<(block.end &- block.start)).map { block.start &+ $0 }
        }
        let held = HeldNumbers(numbers, above: packet.ack)
        guard held.blocks == got.blocks, arrived.isSuperset(of: numbers) else { return nil }
        let far = arrived.count { Int32(bitPattern: $0 &- packet.ack) > 65_536 }
        guard (0...min(far, 64)).contains(where: { held.blocksOfLibudx(beyond: $0) == packet.blocks }) else { return nil }
        packet.type = RawPacket.sack
        packet.body = RawPacket.sack(held.blocks)
        return packet.bytes
    }

    /// `wanted` as the text asks for it: an ACK while something is held is a SACK with all blocks. UDX-18.
    func withHeldBlocks(_ wanted: [UInt8]) -> [UInt8] {
        guard !relays, var packet = RawPacket(wanted), packet.type & ~RawPacket.sack == 0 else { return wanted }
        let blocks = HeldNumbers(arrived, above: packet.ack).blocks
        guard !blocks.isEmpty else { return wanted }
        packet.type = RawPacket.sack
        packet.body = RawPacket.sack(blocks)
        return packet.bytes
    }

    /// `wanted`, a HEARTBEAT, as the DATA packet beyond the window that ours may send in its place. What the tester says of its window last does not tell
    /// always that it is closed: not every packet sets it.
    func asDataProbe(_ wanted: [UInt8], as actual: [UInt8]) -> [UInt8]? {
        guard let packet = RawPacket(wanted), packet.type == RawPacket.heartbeat, unansweredProbes > 0, unansweredProbes % 3 == 0 else {
            return nil
        }
        guard let got = RawPacket(actual), got.has(RawPacket.data | RawPacket.end) else { return nil }
        return dataProbe(packet).bytes
    }

    /// `wanted`, a packet with data, as a build sends it that fills its first packet where the recorded one leaves 20 bytes: all that follows is cut
    /// 20 bytes later.
    mutating func recut(_ wanted: [UInt8], as actual: [UInt8]) -> [UInt8]? {
        guard !relays, var packet = RawPacket(wanted), packet.has(RawPacket.data), packet.dataOffset == 0 else { return nil }
        if cuts == nil {
            guard packet.body.count == 1132, carried == 1132, RawPacket(actual)?.body.count == 1152 else { return nil }
            cuts = [:]
        }
        let body = cuts?[packet.seq] ?? Array(written.dropFirst(cut).prefix(1152))
        if cuts?.updateValue(body, forKey: packet.seq) == nil { cut += body.count }
        packet.body = body
        return packet.bytes
    }

    /// A packet with data without its padding of zeros, where that made it larger than every path takes.
    static func withoutPadding(_ actual: [UInt8]) -> [UInt8]? {
        guard var packet = RawPacket(actual), packet.has(RawPacket.data), !packet.has(RawPacket.sack), packet.dataOffset > 0 else {
            return nil
        }
        let padding = packet.body.prefix(Int(packet.dataOffset))
        guard padding.count == Int(packet.dataOffset), padding.allSatisfy({ $0 == 0 }), actual.count + 28 > 1200 else { return nil }
        packet.body = Array(packet.body.dropFirst(padding.count))
        packet.dataOffset = 0
        return packet.bytes
    }

    private func dataProbe(_ heartbeat: RawPacket) -> RawPacket {
        var packet = heartbeat
        let rest = written.dropFirst(carried)
        packet.body = Array(rest.prefix(highestCarried == nil ? 1132 : 1152))
        packet.type = rest.isEmpty ? 0 : RawPacket.data
        if hasEnded && packet.body.count == rest.count { packet.type |= RawPacket.end }
        return packet
    }

    /// The DATA packet took the place of a probe.
    mutating func dataProbeSent(_ packet: [UInt8]) { dataProbe = RawPacket(packet)?.seq }

    /// What ours must send where libudx sent `recorded`, and why it differs, if it does.
    mutating func adjust(_ recorded: [UInt8]) -> (bytes: [UInt8], reasons: [String]) {
        guard !relays, var packet = RawPacket(recorded) else { return (recorded, []) }
        var reasons: [String] = []
        if packet.window > 0 && packet.window < 2904 && Int(packet.window) == maximumReceiveSize - heldBytes {
            packet.window = 0
            reasons.append(ExchangeTolerance.tinyWindow)
        }
        if packet.type == RawPacket.heartbeat {
            unansweredProbes += 1
            if testerWindow == 0 && unansweredProbes % 3 == 0 {
                packet = dataProbe(packet)
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

    /// Whether a lingering stream answers this datagram.
    func isAnsweredLate(_ bytes: [UInt8]) -> Bool {
        guard let packet = RawPacket(bytes), packet.id == localID else { return false }
        return packet.has(RawPacket.data | RawPacket.end) && !packet.has(RawPacket.heartbeat)
    }

    /// The ACK that a lingering stream gives: what it last said of both directions.
    var lingeringAnswer: [UInt8]? {
        guard var answer = lastOwn, let lastOwn else { return nil }
        answer.type = 0
        answer.dataOffset = 0
        answer.body = []
        // A packet that consumed a number leaves the next one for the ACKs after it.
        if lastOwn.has(RawPacket.data | RawPacket.end) { answer.seq &+= 1 }
        return answer.bytes
    }
}
