/// Why a packet, or a part of it, was not used. Counted by the instance.
public enum DropReason: Int, Hashable, Sendable, CaseIterable {
    /// The firewall rule or its owner said no.
    case firewall
    /// The data offset lies beyond the packet's end. UDX-7.
    case dataOffsetBeyondEnd
    /// The sequence number lies beyond what is held out of order. UDX-40.
    case tooFarAhead
    /// Out-of-order storage is full. UDX-40.
    case heldBytesFull
    /// The ack is of what was never sent: only the payload was used. UDX-23.
    case acknowledgesUnsent
    /// A SACK block that is empty, reversed or outside what is outstanding. UDX-24.
    case invalidSACKBlock
    /// A DESTROY older than the next expected number. UDX-63.
    case staleDestroy
    /// A relay's other leg is not connected.
    case relayNotConnected
    /// More bytes than a datagram may have; the rest was cut. UDX-38b.
    case cutDatagram
}
