import SansIO

/// One stream's state. Its rules are in the extensions beside this file, by section of udx.md.
///
/// The stored properties are exempt from dynamic exclusivity checks, which took a quarter of the time of a packet: a stream is only entered through its
/// instance, one call at a time, and nothing here calls out.
final class Stream {
    enum Timer {
        case none, retransmission, reordering, tailProbe, zeroWindow, keepalive
    }

    let context: Context
    let id: StreamID

    // MARK: Connection

    @exclusivity(unchecked) var socket: SocketID?
    @exclusivity(unchecked) var remote = Endpoint(.any, 0)
    @exclusivity(unchecked) var remoteID = StreamID(0)
    /// Where the stream was first connected to.
    @exclusivity(unchecked) var firstRemote = Endpoint(.any, 0)
    @exclusivity(unchecked) var isConnected = false
    /// Both directions had ended when it closed: late packets are still acknowledged. UDX-59.
    @exclusivity(unchecked) var closedGracefully = false
    @exclusivity(unchecked) var isClosed = false
    @exclusivity(unchecked) var firewall: FirewallRule
    /// An ACK that falls due before the stream is connected is remembered. UDX-66.
    @exclusivity(unchecked) var owesAcknowledgement = false
    /// Acknowledged up to here, the change of remote is complete. UDX-73a.
    @exclusivity(unchecked) var remoteChangesAt: SequenceNumber?

    @exclusivity(unchecked) var relayTarget: Stream?
    @exclusivity(unchecked) var relaySources: [Stream] = []
    @exclusivity(unchecked) var hasRelayed = false

    // MARK: Receiving

    @exclusivity(unchecked) var buffer = ReceiveBuffer()
    @exclusivity(unchecked) var nextExpected = SequenceNumber.zero
    /// The number of the peer's END.
    @exclusivity(unchecked) var remoteEnd: SequenceNumber?
    @exclusivity(unchecked) var hasReportedEnd = false
    @exclusivity(unchecked) var heldBytes: UInt32 = 0
    @exclusivity(unchecked) var maximumReceiveSize: UInt32
    @exclusivity(unchecked) var lastAdvertisedWindow: UInt32
    /// DATA packets in order of the present burst that no ACK answers yet.
    @exclusivity(unchecked) var unanswered = 0

    // MARK: Sending

    @exclusivity(unchecked) var queue = SendQueue()
    let sent = SentPackets()
    @exclusivity(unchecked) var inFlight = PacketQueue()
    @exclusivity(unchecked) var lost = PacketQueue()
    @exclusivity(unchecked) var sndNxt = SequenceNumber.zero
    @exclusivity(unchecked) var sndUna = SequenceNumber.zero
    /// Written and not acknowledged.
    @exclusivity(unchecked) var bytesQueued = 0
    /// Payload room of the packet that is built next; decided when the one before it left, as the reference does.
    @exclusivity(unchecked) var capacity = PathMTU.base - 68
    @exclusivity(unchecked) var hasPartialPacket = false
    @exclusivity(unchecked) var endRequested = false
    /// The final write had bytes of its own, so its last packet carries END even when it is full.
    @exclusivity(unchecked) var endSharesLastPacket = false
    @exclusivity(unchecked) var endSent = false
    /// Everything including END is acknowledged.
    @exclusivity(unchecked) var hasEnded = false
    @exclusivity(unchecked) var isAboveHighWater = false
    @exclusivity(unchecked) var flushMarks: [(bytes: UInt64, token: UInt64)] = []
    @exclusivity(unchecked) var bytesWritten: UInt64 = 0
    @exclusivity(unchecked) var bytesAcknowledged: UInt64 = 0

    @exclusivity(unchecked) var peerWindow: UInt32 = 4_194_304
    @exclusivity(unchecked) var windowUpdateSeq = SequenceNumber.zero
    @exclusivity(unchecked) var windowUpdateAck = SequenceNumber.zero
    @exclusivity(unchecked) var unansweredProbes = 0
    /// A DATA or END packet that was sent in spite of a closed window. UDX-35.
    @exclusivity(unchecked) var zeroWindowProbe: SequenceNumber?

    // MARK: Loss detection

    @exclusivity(unchecked) var recovery = RecoveryState.open
    @exclusivity(unchecked) var recoveryMark = SequenceNumber.zero
    /// Packets above snd.una that SACK reported.
    @exclusivity(unchecked) var sackedCount = 0
    // RACK counts in microseconds: on a path of less than a millisecond the reference's clock takes each packet of the same tick for lost.
    @exclusivity(unchecked) var rackRTT: Int64 = 0
    @exclusivity(unchecked) var rackSentAt: Int64 = -1
    @exclusivity(unchecked) var rackNext = SequenceNumber.zero
    /// Starts at 0 whatever the initial number, as the reference's mark does (udx.md section 11.1): repairs wait the same time.
    @exclusivity(unchecked) var forwardMost = SequenceNumber.zero
    @exclusivity(unchecked) var hasSeenReordering = false
    /// Retransmissions that the last ACK allows whatever the window: one for each packet that it reported. Where more is held than fifty blocks
    /// can say, packets count as in flight that arrived long ago.
    @exclusivity(unchecked) var repairCredit = 0
    @exclusivity(unchecked) var lostTotal = 0
    @exclusivity(unchecked) var tailProbeInFlight = false
    @exclusivity(unchecked) var tailProbeIsRetransmission = false
    @exclusivity(unchecked) var tailProbePermitted = false
    @exclusivity(unchecked) var tailProbeEnd = SequenceNumber.zero
    @exclusivity(unchecked) var heardSinceTimeout = false
    @exclusivity(unchecked) var timeoutsWithoutProgress = 0
    @exclusivity(unchecked) var timeoutsWithNothingLost = 0

    // MARK: Rate

    @exclusivity(unchecked) var rtt: RoundTripEstimator
    @exclusivity(unchecked) var delivery = DeliveryRate()
    @exclusivity(unchecked) var congestion: CongestionController
    @exclusivity(unchecked) var pacer: Pacer
    @exclusivity(unchecked) var pacingDeadline: Int64 = .max
    @exclusivity(unchecked) var mtu: PathMTU

    // MARK: Timers

    @exclusivity(unchecked) var timer = Timer.none
    @exclusivity(unchecked) var timerDeadline: Int64 = .max
    @exclusivity(unchecked) var retransmissionDeadline: Int64 = 0
    @exclusivity(unchecked) var keepaliveMilliseconds: Int64 = 0

    // MARK: Counters

    @exclusivity(unchecked) var bytesSent: UInt64 = 0
    @exclusivity(unchecked) var bytesReceived: UInt64 = 0
    @exclusivity(unchecked) var packetsSent: UInt64 = 0
    @exclusivity(unchecked) var packetsReceived: UInt64 = 0
    @exclusivity(unchecked) var retransmissions: UInt64 = 0
    @exclusivity(unchecked) var timeouts: UInt64 = 0
    @exclusivity(unchecked) var fastRecoveries: UInt64 = 0

    init(context: Context, id: StreamID, initialSequence: SequenceNumber, firewall: FirewallRule) {
        self.context = context
        self.id = id
        self.firewall = firewall
        maximumReceiveSize = context.limits.receiveWindow
        lastAdvertisedWindow = context.limits.receiveWindow
        rtt = RoundTripEstimator(at: context.now)
        congestion = CongestionController(context.limits.congestionControl, maximumPayload: PathMTU.base - 68, at: context.now)
        pacer = Pacer(at: context.now)
        mtu = PathMTU(probes: context.limits.probesPathMTU)
        sndNxt = initialSequence
        sndUna = initialSequence
        windowUpdateAck = initialSequence
        recoveryMark = initialSequence
        /// UDX-28.
        if Mutation.udx(28).isActive { peerWindow = 0 }
    }

    var isOutstanding: Bool { sndUna != sndNxt }
    /// Bytes or an END that no packet carries yet.
    var hasUnsent: Bool { !queue.isEmpty || (endRequested && !endSent) }

    /// UDX-37. Bytes of payload in a new packet.
    var maximumPayload: Int {
        if Mutation.udx(37).isActive { return mtu.size - PathMTU.overhead(remote.address) + 32 }
        return mtu.size - PathMTU.overhead(remote.address)
    }

    var flight: FlightState {
        FlightState(
            now: context.now, inFlight: inFlight.count, delivered: delivery.delivered, deliveredAt: delivery.deliveredAt,
            smoothedRTT: rtt.smoothed, maximumPayload: maximumPayload, recovery: recovery)
    }

    var nextDeadline: Int64 { min(timer == .none ? .max : timerDeadline, pacingDeadline) }

    var statistics: StreamStatistics {
        StreamStatistics(
            smoothedRTTMilliseconds: rtt.smoothed, rttVarianceMilliseconds: rtt.variance, retransmissionTimeoutMilliseconds: rtt.timeout,
            congestionWindow: congestion.window, packetsInFlight: inFlight.count, packetsWaitingForRetransmission: lost.count,
            pacingRate: congestion.pacingRate, peerWindow: peerWindow, ownWindow: advertisedWindow, mtu: mtu.size,
            nextSequenceNumber: sndNxt, unacknowledged: sndUna, nextExpected: nextExpected, bytesQueued: bytesQueued,
            bytesHeldOutOfOrder: buffer.bytes, packetsHeldOutOfOrder: buffer.count, bytesSent: bytesSent, bytesReceived: bytesReceived,
            packetsSent: packetsSent, packetsReceived: packetsReceived, retransmissions: retransmissions, timeouts: timeouts,
            fastRecoveries: fastRecoveries, socket: socket, remote: isConnected ? remote : nil, remoteID: remoteID,
            isConnected: isConnected)
    }
}
