import SansIO

/// RACK, tail loss probes, recovery, timeouts. udx.md sections 10 and 11.
extension Stream {
    /// Marks one packet acknowledged, cumulatively or by a SACK block; a packet that was SACKed before is final and gives nothing new.
    func acknowledgePacket(_ seq: SequenceNumber, bySACK: Bool, _ sample: inout RateSample) {
        guard sent[seq].isOutstanding else {
            if !bySACK { sackedCount -= 1 }
            return
        }
        /// UDX-48: what SACK reported is never sent again.
        if Mutation.udx(48).isActive && bySACK { return markLost(seq) }
        sent[seq].isOutstanding = false
        mtu.acknowledged(probe: sent[seq].isSizeProbe)
        let wasRetransmitted = sent[seq].wasRetransmitted
        if sent[seq].isSizeTrial && !wasRetransmitted { mtu.trialAcknowledged() }
        if bySACK { sackedCount += 1 }
        if sent[seq].isLost { sent.remove(seq, from: &lost) } else { sent.remove(seq, from: &inFlight) }
        let payloadCount = sent[seq].payloadCount
        context.recycle(&sent[seq].datagram)
        if zeroWindowProbe == seq { zeroWindowProbe = nil }

        delivery.acknowledged(sent[seq], seq, in: &sample)
        let next = seq.advanced(by: 1)
        let sentAtMicroseconds = sent[seq].sentAtMicroseconds
        let roundTrip = rtt.clamped(context.now - sent[seq].sentAt)
        let fineRoundTrip = min(context.nowMicroseconds - sentAtMicroseconds, (roundTrip + 1) * 1000)
        if !wasRetransmitted {
            rtt.add(roundTrip, microseconds: fineRoundTrip, at: context.now)
            tailProbePermitted = true
        }
        if !wasRetransmitted || fineRoundTrip >= rtt.minimumMicroseconds ?? .max {
            rackRTT = fineRoundTrip
            sample.roundTrip = roundTrip
            if isSentAfter(sentAtMicroseconds, next, rackSentAt, rackNext) {
                rackSentAt = sentAtMicroseconds
                rackNext = next
            }
        }
        if next.isAfter(forwardMost) {
            forwardMost = next
        } else if next.isBefore(forwardMost) && !wasRetransmitted {
            hasSeenReordering = true
        }
        bytesQueued -= payloadCount
        bytesAcknowledged &+= UInt64(payloadCount)
    }

    /// Microseconds.
    private var reorderingWindow: Int64 {
        if !hasSeenReordering && (recovery != .open || sackedCount >= 3) { return 0 }
        return (rtt.minimumMicroseconds ?? 0) / 4
    }

    private func markLost(_ seq: SequenceNumber) {
        guard sent[seq].isOutstanding, !sent[seq].isLost else { return }
        lostTotal += 1
        sent[seq].isLost = true
        sent.remove(seq, from: &inFlight)
        sent.insert(seq, ascendingIn: &lost)
        if sent[seq].isSizeProbe {
            /// UDX-42: without its padding the packet is sent again.
            mtu.probeLost()
            sent[seq].isSizeProbe = false
            if !Mutation.udx(42).isActive { sent[seq].padding = 0 }
        }
    }

    /// UDX-47. Packets sent long enough before the newest acknowledged one are lost. Returns the milliseconds after which to look again, or 0.
    private func detectLoss() -> Int64 {
        if Mutation.udx(47).isActive { return 0 }
        let window = reorderingWindow
        var longest: Int64 = 0
        var found = 0
        var probesFound = 0
        var cursor = inFlight.first
        while let seq = cursor {
            cursor = sent.next(after: seq, in: inFlight)
            let sentAt = sent[seq].sentAtMicroseconds
            // In the order of sending: nothing behind the newest acknowledged packet can be lost. A burst of one instant ends here, too.
            guard isSentAfter(rackSentAt, rackNext, sentAt, seq.advanced(by: 1)) else { break }
            if zeroWindowProbe == seq { continue }
            let remaining = sentAt + rackRTT + window - context.nowMicroseconds
            if remaining <= 0 {
                found += 1
                if sent[seq].isSizeProbe { probesFound += 1 }
                markLost(seq)
            } else {
                longest = max(longest, remaining)
            }
        }
        if found > probesFound && recovery == .open { startRecovery() }
        return (longest + 999) / 1000
    }

    private func startRecovery() {
        fastRecoveries &+= 1
        congestion.recoveryStarts()
        recovery = .recovery
        recoveryMark = sndNxt
        tailProbeInFlight = false
        tailProbeIsRetransmission = false
    }

    /// Returns whether the reordering timer runs now.
    func detectLossAndArmTimer() -> Bool {
        let wait = detectLoss()
        sendAllowed()
        guard wait > 0 else { return false }
        startTimer(.reordering, wait)
        return true
    }

    // MARK: Timers

    func reorderingTimeout() {
        let restoresDeadline = timer == .reordering
        _ = detectLoss()
        sendAllowed()
        if timer != .retransmission {
            rearmRetransmission(fromNow: !(timer == .reordering || timer == .tailProbe) || !restoresDeadline)
        }
    }

    /// UDX-46.
    func tailProbeTimeout() {
        guard isOutstanding else { return stopTimer() }
        if tailProbeInFlight || !tailProbePermitted { return rearmRetransmission(fromNow: false) }
        if !sendNew(beyondWindow: true, asTailProbe: true) {
            let last = sndNxt.advanced(by: -1)
            guard sent[last].isOutstanding, !sent[last].isLost else { return rearmRetransmission(fromNow: false) }
            sent.remove(last, from: &inFlight)
            retransmit(last)
            tailProbeIsRetransmission = true
            tailProbeSent(last)
        }
        rearmRetransmission(fromNow: true)
    }

    func tailProbeSent(_ seq: SequenceNumber) {
        tailProbeInFlight = true
        tailProbeEnd = seq
        tailProbePermitted = false
    }

    /// After new data, and after progress: only in the open state and without holes. Returns whether the probe's timer runs.
    func scheduleTailProbe(afterProgress: Bool) -> Bool {
        guard isOutstanding, recovery == .open, sackedCount == 0, !Mutation.udx(46).isActive else { return false }
        var wait: Int64 = 1000
        if rtt.smoothed > 0 {
            wait = 2 * rtt.smoothed
            // The peer may hold back the ACK of a single packet.
            if inFlight.count + lost.count == 1 { wait += 2 }
        }
        let untilTimeout = afterProgress ? rtt.timeout : max(retransmissionDeadline - context.now, 1)
        startTimer(.tailProbe, min(wait, untilTimeout))
        return true
    }

    /// UDX-44. Everything that is old enough is queued again; the timer repeats after twice the timeout.
    func retransmissionTimeout() {
        guard isOutstanding else { return stopTimer() }
        timeouts &+= 1
        recoveryMark = sndNxt
        recovery = .loss
        tailProbeInFlight = false
        tailProbeIsRetransmission = false
        startTimer(.retransmission, 2 * rtt.timeout)
        // A peer that answers with a closed window is not dead (UDX-30), nor is one that was heard since the last timeout: heavy loss in both
        // directions looks like that. The reference counts every timeout; ours counts the silent ones, and a bounded number of others.
        let counts = !(heardSinceTimeout && (peerWindow == 0 || timeoutsWithoutProgress < Stream.toleratedTimeouts))
        heardSinceTimeout = false
        timeoutsWithoutProgress += 1

        let window = reorderingWindow
        lost = PacketQueue()
        var nothingLost = true
        var seq = sndUna
        while seq != sndNxt {
            defer { seq = seq.advanced(by: 1) }
            guard sent[seq].isOutstanding else { continue }
            nothingLost = false
            if sent[seq].isLost {
                sent.append(seq, to: &lost)
                continue
            }
            guard seq == sndUna || sent[seq].sentAtMicroseconds + rackRTT + window < context.nowMicroseconds else { continue }
            if sent[seq].timeouts >= deathAfter { return giveUp() }
            if counts { sent[seq].timeouts += 1 }
            reducePathIfStuck(seq)
            markLost(seq)
        }
        if nothingLost {
            timeoutsWithNothingLost += 1
            if timeoutsWithNothingLost > Int(deathAfter) { return giveUp() }
        }
        congestion.timedOut()
        sendAllowed()
    }

    /// UDX-50a. When the peer has ended and of ours only the bare END is unacknowledged, all data arrived: as good as a normal close (udx.md 14.2).
    private func giveUp() {
        let isOnlyEnd = endSent && sndUna.advanced(by: 1) == sndNxt && bytesQueued == 0
        close(isOnlyEnd && hasReportedEnd ? .finished : .timedOut)
    }

    /// Timeouts in a row, with the peer heard in between, that are not held against it: with the six that are, 52 times the timeout at most.
    static let toleratedTimeouts = 20

    /// UDX-50a, UDX-50b: the seventh expiry of one packet.
    private var deathAfter: UInt8 {
        if Mutation.udx(50, 1).isActive { return .max }
        return Mutation.udx(50, 2).isActive ? 1 : 6
    }

    /// Paths below 1200: the second timeout of a large packet with nothing acknowledged in between.
    private func reducePathIfStuck(_ seq: SequenceNumber) {
        guard timeoutsWithoutProgress >= 2, !mtu.isReduced else { return }
        guard sent[seq].datagram.count > PathMTU.reducedIPv4 - 28 else { return }
        mtu.reduce(for: remote.address, at: context.now)
        capacity = maximumPayload
    }
}
