import CompactEncoding
import SansIO

/// ACK and SACK packets, the advertised window, the peer's end. udx.md sections 6, 7 and 14.
extension Stream {
    /// Two full packets of 1452 bytes: no smaller window than this is advertised.
    static let smallestWindow: UInt32 = 2 * 1452

    /// UDX-33. What the application can still take, or 0 when that is little: older senders stop for good at 1..1451.
    var advertisedWindow: UInt32 {
        let left = maximumReceiveSize > heldBytes ? maximumReceiveSize - heldBytes : 0
        if left < Stream.smallestWindow && !Mutation.udx(33).isActive { return 0 }
        return left
    }

    /// UDX-8: every packet carries the ack and window of the moment. UDX-2: and the peer's id.
    func header(_ type: PacketType, dataOffset: UInt8 = 0, seq: SequenceNumber) -> PacketHeader {
        lastAdvertisedWindow = advertisedWindow
        var ack = nextExpected
        if Mutation.udx(8).isActive && !type.isEmpty && type != .sack { ack = windowUpdateSeq }
        let target = Mutation.udx(2).isActive ? id : remoteID
        return PacketHeader(type: type, dataOffset: dataOffset, streamID: target, window: lastAdvertisedWindow, seq: seq, ack: ack)
    }

    /// Sends one ACK, or a SACK when there are holes; before connect it is remembered instead. Then the peer's end may be due.
    func acknowledge() {
        guard isConnected else {
            owesAcknowledgement = true
            return
        }
        unanswered = 0
        let blocks = reportedBlocks()
        var writer = Writer(capacity: PacketHeader.size + blocks.count * SACKBlock.size)
        /// UDX-3. It names the next number and consumes none.
        let seq = Mutation.udx(3, 1).isActive ? sndNxt.advanced(by: 1) : sndNxt
        header(blocks.isEmpty ? .acknowledgement : .sack, seq: seq).encode(to: &writer)
        for block in blocks { block.encode(to: &writer) }
        emit(writer.bytes)
        reportEndIfComplete()
    }

    /// Packets of one burst that one ACK answers at most.
    private static let answeredTogether = 32

    /// Answers a DATA or END packet: at once, but for one in a burst that was just what we waited for. UDX-15, UDX-16.
    ///
    /// A burst is what the kernel joined into one buffer: its packets arrived together, so its one ACK tells the sender the same, and leaves at the same time.
    func answer(inOrder: Bool, isEnd: Bool) {
        guard context.isBurst, inOrder, !isEnd, isConnected, remoteEnd == nil, buffer.count == 0 else { return acknowledge() }
        unanswered += 1
        if unanswered == 1 { context.answerLater(self) }
        if unanswered >= Stream.answeredTogether { acknowledge() }
    }

    /// UDX-17, UDX-18, UDX-19: all holes, ascending, up to fifty blocks; they never start at the ack of the same packet.
    private func reportedBlocks() -> [SACKBlock] {
        if Mutation.udx(17).isActive { return [] }
        if Mutation.udx(18).isActive { return blocksAsReference() }
        if buffer.blocks.isEmpty { return [] }
        return buffer.reported(limit: Mutation.udx(19).isActive ? 70 : SACKBlock.maximumCount, expecting: nextExpected)
    }

    /// UDX-18's mutant: the reference's scan, which stops after as many missing numbers as there are packets held.
    private func blocksAsReference() -> [SACKBlock] {
        var missing = buffer.count
        var result: [SACKBlock] = []
        var position = nextExpected.advanced(by: 1)
        for block in buffer.blocks where result.count < SACKBlock.maximumCount {
            missing -= position.distance(to: block.start)
            if missing <= 0 { break }
            result.append(block)
            position = block.end
        }
        return result
    }

    /// The peer's end is reported once its END is contiguous and acknowledged. UDX-53. When both directions are done the stream closes.
    ///
    /// An END whose turn it is but that is not there (it came too early to be held) has not ended anything: its bytes are still to come.
    func reportEndIfComplete() {
        if let end = remoteEnd, !hasReportedEnd, end.isBefore(nextExpected) { reportEnd() }
        /// UDX-58.
        if hasEnded && hasReportedEnd { close(.finished) }
    }

    func reportEnd() {
        guard !hasReportedEnd else { return }
        hasReportedEnd = true
        context.emit(.end(id))
        /// UDX-55: our direction stays open.
        if Mutation.udx(55).isActive { endRequested = true }
    }

    /// Hands a datagram of this stream to the owner, for the stream's own remote.
    func emit(_ bytes: [UInt8]) { emit(bytes, to: remote, from: socket) }

    func emit(_ bytes: [UInt8], to destination: Endpoint, from socket: SocketID?) {
        guard let socket else { return }
        bytesSent &+= UInt64(bytes.count)
        packetsSent &+= 1
        // UDX-41: packets above 1200 are never fragmented; smaller ones only where the path proved too small for them.
        let isLarge = bytes.count + PathMTU.overhead(destination.address) - PacketHeader.size > PathMTU.base
        let dontFragment = isLarge ? !Mutation.udx(41).isActive : mtu.setsDontFragment
        context.transmits.append(Transmit(socket: socket, destination: destination, payload: bytes, dontFragment: dontFragment))
    }
}
