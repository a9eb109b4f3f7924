/// What one acknowledgement says about the path. udx.md section 12.1.
struct RateSample {
    /// Packets delivered over `interval`; nil when the sample is no good.
    var delivered: Int?
    var interval: Int64 = 0
    /// Round-trip time of the newest packet that this ACK names, or nil.
    var roundTrip: Int64?
    /// Packets newly acknowledged, cumulatively or by SACK.
    var acknowledged = 0
    /// Packets found lost.
    var losses = 0
    var isAppLimited = false
    var wasRetransmitted = false

    // Of the packet that the sample is based on.
    var hasBase = false
    var priorDelivered = 0
    var priorTime: Int64 = 0
    var seq = SequenceNumber.zero
}

/// Counts deliveries and makes rate samples of them. Packets and milliseconds.
struct DeliveryRate {
    private(set) var delivered = 0
    private(set) var deliveredAt: Int64 = 0
    private var firstSentAt: Int64 = 0
    /// The flow is limited by its application until this many packets are delivered; a stream starts that way.
    var appLimitedUntil: Int? = -1

    /// Notes the delivery state in a packet that is about to be sent.
    mutating func sending(_ packet: inout SentPacket, at now: Int64, nothingOutstanding: Bool) {
        if nothingOutstanding {
            firstSentAt = now
            deliveredAt = now
        }
        packet.firstSentAt = firstSentAt
        packet.deliveredAt = deliveredAt
        packet.delivered = delivered
        packet.wasAppLimited = appLimitedUntil != nil
    }

    /// One packet was acknowledged.
    mutating func acknowledged(_ packet: SentPacket, _ seq: SequenceNumber, in sample: inout RateSample) {
        if !sample.hasBase || isSentAfter(packet.sentAt, seq, firstSentAt, sample.seq) {
            sample.hasBase = true
            sample.priorDelivered = packet.delivered
            sample.priorTime = packet.deliveredAt
            sample.isAppLimited = packet.wasAppLimited
            sample.wasRetransmitted = packet.wasRetransmitted
            sample.seq = seq
            firstSentAt = packet.sentAt
            sample.interval = max(0, firstSentAt - packet.firstSentAt)
        }
        delivered += 1
    }

    mutating func markAppLimited(inFlight: Int) { appLimitedUntil = delivered + inFlight }

    /// Completes the sample of one ACK.
    mutating func complete(_ sample: inout RateSample, acknowledged: Int, losses: Int, at now: Int64, minimumRTT: Int64?) {
        if let limit = appLimitedUntil, delivered > limit { appLimitedUntil = nil }
        if acknowledged > 0 { deliveredAt = now }
        sample.acknowledged = acknowledged
        sample.losses = losses
        guard sample.hasBase else { return }
        sample.interval = max(sample.interval, now - sample.priorTime)
        // Shorter than any round trip: an artefact of compressed or spurious acknowledgements.
        if sample.interval < (minimumRTT ?? .max) || sample.interval <= 0 { return }
        sample.delivered = delivered - sample.priorDelivered
    }
}

/// Whether packet (time1, seq1) was sent after (time2, seq2).
func isSentAfter(_ time1: Int64, _ seq1: SequenceNumber, _ time2: Int64, _ seq2: SequenceNumber) -> Bool {
    time1 > time2 || (time1 == time2 && seq1.isAfter(seq2))
}
