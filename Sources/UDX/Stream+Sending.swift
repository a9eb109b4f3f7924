import CompactEncoding
import SansIO

/// Segmentation, transmission, retransmission. udx.md section 8.
extension Stream {
    /// Packets that the peer's window allows: one at least when it is not 0. udx.md section 7.
    private var peerWindowInPackets: Int {
        if Mutation.udx(29).isActive { return .max }
        return peerWindow == 0 ? 0 : max(1, Int(peerWindow) / max(1, maximumPayload))
    }

    /// UDX-29, UDX-51. Retransmissions don't ask the peer's window.
    private func maySend(retransmission: Bool) -> Bool {
        guard pacer.maySend(at: context.now, rate: congestion.pacingRate, isIdle: !isOutstanding) else { return false }
        if retransmission { return inFlight.count < congestion.window || repairCredit > 0 }
        return inFlight.count < min(congestion.window, peerWindowInPackets)
    }

    /// R19. Retransmissions first, the lowest number first: it is what the peer's other packets wait for. Then new data.
    func sendAllowed() {
        guard isConnected, !isClosed else { return }
        while let seq = lost.first, maySend(retransmission: true) {
            if inFlight.count >= congestion.window { repairCredit -= 1 }
            retransmit(seq)
        }
        while sendNew(beyondWindow: false) {}
    }

    /// Sends one new packet if there is a full one, or one that completes END; a partial packet waits for the end of the turn.
    func sendNew(beyondWindow: Bool, asTailProbe: Bool = false) -> Bool {
        guard hasUnsent else { return false }
        guard beyondWindow || maySend(retransmission: false) else { return false }
        if queue.count >= capacity || completesEnd || beyondWindow {
            buildAndSend(asTailProbe: asTailProbe, asWindowProbe: beyondWindow && !asTailProbe)
            return true
        }
        if !queue.isEmpty && !hasPartialPacket {
            hasPartialPacket = true
            context.partial.append(self)
        }
        return false
    }

    /// UDX-54. Whether the next packet takes all that is queued and has room for END.
    private var completesEnd: Bool {
        guard endRequested, !endSent else { return false }
        if Mutation.udx(54).isActive { return true }
        return queue.count < capacity || (queue.count == capacity && endSharesLastPacket)
    }

    /// The end of the turn: a partial packet leaves, whatever the window says by now.
    func flushPartial() {
        guard hasPartialPacket, isConnected, !isClosed else { return }
        hasPartialPacket = false
        if !queue.isEmpty { buildAndSend() }
    }

    private func buildAndSend(asTailProbe: Bool = false, asWindowProbe: Bool = false) {
        hasPartialPacket = false
        let flightWasEmpty = inFlight.isEmpty
        let length = min(capacity, queue.count)
        let endsHere = completesEnd
        var type: PacketType = length > 0 ? .data : []
        if endsHere {
            type.insert(.end)
            endSent = true
        }
        /// UDX-26b: SACK never rides on DATA.
        if Mutation.udx(26, 2).isActive && !buffer.blocks.isEmpty { type.insert(.sack) }

        let seq = sndNxt
        let header = header(type, seq: seq)
        sent.reserve(from: sndUna, through: seq)
        sent[seq] = SentPacket()
        sent[seq].datagram = context.datagram(PacketHeader.size + length)
        sent[seq].datagram.withUnsafeMutableBytes { bytes in
            header.store(into: bytes)
            queue.take(into: UnsafeMutableRawBufferPointer(rebasing: bytes[PacketHeader.size...]))
        }
        sent[seq].destination = Mutation.udx(72).isActive ? firstRemote : remote
        sent[seq].isOutstanding = true
        if !asTailProbe && remoteChangesAt == nil, let padding = mtu.padding(payload: length, to: remote.address) {
            sent[seq].padding = padding
            sent[seq].isSizeProbe = true
            mtu.probeSent()
        }
        if capacity > mtu.size - PathMTU.overhead(remote.address) && mtu.isReduced {
            sent[seq].isSizeTrial = true
            mtu.trialSent(at: context.now)
        }
        transmit(seq)
        sndNxt = sndNxt.advanced(by: 1)
        if flightWasEmpty { congestion.transmissionStarts(flight, isAppLimited: delivery.appLimitedUntil != nil) }
        if asTailProbe {
            tailProbeIsRetransmission = false
            tailProbeSent(seq)
        }
        if asWindowProbe {
            zeroWindowProbe = seq
        } else {
            armTimers(forNewData: !asTailProbe)
        }
        capacity = nextCapacity
    }

    /// On a reduced path one packet a minute is built at full size, to see whether the path has recovered.
    private var nextCapacity: Int {
        if let trialAt = mtu.nextTrialAt, context.now >= trialAt, mtu.isReduced {
            return PathMTU.base - PathMTU.overhead(remote.address)
        }
        return maximumPayload
    }

    /// UDX-44, UDX-49. The same number and payload; ack and window are those of the moment. Id and address stay those of the first time (UDX-73b).
    func retransmit(_ seq: SequenceNumber) {
        let flightWasEmpty = inFlight.isEmpty
        if !Mutation.udx(49).isActive {
            let fresh = header(.acknowledgement, seq: seq)
            Stream.store(fresh.window, in: &sent[seq].datagram, at: 8)
            Stream.store(fresh.ack.rawValue, in: &sent[seq].datagram, at: 16)
        }
        if Mutation.udx(44).isActive { Stream.store(sndNxt.rawValue, in: &sent[seq].datagram, at: 12) }
        if Mutation.udx(73, 2).isActive {
            Stream.store(remoteID.rawValue, in: &sent[seq].datagram, at: 4)
            sent[seq].destination = remote
        }
        sent[seq].wasRetransmitted = true
        transmit(seq)
        retransmissions &+= 1
        if flightWasEmpty { congestion.transmissionStarts(flight, isAppLimited: delivery.appLimitedUntil != nil) }
        armTimers(forNewData: false)
    }

    private static func store(_ value: UInt32, in bytes: inout [UInt8], at offset: Int) {
        guard offset + 4 <= bytes.count else { return }
        for step in 0..<4 { bytes[offset + step] = UInt8(truncatingIfNeeded: value >> UInt32(8 * step)) }
    }

    /// Puts a packet on the wire and into flight.
    private func transmit(_ seq: SequenceNumber) {
        if bytesQueued < maximumPayload && inFlight.count < congestion.window && lost.isEmpty {
            delivery.markAppLimited(inFlight: inFlight.count)
        }
        sent[seq].sentAt = context.now
        sent[seq].sentAtMicroseconds = context.nowMicroseconds
        delivery.sending(&sent[seq], at: context.now, nothingOutstanding: !isOutstanding)
        if sent[seq].isLost {
            sent.remove(seq, from: &lost)
            sent[seq].isLost = false
        }
        sent.append(seq, to: &inFlight)

        let padding = sent[seq].padding
        if padding > 0 {
            var padded = sent[seq].datagram
            padded[3] = padding
            padded.insert(contentsOf: repeatElement(0, count: Int(padding)), at: PacketHeader.size)
            emit(padded, to: sent[seq].destination, from: socket)
        } else {
            emit(sent[seq].datagram, to: sent[seq].destination, from: socket)
        }
        if sent[seq].isSizeTrial, !sent[seq].wasRetransmitted, !context.transmits.isEmpty {
            context.transmits[context.transmits.count - 1].dontFragment = true
        }
        let wait = pacer.spend(sent[seq].datagram.count, rate: congestion.pacingRate)
        if wait > 0 {
            pacingDeadline = context.now + wait
            context.wake(at: pacingDeadline)
        }
    }

    // MARK: Writing

    /// Queues bytes, and END with them. Returns whether more may be written at once.
    func write(_ bytes: [UInt8], ending: Bool) -> Bool {
        let wasIdle = bytesQueued == 0 && !isOutstanding
        queue.append(bytes)
        bytesQueued += bytes.count
        bytesWritten &+= UInt64(bytes.count)
        if ending {
            endRequested = true
            endSharesLastPacket = !bytes.isEmpty
        }
        guard hasUnsent else { return true }
        // An idle stream that meets a closed window asks at once. UDX-30.
        if wasIdle && peerWindow == 0 && !Mutation.udx(29).isActive {
            probeZeroWindow()
            startTimer(.zeroWindow, rtt.timeout)
        }
        sendAllowed()
        ensureTimer()
        isAboveHighWater = isAboveHighWater || bytesQueued > highWater
        return !isAboveHighWater
    }

    private var highWater: Int { context.limits.highWaterMark + min(congestion.window * maximumPayload, Int(peerWindow)) }

    /// After an advance of snd.una: drained and flushed writes.
    func settleWrites() {
        // Well below the mark: a writer that is woken for each packet's room would do nothing else.
        if isAboveHighWater && bytesQueued < highWater - context.limits.highWaterMark / 2 {
            isAboveHighWater = false
            context.emit(.drained(id))
        }
        while let mark = flushMarks.first, bytesAcknowledged >= mark.bytes {
            flushMarks.removeFirst()
            context.emit(.flushed(id, token: mark.token))
        }
    }

    /// UDX-70. At once, whatever the windows say; consumes no number.
    func send(message: [UInt8]) {
        if Mutation.udx(70).isActive && peerWindow == 0 { return }
        var writer = Writer(capacity: PacketHeader.size + message.count)
        header(.message, seq: sndNxt).encode(to: &writer)
        writer.raw(message)
        emit(writer.bytes)
        /// UDX-3.
        if Mutation.udx(3).isActive { sndNxt = sndNxt.advanced(by: 1) }
    }

    func sendHeartbeat() { emit(header(.heartbeat, seq: sndNxt).encoded) }
}
