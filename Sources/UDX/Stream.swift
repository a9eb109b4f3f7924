import SansIO

/// One stream's state. Its rules are in the extensions beside this file, by section of udx.md.
final class Stream {
    enum Timer {
        case none, retransmission, reordering, tailProbe, zeroWindow, keepalive
    }

    let context: Context
    let id: StreamID

    // MARK: Connection

    var socket: SocketID?
    var remote = Endpoint(.any, 0)
    var remoteID = StreamID(0)
    /// Where the stream was first connected to.
    var firstRemote = Endpoint(.any, 0)
    var isConnected = false
    /// Both directions had ended when it closed: late packets are still acknowledged. UDX-59.
    var closedGracefully = false
    var isClosed = false
    var firewall: FirewallRule
    /// An ACK that falls due before the stream is connected is remembered. UDX-66.
    var owesAcknowledgement = false
    /// Acknowledged up to here, the change of remote is complete. UDX-73a.
    var remoteChangesAt: SequenceNumber?

    var relayTarget: Stream?
    var relaySources: [Stream] = []
    var hasRelayed = false

    // MARK: Receiving

    var buffer = ReceiveBuffer()
    var nextExpected = SequenceNumber.zero
    /// The number of the peer's END.
    var remoteEnd: SequenceNumber?
    var hasReportedEnd = false
    var heldBytes: UInt32 = 0
    var maximumReceiveSize: UInt32
    var lastAdvertisedWindow: UInt32

    // MARK: Sending

    var queue = SendQueue()
    var sent = SentPackets()
    var inFlight = PacketQueue()
    var lost = PacketQueue()
    var sndNxt = SequenceNumber.zero
    var sndUna = SequenceNumber.zero
    /// Written and not acknowledged.
    var bytesQueued = 0
    /// Payload room of the packet that is built next; decided when the one before it left, as the reference does.
    var capacity = PathMTU.base - 68
    var hasPartialPacket = false
    var endRequested = false
    /// The final write had bytes of its own, so its last packet carries END even when it is full.
    var endSharesLastPacket = false
    var endSent = false
    /// Everything including END is acknowledged.
    var hasEnded = false
    var isAboveHighWater = false
    var flushMarks: [(bytes: UInt64, token: UInt64)] = []
    var bytesWritten: UInt64 = 0
    var bytesAcknowledged: UInt64 = 0

    var peerWindow: UInt32 = 4_194_304
    var windowUpdateSeq = SequenceNumber.zero
    var windowUpdateAck = SequenceNumber.zero
    var unansweredProbes = 0
    /// A DATA or END packet that was sent in spite of a closed window. UDX-35.
    var zeroWindowProbe: SequenceNumber?

    // MARK: Loss detection

    var recovery = RecoveryState.open
    var recoveryMark = SequenceNumber.zero
    /// Packets above snd.una that SACK reported.
    var sackedCount = 0
    // RACK counts in microseconds: on a path of less than a millisecond the reference's clock takes each packet of the same tick for lost.
    var rackRTT: Int64 = 0
    var rackSentAt: Int64 = -1
    var rackNext = SequenceNumber.zero
    var forwardMost: SequenceNumber
    var hasSeenReordering = false
    /// Retransmissions that the last ACK allows whatever the window: one for each packet that it reported. Where more is held than fifty blocks
    /// can say, packets count as in flight that arrived long ago.
    var repairCredit = 0
    var lostTotal = 0
    var lostAtLastSample = 0
    var tailProbeInFlight = false
    var tailProbeIsRetransmission = false
    var tailProbePermitted = false
    var tailProbeEnd = SequenceNumber.zero
    var heardSinceTimeout = false
    var timeoutsWithoutProgress = 0
    var timeoutsWithNothingLost = 0

    // MARK: Rate

    var rtt: RoundTripEstimator
    var delivery = DeliveryRate()
    var congestion: CongestionController
    var pacer: Pacer
    var pacingDeadline: Int64 = .max
    var mtu: PathMTU

    // MARK: Timers

    var timer = Timer.none
    var timerDeadline: Int64 = .max
    var retransmissionDeadline: Int64 = 0
    var keepaliveMilliseconds: Int64 = 0

    // MARK: Counters

    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    var packetsSent: UInt64 = 0
    var packetsReceived: UInt64 = 0
    var retransmissions: UInt64 = 0
    var timeouts: UInt64 = 0
    var fastRecoveries: UInt64 = 0

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
        // The reference leaves this mark at 0 and so sees reordering where there is none (udx.md section 11.1).
        forwardMost = initialSequence
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
