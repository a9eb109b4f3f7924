import SansIO

/// One timer slot a stream, and the pacing timer. udx.md section 11.4.
extension Stream {
    func startTimer(_ kind: Timer, _ milliseconds: Int64) {
        timer = kind
        timerDeadline = context.now + milliseconds
        if kind == .retransmission { retransmissionDeadline = timerDeadline }
        context.wake(at: timerDeadline)
    }

    func stopTimer() {
        timer = .none
        timerDeadline = .max
    }

    /// Fires what is due. Deadlines that a late call missed fire once.
    func advance() {
        if timer != .none && timerDeadline <= context.now {
            switch timer {
            case .none: break
            case .retransmission: retransmissionTimeout()
            case .reordering: reorderingTimeout()
            case .tailProbe: tailProbeTimeout()
            case .zeroWindow: zeroWindowTimeout()
            case .keepalive: keepaliveTimeout()
            }
        }
        if !isClosed && pacingDeadline <= context.now {
            pacingDeadline = .max
            sendAllowed()
        }
        if !isClosed { ensureTimer() }
    }

    /// Called after data left. New data that is not itself a tail probe also arms the tail probe.
    func armTimers(forNewData: Bool) {
        switch timer {
        case .none, .zeroWindow, .keepalive: startTimer(.retransmission, rtt.timeout)
        case .retransmission, .reordering, .tailProbe: break
        }
        if forNewData { _ = scheduleTailProbe(afterProgress: false) }
    }

    /// Tail probe and reordering timers stand in for the retransmission timer; afterwards what was left of it goes on.
    func rearmRetransmission(fromNow: Bool) {
        guard isOutstanding else { return stopTimer() }
        let left = retransmissionDeadline - context.now
        startTimer(.retransmission, fromNow ? rtt.timeout : left < 0 ? 1 : left)
    }

    /// Nothing is outstanding any more.
    func restOrKeepAlive() {
        if keepaliveMilliseconds > 0 && !isOutstanding {
            startTimer(.keepalive, keepaliveMilliseconds)
        } else if !isOutstanding {
            stopTimer()
        }
    }

    /// No state without a way out: outstanding packets have a timeout, a closed window has probes.
    func ensureTimer() {
        guard timer == .none, isConnected else { return }
        if isOutstanding {
            let isProbeOnly = peerWindow == 0 && inFlight.count == 1 && inFlight.first == zeroWindowProbe
            startTimer(isProbeOnly ? .zeroWindow : .retransmission, rtt.timeout)
        } else if peerWindow == 0 && hasUnsent && !hasPartialPacket && !Mutation.udx(29).isActive {
            startTimer(.zeroWindow, rtt.timeout)
        }
    }

    // MARK: Closed window

    /// UDX-30, UDX-35. A HEARTBEAT; after two that nobody answered, a DATA packet beyond the window, for peers that don't know HEARTBEAT.
    func probeZeroWindow() {
        if Mutation.udx(30).isActive { return }
        if unansweredProbes >= 2 && !Mutation.udx(35).isActive {
            unansweredProbes = 0
            if let seq = zeroWindowProbe {
                sent.remove(seq, from: &inFlight)
                retransmit(seq)
            } else {
                _ = sendNew(beyondWindow: true)
            }
        } else {
            unansweredProbes += 1
            sendHeartbeat()
        }
    }

    private func zeroWindowTimeout() {
        guard peerWindow == 0, hasUnsent || zeroWindowProbe != nil else { return stopTimer() }
        probeZeroWindow()
        // As often as the peer likes: a closed window alone never kills a stream.
        startTimer(.zeroWindow, 2 * rtt.timeout)
    }

    /// The window opened while a probe beyond it is unanswered: it is sent again with the rest.
    func resumeAfterZeroWindow() {
        guard peerWindow > 0, let seq = zeroWindowProbe else { return }
        zeroWindowProbe = nil
        guard sent[seq].isOutstanding, !sent[seq].isLost else { return }
        sent[seq].isLost = true
        sent.remove(seq, from: &inFlight)
        sent.insert(seq, ascendingIn: &lost)
    }

    // MARK: Keepalive

    /// UDX-71. 0 stops it at once; the reference would send one on every turn then.
    func setKeepalive(_ milliseconds: Int64) {
        keepaliveMilliseconds = min(max(0, milliseconds), 1 << 40)
        if keepaliveMilliseconds == 0 {
            if timer == .keepalive { stopTimer() }
        } else if isConnected && !isOutstanding && timer != .zeroWindow {
            startTimer(.keepalive, keepaliveMilliseconds)
        }
    }

    private func keepaliveTimeout() {
        guard !isOutstanding, keepaliveMilliseconds > 0 else { return stopTimer() }
        if !Mutation.udx(71).isActive { sendHeartbeat() }
        startTimer(.keepalive, keepaliveMilliseconds)
    }
}
