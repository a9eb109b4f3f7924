import CompactEncoding
import SansIO

/// Connect, change of remote, destroy, close. udx.md sections 14 and 15.
extension Stream {
    /// UDX-65: sends nothing, unless an ACK is owed.
    func connect(_ socket: SocketID, _ remoteID: StreamID, _ remote: Endpoint) {
        isConnected = true
        self.socket = socket
        self.remoteID = remoteID
        self.remote = remote
        firstRemote = remote
        if owesAcknowledgement || Mutation.udx(65).isActive {
            owesAcknowledgement = false
            acknowledge()
            if isClosed { return }
        }
        if keepaliveMilliseconds > 0 { startTimer(.keepalive, keepaliveMilliseconds) }
    }

    /// UDX-72. New packets go to the new place from now on. Returns true when nothing of the old remote is unacknowledged.
    func changeRemote(_ socket: SocketID, _ remoteID: StreamID, _ remote: Endpoint) -> Bool {
        self.socket = socket
        self.remoteID = remoteID
        self.remote = remote
        let mark = sndNxt.advanced(by: hasPartialPacket ? 1 : 0)
        let isDeferred = mark != sndUna
        remoteChangesAt = isDeferred ? mark : nil
        mtu.reset()
        capacity = min(capacity, maximumPayload)
        return !isDeferred
    }

    /// UDX-61: one DESTROY, and nothing after it. An unconnected or relaying stream closes without a packet.
    func destroy() {
        if isConnected && !hasRelayed {
            let seq = Mutation.udx(61).isActive ? SequenceNumber.zero : sndNxt
            emit(header(.destroy, seq: seq).encoded)
            sndNxt = sndNxt.advanced(by: 1)
        }
        close(.destroyed)
    }

    /// Final. Held and queued bytes are dropped; streams that relay to this one close with it. UDX-75.
    func close(_ reason: CloseReason) {
        guard !isClosed else { return }
        if Mutation.udx(58).isActive && reason == .finished { emit(header(.destroy, seq: sndNxt).encoded) }
        isClosed = true
        stopTimer()
        pacingDeadline = .max
        context.closed.append(self)
        closedGracefully = reason == .finished
        context.emit(.closed(id, reason))
        queue.removeAll()
        sent.removeAll()
        inFlight = PacketQueue()
        lost = PacketQueue()
        buffer.removeAll()
        relayTarget?.relaySources.removeAll { $0 === self }
        relayTarget = nil
        let sources = relaySources
        relaySources = []
        for source in sources where source !== self {
            source.relayTarget = nil
            source.close(.relayClosed)
        }
    }

    /// UDX-74. Forwards a datagram with only the id rewritten; the relay itself acknowledges nothing and keeps nothing.
    func relay(_ header: PacketHeader, _ bytes: [UInt8], _ range: Range<Int>) {
        bytesReceived &+= UInt64(range.count)
        packetsReceived &+= 1
        guard let target = relayTarget else { return }
        let isDestroy = header.type.contains(.destroy)
        if target.isConnected && !(Mutation.udx(75).isActive && isDestroy) {
            var forwarded = Array(bytes[range])
            var writer = Writer(capacity: 8)
            writer.uint32(target.remoteID.rawValue)
            writer.uint32(target.advertisedWindow)
            forwarded.replaceSubrange(4..<8, with: writer.bytes[0..<4])
            if Mutation.udx(74).isActive { forwarded.replaceSubrange(8..<12, with: writer.bytes[4..<8]) }
            target.emit(forwarded)
        } else {
            context.drop(.relayNotConnected)
        }
        /// UDX-75.
        if isDestroy { close(.reset) }
    }
}
