import SansIO

/// The receive algorithm, steps R3 to R19. udx.md section 5.
extension Stream {
    /// A packet that belongs to this stream and passed its firewall rule.
    func receive(_ header: PacketHeader, _ bytes: [UInt8], _ range: Range<Int>) {
        bytesReceived &+= UInt64(range.count)
        packetsReceived &+= 1
        let type = header.type

        /// UDX-4: reserved bits are not looked at.
        if Mutation.udx(4).isActive && !type.isDisjoint(with: .reserved) { return }
        /// UDX-78.
        if Mutation.udx(78).isActive && type.rawValue & 0x3f == 0x2f { return close(.reset) }

        /// R3. UDX-22: answered at once, and nothing else of it is used.
        if type.contains(.heartbeat) {
            acknowledge()
            if !Mutation.udx(22).isActive { return }
        }
        /// R4. UDX-7.
        guard let layout = PacketLayout(header, packetLength: range.count) else { return context.drop(.dataOffsetBeyondEnd) }
        let payload = layout.payload.lowerBound + range.lowerBound..<layout.payload.upperBound + range.lowerBound

        let awaited = nextExpected
        let hadHoles = buffer.count > 0
        /// R5.
        if !nextExpected.isAfter(header.seq) {
            if !type.isDisjoint(with: [.data, .end]) { accept(header, bytes, payload, padding: layout.padding.count) }
            if isClosed { return }
            /// R5c. UDX-62: also across holes; nothing is sent back.
            if type.contains(.destroy) && !(Mutation.udx(62).isActive && header.seq != nextExpected) { return close(.reset) }
        } else if type.contains(.destroy) {
            /// UDX-63.
            context.drop(.staleDestroy)
            if Mutation.udx(63).isActive { return close(.reset) }
        }
        /// R6. UDX-69: whatever its sequence number.
        if type.contains(.message) && !(Mutation.udx(69).isActive && header.seq != nextExpected) {
            context.emit(.message(id, Array(bytes[payload])))
        }
        /// R7.
        deliverHeld()

        /// UDX-21.
        if Mutation.udx(21).isActive && type.contains(.message) { acknowledge() }
        /// UDX-27.
        if Mutation.udx(27).isActive && type.contains(.message) { return }

        /// R8. UDX-23: an ack of what was never sent is of no use; the payload was.
        if sndNxt.isBefore(header.ack) {
            context.drop(.acknowledgesUnsent)
            if !Mutation.udx(23).isActive { return }
        }
        unansweredProbes = 0
        heardSinceTimeout = timeouts > 0
        processAcknowledgement(
            header, layout, bytes, range.lowerBound, inOrder: header.seq == awaited && nextExpected != awaited && !hadHoles)
        if !isClosed { ensureTimer() }
    }

    /// R5a and R5b: takes a DATA or END packet in, or holds it until its turn.
    private func accept(_ header: PacketHeader, _ bytes: [UInt8], _ payload: Range<Int>, padding: Int) {
        let type = header.type
        let hasData = type.contains(.data)
        /// UDX-43.
        if Mutation.udx(43).isActive && payload.isEmpty { return }
        /// UDX-39.
        if Mutation.udx(39).isActive && padding > 0 { return }
        /// UDX-34b.
        if Mutation.udx(34, 2).isActive && advertisedWindow == 0 { return }
        /// UDX-66.
        if Mutation.udx(66).isActive && !isConnected { return }
        if !hasReportedEnd {
            // Also of an END that is not held: it comes again.
            if type.contains(.end) { remoteEnd = header.seq }
            if header.seq == nextExpected && !buffer.holds(header.seq, expecting: nextExpected) {
                nextExpected = nextExpected.advanced(by: 1)
                if hasData { context.emitData(id, bytes, payload) }
                /// UDX-20.
                if Mutation.udx(20).isActive { buffer.removeAll() }
            } else {
                let admission = buffer.admit(
                    header.seq, expecting: nextExpected, hasData: hasData, bytes, payload, span: context.limits.reorderingSpan,
                    byteLimit: max(Int(maximumReceiveSize), context.limits.minimumHeldBytes))
                switch admission {
                case .held, .duplicate: break
                case .tooFarAhead: return context.drop(.tooFarAhead)
                case .full: return context.drop(.heldBytesFull)
                }
            }
            /// UDX-53.
            if Mutation.udx(53).isActive && type.contains(.end) { reportEnd() }
        }
    }

    private func deliverHeld() {
        while !hasReportedEnd, let held = buffer.take(nextExpected) {
            nextExpected = nextExpected.advanced(by: 1)
            if held.hasData { context.emitData(id, held.payload, 0..<held.payload.count) }
        }
    }

    /// R9 to R19.
    private func processAcknowledgement(
        _ header: PacketHeader, _ layout: PacketLayout, _ bytes: [UInt8], _ base: Int, inOrder: Bool
    ) {
        let type = header.type
        var ack = header.ack.isAfter(sndNxt) ? sndNxt : header.ack
        /// UDX-76: one ACK may cover any number of packets.
        if Mutation.udx(76).isActive && ack.isAfter(sndUna) { ack = sndUna.advanced(by: 1) }
        let dataWasOutstanding = isOutstanding
        let advances = ack.isAfter(sndUna)

        if Mutation.udx(24).isActive && hasInvalidBlock(layout, bytes, base) { return }
        updateWindow(header)
        /// R10. UDX-73a.
        if let mark = remoteChangesAt, !ack.isBefore(mark) {
            remoteChangesAt = nil
            if !Mutation.udx(73, 1).isActive { context.emit(.remoteChanged(id)) }
        }
        /// R11.
        if tailProbeInFlight && !ack.isBefore(tailProbeEnd) && (!tailProbeIsRetransmission || ack.isAfter(tailProbeEnd)) {
            tailProbeInFlight = false
        }
        /// R12.
        if recovery != .open && ack.isAfter(recoveryMark) { recovery = .open }

        var sample = RateSample()
        let deliveredBefore = delivery.delivered
        let lostBefore = lostTotal
        /// R13.
        var endAcknowledged = false
        while sndUna.isBefore(ack) {
            acknowledgePacket(sndUna, bySACK: false, &sample)
            sndUna = sndUna.advanced(by: 1)
            if isClosed { return }
        }
        if isWhollyAcknowledged {
            hasEnded = true
            endAcknowledged = true
        }
        if advances { settleWrites() }
        /// R14. UDX-58, UDX-60.
        if endAcknowledged { return finishOwnDirection(type) }

        /// R15.
        for index in 0..<layout.sackCount where isOutstanding {
            processBlock(bytes, at: base + layout.sackStart + 8 * index, layout, &sample)
        }
        // SACK may be what completes our direction: then nothing is sent, now or when the cumulative ack follows.
        if isWhollyAcknowledged { hasEnded = true }

        /// R16.
        let delivered = delivery.delivered - deliveredBefore
        var armsTimer = advances && dataWasOutstanding
        resumeAfterZeroWindow()
        repairCredit = recovery == .open ? 0 : delivered
        if delivered > 0 {
            timeoutsWithoutProgress = 0
            timeoutsWithNothingLost = 0
            if !isOutstanding {
                armsTimer = false
                if peerWindow == 0 && hasUnsent {
                    startTimer(.zeroWindow, rtt.timeout)
                } else {
                    restOrKeepAlive()
                }
            } else {
                retransmissionDeadline = context.now + rtt.timeout
            }
            if detectLossAndArmTimer() { armsTimer = false }
        }
        if armsTimer && !scheduleTailProbe(afterProgress: true) { rearmRetransmission(fromNow: true) }

        /// R17. UDX-15, UDX-16: at once, for duplicates and out-of-order packets too.
        if owesAcknowledgement(to: header) {
            answer(inOrder: inOrder, isEnd: type.contains(.end))
            if isClosed { return }
        }
        /// R18.
        if dataWasOutstanding {
            delivery.complete(&sample, acknowledged: delivered, losses: lostTotal - lostBefore, at: context.now, minimumRTT: rtt.minimum)
            congestion.acknowledged(sample, flight, appLimitedUntil: &delivery.appLimitedUntil)
        }
        /// R19.
        sendAllowed()
    }

    /// Everything including END is acknowledged, cumulatively or by SACK.
    private var isWhollyAcknowledged: Bool { endSent && !hasEnded && inFlight.isEmpty && lost.isEmpty }

    private func owesAcknowledgement(to header: PacketHeader) -> Bool {
        /// UDX-57: an ACK is never answered with one.
        guard !header.type.isDisjoint(with: [.data, .end]) else { return Mutation.udx(57).isActive && hasReportedEnd }
        /// UDX-15.
        if Mutation.udx(15).isActive { return false }
        /// UDX-16.
        if Mutation.udx(16).isActive && header.seq.advanced(by: 1).isBefore(nextExpected) { return false }
        /// UDX-34a.
        if Mutation.udx(34, 1).isActive && advertisedWindow == 0 { return false }
        /// UDX-56.
        if Mutation.udx(56).isActive && hasReportedEnd { return false }
        return true
    }

    /// R9. UDX-32, UDX-77: a window counts only from a packet that is not older than the last one that set it, and acknowledges nothing older.
    private func updateWindow(_ header: PacketHeader) {
        let isNewer =
            windowUpdateSeq.isBefore(header.seq)
            || (windowUpdateSeq == header.seq && !windowUpdateAck.isAfter(header.ack))
        let takesAny = Mutation.udx(32).isActive || (Mutation.udx(77).isActive && header.type.contains(.data))
        guard takesAny || (!header.ack.isBefore(sndUna) && isNewer) else { return }
        var window = header.window
        /// UDX-36.
        if Mutation.udx(36).isActive && window > 0x7fff_ffff { window = 0 }
        if window > 0 && timer == .zeroWindow {
            /// UDX-31.
            if Mutation.udx(31).isActive { return }
            stopTimer()
        }
        peerWindow = window
        windowUpdateSeq = header.seq
        windowUpdateAck = header.ack
    }

    /// UDX-24, UDX-79: a block counts only inside what is outstanding, so its work is bounded by that.
    private func processBlock(_ bytes: [UInt8], at offset: Int, _ layout: PacketLayout, _ sample: inout RateSample) {
        guard offset >= 0, offset + 8 <= bytes.count else { return }
        /// UDX-25, UDX-26a.
        if Mutation.udx(25).isActive && !layout.padding.isEmpty { return }
        if Mutation.udx(26, 1).isActive && !layout.payload.isEmpty { return }
        let start = SequenceNumber(Stream.littleEndian(bytes, offset))
        var end = SequenceNumber(Stream.littleEndian(bytes, offset + 4))
        if Mutation.udx(79).isActive && end.isAfter(sndNxt) { end = sndNxt }
        guard isValid(start, end) else { return context.drop(.invalidSACKBlock) }
        var seq = start
        while seq != end {
            acknowledgePacket(seq, bySACK: true, &sample)
            seq = seq.advanced(by: 1)
        }
    }

    private func isValid(_ start: SequenceNumber, _ end: SequenceNumber) -> Bool {
        start.isBefore(end) && !end.isAfter(sndNxt) && start.isBefore(sndNxt) && !start.isBefore(sndUna)
    }

    private func hasInvalidBlock(_ layout: PacketLayout, _ bytes: [UInt8], _ base: Int) -> Bool {
        (0..<layout.sackCount).contains {
            let offset = base + layout.sackStart + 8 * $0
            return !isValid(
                SequenceNumber(Stream.littleEndian(bytes, offset)), SequenceNumber(Stream.littleEndian(bytes, offset + 4)))
        }
    }

    private static func littleEndian(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8 | UInt32(bytes[offset + 2]) << 16 | UInt32(bytes[offset + 3]) << 24
    }

    /// R14: our END is acknowledged.
    private func finishOwnDirection(_ type: PacketType) {
        restOrKeepAlive()
        if hasReportedEnd { return close(.finished) }
        /// UDX-60: this ACK also answers DATA or END in the packet; there are never two.
        if Mutation.udx(60).isActive && !type.isDisjoint(with: [.data, .end]) {
            reportEndIfComplete()
            return
        }
        acknowledge()
    }
}
