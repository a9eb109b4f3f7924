/// Who decides about packets that arrive on a socket other than the stream's own, or before the stream is connected. udx.md section 15.3.
///
/// The reference calls a hook; here it is a value, so that the machine needs no callback. UDX-12, UDX-67.
public enum FirewallRule: Hashable, Sendable {
    /// No hook: every socket of the instance is good.
    case none
    /// Drop silently (the reference binding's default).
    case deny
    /// Take the packet and note it in an event.
    case allow
    /// The first packet, from any address, connects the stream to that address with this remote id; it is then taken.
    case connectToSource(StreamID)
    /// Hand each such packet back to the owner for a decision.
    case ask
}

/// The owner's answer to `Disposition.askOwner`.
public enum FirewallVerdict: Hashable, Sendable {
    case allow, deny
}
